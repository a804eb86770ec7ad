//! The interface between the loop and the objects that it calls.

use std::any::Any;
use std::rc::Rc;

use fyke_driver::Completion;

use crate::Error;

/// The types that a layer above the runtime chooses: what actors defer, and what is stored in each loop.
pub(crate) trait Wired: Copy + 'static {
    /// Objects that are stored for reuse.
    type Spares: Default;
}

/// A socket or a server. Every method may run user code.
///
/// `T` is a small value that the actor defers and receives again in [`tick`](Self::tick).
pub(crate) trait Actor<T> {
    /// Bytes were received, and may be changed. This is a separate method because it is by far the most frequent
    /// call.
    fn receive(self: Rc<Self>, _bytes: &mut [u8]) {}

    /// A read may succeed. This runs no user code, except for wakers.
    fn readable(self: Rc<Self>) {}

    /// Another event of the actor's socket.
    fn complete(self: Rc<Self>, completion: Completion<'_>);

    /// Runs the value that was deferred with [`Core::push_tick`](super::Core::push_tick).
    fn tick(self: Rc<Self>, _tick: T) {}

    /// The batch of callbacks has ended (phase 7).
    fn flush(self: Rc<Self>) {}

    /// The time that the actor set with [`Core::set_wake`](super::Core::set_wake) has come.
    fn wake(self: Rc<Self>) {}

    /// An entry of the idle list is due. Returns whether the socket was idle.
    fn check_idle(self: Rc<Self>) -> bool {
        false
    }

    /// The close phase (phase 6). `cancelled` is the error for the writes that were in flight.
    fn close(self: Rc<Self>, _cancelled: Option<Error>) {}

    /// Whether the actor is closed after the others when the loop ends, as listeners are.
    fn is_closed_last(&self) -> bool {
        false
    }

    /// The loop ends and closes the descriptor next. This is the last chance to query the system about it.
    fn before_abandon(self: Rc<Self>) {}

    /// The loop was dropped: emits no event, but frees everything that the callbacks captured.
    fn abandon(self: Rc<Self>);

    /// Lets the layer that made the actor downcast it.
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
}
