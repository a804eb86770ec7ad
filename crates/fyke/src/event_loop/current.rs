//! Which loop the code that runs now belongs to.

use std::cell::RefCell;
use std::rc::Rc;

use super::core::Core;
use crate::{Error, ErrorCode, Result};

thread_local! {
    static CURRENT: RefCell<Vec<Rc<Core>>> = const { RefCell::new(Vec::new()) };
}

/// The loop of the current thread.
pub(crate) fn current() -> Result<Rc<Core>> {
    current_or_none().ok_or_else(|| {
        let message = "there is no event loop here; call this inside fyke::run or EventLoop::enter";
        Error::new(ErrorCode::ERR_NO_EVENT_LOOP, message)
    })
}

/// The loop of the current thread, if there is one. None also while the thread ends.
pub(crate) fn current_or_none() -> Option<Rc<Core>> {
    CURRENT.try_with(|current| current.borrow().last().cloned()).ok().flatten()
}

/// Makes `core` the current loop until this is dropped, also by a panic.
pub(super) struct Entered(());

impl Entered {
    pub(super) fn new(core: &Rc<Core>) -> Self {
        CURRENT.with(|current| current.borrow_mut().push(Rc::clone(core)));
        Self(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.try_with(|current| current.borrow_mut().pop());
        drop(left);
    }
}
