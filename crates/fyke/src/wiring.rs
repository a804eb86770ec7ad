//! Connects the runtime with the layers above it: defines what sockets defer, and tracks which loop
//! the running code belongs to.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::runtime::{self, Posted};
use crate::{Error, ErrorCode, Result};

/// An event loop.
pub(crate) type Core = runtime::Core<Tick>;

/// An entry of the tick queue.
pub(crate) type Deferred = runtime::Deferred<Tick>;

// A connection moves several of them, so they must be small.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Deferred>() <= 32);

/// Work that a socket does when the running callback has returned. Work that needs more than a
/// number is deferred as a callback, and so is all work of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tick {
    /// Call the state machine.
    Machine(fyke_machine::connection::Tick),
    /// Emit `pipe`.
    Piped,
    /// Emit `unpipe`.
    Unpiped,
    /// Let the layer continue.
    Layer,
}

thread_local! {
    static CURRENT: RefCell<Vec<Rc<Core>>> = const { RefCell::new(Vec::new()) };
}

/// The loop of the current thread.
pub(crate) fn current() -> Result<Rc<Core>> {
    current_or_none().ok_or_else(|| {
        let message =
            "this thread has no running event loop; call this inside fyke::run or EventLoop::enter";
        Error::new(ErrorCode::ERR_NO_EVENT_LOOP, message)
    })
}

/// The loop of the current thread, if there is one. Also `None` while the thread ends.
pub(crate) fn current_or_none() -> Option<Rc<Core>> {
    CURRENT.try_with(|current| current.borrow().last().cloned()).ok().flatten()
}

/// The loop that `posted` belongs to, if it is the current one of this thread.
pub(crate) fn current_with(posted: &Arc<Posted>) -> Option<Rc<Core>> {
    current_or_none().filter(|core| Arc::ptr_eq(&core.posted, posted))
}

/// Makes `core` the current loop until this value is dropped, also by a panic.
pub(crate) struct Entered(Rc<Core>);

impl Entered {
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        CURRENT.with(|current| current.borrow_mut().push(Rc::clone(core)));
        Self(Rc::clone(core))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Not always the last one: `drive` keeps its loop current between polls.
        let left = CURRENT.try_with(|current| {
            let mut current = current.borrow_mut();
            let index = current.iter().rposition(|core| Rc::ptr_eq(core, &self.0))?;
            Some(current.remove(index))
        });
        drop(left);
    }
}
