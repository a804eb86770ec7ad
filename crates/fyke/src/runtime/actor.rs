//! What the loop calls.

use std::any::Any;
use std::rc::Rc;

use fyke_driver::Completion;

use crate::Error;

/// What actors defer, and what a layer above keeps in each loop.
pub(crate) trait Wired: Copy + 'static {
    /// Kept for reuse.
    type Spares: Default;
}

/// A socket or a server. Every call may run the user's code.
///
/// `T` is a small value that the actor defers, and gets back on its tick.
pub(crate) trait Actor<T> {
    /// Bytes were received. A method of its own, because it is by far the most frequent call.
    fn receive(self: Rc<Self>, _bytes: &[u8]) {}

    /// Something else happened to the socket that the actor has in the table.
    fn complete(self: Rc<Self>, completion: Completion<'_>);

    /// What was deferred with [`Core::push_tick`](super::Core::push_tick).
    fn tick(self: Rc<Self>, _tick: T) {}

    /// The batch of callbacks has ended (phase 7).
    fn flush(self: Rc<Self>) {}

    /// The time that the actor has asked for with [`Core::set_wake`](super::Core::set_wake) has come.
    fn wake(self: Rc<Self>) {}

    /// A time on the list of idle sockets has come. Returns whether the socket was idle.
    fn check_idle(self: Rc<Self>) -> bool {
        false
    }

    /// The close phase (phase 6). `cancelled` is what the writes that were in flight are told.
    fn close(self: Rc<Self>, _cancelled: Option<Error>) {}

    /// Whether it is closed after the others when the loop ends, as listeners are.
    fn is_closed_last(&self) -> bool {
        false
    }

    /// The loop ends, and its descriptor is closed next: the last time that the system can be asked
    /// about it.
    fn before_abandon(self: Rc<Self>) {}

    /// The loop is gone: no event, but everything that the callbacks captured is freed.
    fn abandon(self: Rc<Self>);

    /// For the layer that made the actor.
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
}
