//! Joins the runtime with the layers above it: what sockets defer, and which loop the code that runs
//! now belongs to.

use std::cell::RefCell;
use std::rc::Rc;

use crate::runtime;
use crate::{Error, ErrorCode, Result};

/// A loop.
pub(crate) type Core = runtime::Core<Tick>;

/// An entry of the tick queue.
pub(crate) type Deferred = runtime::Deferred<Tick>;

// Several are moved for every connection.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Deferred>() <= 32);

/// What a socket does when the running callback has returned. What needs more than a number is
/// deferred as a callback, and so is everything of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tick {
    /// Ask the state machine.
    Machine(fyke_machine::connection::Tick),
    /// Emit `pipe`.
    Piped,
    /// Emit `unpipe`.
    Unpiped,
}

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
pub(crate) struct Entered(());

impl Entered {
    pub(crate) fn new(core: &Rc<Core>) -> Self {
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
