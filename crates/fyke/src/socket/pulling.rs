//! Reads and writes sockets by polling, for [`SocketStream`](crate::SocketStream).
//!
//! A poll makes one call to the driver, which reads into the caller's memory or sends from it. If the call
//! would block, the driver reports once when it may succeed, and that wakes the task.

use std::io::{self, IoSlice};
use std::ops::Deref;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use fyke_driver::uninit::{Unfilled, copy_into};
use fyke_driver::{Driver, SocketId};
use fyke_machine::connection::{Connection, Event};
use fyke_machine::error::MakeError;
use fyke_machine::reading::Sink;
use fyke_machine::transitions::{Pull, Push};

use super::link::Link;
use super::listener::{Hears, Own, Parts};
use super::target::Target;
use super::{Inner, Lent, Listener, Socket};
use crate::listeners::{Lasts, ListenerId};
use crate::wiring::Core;
use crate::{Error, ErrorCode, Result};

/// The number of bytes that one write queues, if they cannot be given to the kernel directly.
const QUEUED_AT_ONCE_BYTES: usize = 64 * 1024;

/// The link between a stream, or one half of it, and its socket. Dropping the last one destroys the socket.
///
/// A waiting task contains one or two of them, so it is one pointer: to the listener that wakes the tasks, which
/// also has the socket. [`Drop`] removes that listener, and so ends the cycle.
pub(crate) struct End(Rc<Own<Socket, Weak<Inner>>>);

impl End {
    /// Makes the socket readable only by polling. Fails if the socket's data has a consumer.
    pub(crate) fn new(socket: &Socket) -> Result<Self> {
        socket.check_consumers()?;
        let has_sink = socket.inner.state.borrow().sink != Sink::Absent;
        if has_sink || socket.stream_listener().is_some() {
            return Err(has_consumer());
        }
        let link = Box::new(Link::new(socket.clone()));
        let own = Rc::new(Own::Stream(Parts::new(1), link));
        let listener = Listener::Own(Rc::clone(&own));
        socket.inner.listeners.add(Hears::Stream, Lasts::Always, listener);
        socket.step(|machine, _, fx| machine.begin_pulling(fx));
        Ok(Self(own))
    }

    fn parts(&self) -> &Parts {
        match &*self.0 {
            Own::Stream(parts, _) => parts,
            _ => unreachable!("this is the listener of a stream"),
        }
    }

    /// Splits the stream, and returns the link of its other half.
    pub(crate) fn split(&self) -> Self {
        self.parts().set(2);
        Self(Rc::clone(&self.0))
    }

    /// Ends the stream: the socket's data goes to its listeners again.
    pub(crate) fn release(self) -> Socket {
        drop(self.remove_listener());
        let socket = self.socket.clone();
        if !socket.is_destroyed() {
            socket.step(|machine, _, fx| machine.end_pulling(fx));
        }
        // The listener is removed, so dropping this link does nothing.
        socket
    }

    /// Removes and returns the listener of this stream, unless that has happened.
    fn remove_listener(&self) -> Option<Listener> {
        let (id, own) = self.socket.stream_listener()?;
        if Rc::ptr_eq(&own, &self.0) { self.socket.inner.listeners.remove(id) } else { None }
    }
}

impl Deref for End {
    type Target = SocketLink;

    #[inline]
    fn deref(&self) -> &SocketLink {
        self.0.link().expect("this is the listener of a stream")
    }
}

/// What polls need of an [`End`].
pub(crate) type SocketLink = Link<Socket>;

impl SocketLink {
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Reads into `target`, which must have room. At the end of the stream, the result is empty.
    #[inline]
    pub(crate) fn poll_pull<T: Target>(
        &self,
        cx: &Context<'_>,
        target: T,
    ) -> Poll<Result<T::Filled>> {
        let core = self.socket.pulling_core()?;
        let from = self.source();
        self.poll_pull_from(core, from, cx, target)
    }

    /// Reads into memory that the loop lends, which is taken only if a read may succeed. Returns `None` at
    /// the end of the stream.
    #[inline]
    pub(crate) fn poll_lent(&self, cx: &Context<'_>) -> Poll<Result<Option<Box<Lent>>>> {
        let core = self.socket.pulling_core()?;
        let from = self.source();
        if let (Pull::Driver, Some(id)) = &from {
            if core.driver.is_drained(*id) {
                self.socket.check_consumers()?;
                return self.wait_for_bytes(core, *id, cx);
            }
        }
        let mut lent = self.socket.take_lent();
        let read = self.poll_pull_from(core, from, cx, lent.memory());
        if matches!(read, Poll::Ready(Ok(1..))) {
            return Poll::Ready(Ok(Some(lent)));
        }
        self.socket.give_back_lent(lent);
        read.map_ok(|_| None)
    }

    /// Returns where the next bytes are.
    #[inline]
    fn source(&self) -> (Pull, Option<SocketId>) {
        let state = self.socket.inner.state.borrow();
        (state.pull(), state.id)
    }

    #[inline]
    fn poll_pull_from<T: Target>(
        &self,
        core: &Core,
        (pull, id): (Pull, Option<SocketId>),
        cx: &Context<'_>,
        target: T,
    ) -> Poll<Result<T::Filled>> {
        ready!(core.tasks.spend(cx));
        self.socket.check_consumers()?;
        let (Pull::Driver, Some(id)) = (&pull, id) else {
            return self.poll_stored(pull, cx, target);
        };
        match target.read(&core.driver, id) {
            Ok(filled) => {
                match T::len(&filled) {
                    0 => self.socket.step(Connection::pulled_end),
                    count => self.count_pulled(core, count),
                }
                Poll::Ready(Ok(filled))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait_for_bytes(core, id, cx)
            }
            Err(error) => Poll::Ready(Err(self.pull_failed(error))),
        }
    }

    #[inline]
    fn wait_for_bytes<R>(&self, core: &Core, id: SocketId, cx: &Context<'_>) -> Poll<Result<R>> {
        self.set_reader(cx.waker());
        match core.driver.readable_start(id) {
            Ok(()) => self.wait_outside(core),
            Err(error) => Poll::Ready(Err(self.pull_failed(error))),
        }
    }

    #[inline(never)]
    fn poll_stored<T: Target>(
        &self,
        pull: Pull,
        cx: &Context<'_>,
        target: T,
    ) -> Poll<Result<T::Filled>> {
        match pull {
            Pull::Stored => {
                let room = target.room();
                let bytes = self.socket.step(|machine, _, _| machine.take_pulled(room));
                Poll::Ready(Ok(target.copy(&bytes.unwrap_or_default())))
            }
            Pull::Ended => {
                self.socket.step(Connection::pulled_end);
                Poll::Ready(Ok(target.copy(&[])))
            }
            Pull::Wait => {
                self.set_reader(cx.waker());
                Poll::Pending
            }
            Pull::Gone(error) => Poll::Ready(Err(error)),
            Pull::Layer => {
                self.set_reader(cx.waker());
                self.socket.receive_start();
                Poll::Pending
            }
            Pull::Driver => Poll::Ready(Err(loop_is_gone())),
        }
    }

    /// Copies the next bytes into `buffer`, which must have room, without consuming them.
    pub(crate) fn poll_peek<'a>(
        &self,
        cx: &Context<'_>,
        buffer: Unfilled<'a>,
    ) -> Poll<Result<&'a mut [u8]>> {
        let core = self.socket.pulling_core()?;
        ready!(core.tasks.spend(cx));
        self.socket.check_consumers()?;
        match self.source() {
            (Pull::Driver, Some(id)) => match core.driver.peek_into(id, buffer) {
                Ok(bytes) => Poll::Ready(Ok(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_bytes(core, id, cx)
                }
                // The following read returns this error too.
                Err(error) => Poll::Ready(Err(Error::system("read", error))),
            },
            (Pull::Stored, _) => {
                let bytes = self.socket.inner.state.borrow().read.copy_stored();
                Poll::Ready(Ok(copy_into(&bytes, buffer)))
            }
            (pull, _) => self.poll_stored(pull, cx, buffer),
        }
    }

    #[inline]
    fn count_pulled(&self, core: &Core, count: usize) {
        let plain = self.socket.inner.state.borrow_mut().machine.pulled_plain(count, core.moment());
        if !plain {
            self.socket.step(|machine, cx, _| machine.pulled(count, cx));
        }
    }

    fn pull_failed(&self, error: io::Error) -> Error {
        self.socket.step(|machine, cx, fx| machine.pull_failed(error, cx, fx))
    }

    /// Sends bytes, and returns how many the kernel has accepted.
    #[inline]
    pub(crate) fn poll_push(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let send = |driver: &Driver, id| driver.send_at_once(id, bytes);
        let queue = |socket: &Socket| queue_parts(socket, std::iter::once(bytes));
        self.poll_push_with(cx, bytes.is_empty(), send, queue)
    }

    /// Sends bytes from several places with one call, and returns how many the kernel has accepted.
    pub(crate) fn poll_push_vectored(
        &self,
        cx: &Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let is_empty = slices.iter().all(|slice| slice.is_empty());
        let send = |driver: &Driver, id| driver.send_vectored_at_once(id, slices);
        let queue = |socket: &Socket| queue_parts(socket, slices.iter().map(|slice| &**slice));
        self.poll_push_with(cx, is_empty, send, queue)
    }

    /// Sends bytes with `send`, or queues them with `queue`.
    #[inline]
    fn poll_push_with(
        &self,
        cx: &Context<'_>,
        is_empty: bool,
        send: impl FnOnce(&Driver, SocketId) -> io::Result<usize>,
        queue: impl FnOnce(&Socket) -> usize,
    ) -> Poll<Result<usize>> {
        let core = self.socket.pulling_core()?;
        ready!(core.tasks.spend(cx));
        let (may, id) = {
            let state = self.socket.inner.state.borrow();
            (state.may_push(), state.id)
        };
        let (Some(id), true) = (id, may) else {
            return self.poll_push_otherwise(cx, is_empty, send, queue);
        };
        self.poll_send(core, id, cx, is_empty, send)
    }

    #[inline]
    fn poll_send(
        &self,
        core: &Core,
        id: SocketId,
        cx: &Context<'_>,
        is_empty: bool,
        send: impl FnOnce(&Driver, SocketId) -> io::Result<usize>,
    ) -> Poll<Result<usize>> {
        if is_empty {
            return Poll::Ready(Ok(0));
        }
        match send(&core.driver, id) {
            Ok(0) => self.wait_for_room(core, id, cx),
            Ok(count) => {
                let plain = {
                    let mut state = self.socket.inner.state.borrow_mut();
                    state.machine.pushed_plain(count, core.moment())
                };
                if !plain {
                    self.socket.step(|machine, cx, _| machine.pushed(count, cx));
                }
                Poll::Ready(Ok(count))
            }
            Err(error) => {
                Poll::Ready(Err(self.socket.step(|machine, _, fx| machine.push_failed(error, fx))))
            }
        }
    }

    #[inline(never)]
    fn poll_push_otherwise(
        &self,
        cx: &Context<'_>,
        is_empty: bool,
        send: impl FnOnce(&Driver, SocketId) -> io::Result<usize>,
        queue: impl FnOnce(&Socket) -> usize,
    ) -> Poll<Result<usize>> {
        let core = self.socket.pulling_core()?;
        let push = self.socket.step(|machine, cx, _| machine.push(cx.policy));
        match (push, self.socket.id()) {
            (Push::Driver, Some(id)) => self.poll_send(core, id, cx, is_empty, send),
            (Push::Driver, None) => Poll::Ready(Err(loop_is_gone())),
            (Push::Queue, _) => Poll::Ready(Ok(queue(&self.socket))),
            (Push::Drain | Push::Wait, _) => {
                self.set_writer(cx.waker());
                Poll::Pending
            }
            (Push::Gone(error), _) => Poll::Ready(Err(error)),
        }
    }

    #[cold]
    fn wait_for_room<R>(&self, core: &Core, id: SocketId, cx: &Context<'_>) -> Poll<Result<R>> {
        self.set_writer(cx.waker());
        if let Err(error) = core.driver.writable_start(id) {
            return Poll::Ready(Err(self
                .socket
                .step(|machine, _, fx| machine.push_failed(error, fx))));
        }
        let timeout = self.socket.inner.state.borrow().write_stall_timeout();
        if timeout.is_some() {
            self.socket.step(|machine, cx, _| machine.push_waits(timeout.map(Into::into), cx.now));
        }
        self.wait_outside(core)
    }

    /// Returns `Ready` when the kernel has accepted everything that was written.
    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<()>> {
        let queued = self.socket.inner.state.borrow().write.queued_bytes();
        if queued == 0 {
            return Poll::Ready(Ok(()));
        }
        self.socket.step(|machine, _, _| machine.wait_for_flush())?;
        self.set_writer(cx.waker());
        Poll::Pending
    }

    /// Ends our side, unless it has already ended. Returns `Ready` when the kernel has accepted everything
    /// that was written and our side has ended.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<Result<()>> {
        if self.socket.is_writable_finished() {
            return Poll::Ready(Ok(()));
        }
        let failure = self.socket.inner.state.borrow().errored().cloned();
        if let Some(error) = failure {
            return Poll::Ready(Err(error));
        }
        if self.socket.is_destroyed() {
            let message = "the socket was destroyed before it was ended";
            return Poll::Ready(Err(Error::new(ErrorCode::ERR_STREAM_DESTROYED, message)));
        }
        if !self.socket.inner.state.borrow().write.is_ended() {
            self.socket.end();
        }
        self.set_writer(cx.waker());
        Poll::Pending
    }

    /// Returns `Pending`, because the driver will report a completion. If the loop is not running a turn, its
    /// host must be notified of work that the descriptor does not show.
    #[inline]
    fn wait_outside<R>(&self, core: &Core) -> Poll<R> {
        core.notify_host_if(|| core.driver.has_work());
        Poll::Pending
    }
}

/// Queues bytes, and returns how many. All in one poll: a layer then makes one record of them, and the kernel sends one
/// packet.
fn queue_parts<'a>(socket: &Socket, parts: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut room = QUEUED_AT_ONCE_BYTES;
    for part in parts {
        let part = &part[..part.len().min(room)];
        room -= part.len();
        if !part.is_empty() {
            // The event `drain` reports when there is room again.
            let _ = socket.write(part);
        }
    }
    QUEUED_AT_ONCE_BYTES - room
}

impl Drop for End {
    fn drop(&mut self) {
        let parts = self.parts();
        parts.set(parts.get() - 1);
        if parts.get() > 0 {
            return;
        }
        // Without its listener, the stream has ended, and the socket may have a later stream.
        if let Some(listener) = self.remove_listener() {
            drop(listener);
            self.socket.destroy();
        }
    }
}

impl Socket {
    /// Fails if listeners consume the socket's data.
    fn check_consumers(&self) -> Result<()> {
        const CONSUMERS: u32 =
            1 << Event::Data as u32 | 1 << Event::Text as u32 | 1 << Event::Readable as u32;
        match self.inner.listeners.heard() & CONSUMERS {
            0 => Ok(()),
            _ => Err(has_consumer()),
        }
    }

    /// Wakes the reading task, because the driver has reported that a read may succeed.
    pub(super) fn wake_reader(&self) {
        self.wake_stream(Link::wake_reader);
    }

    /// Wakes the writing task, because the driver has reported that a send may succeed.
    pub(super) fn wake_writer(&self) {
        self.wake_stream(Link::wake_writer);
    }

    fn wake_stream(&self, wake: impl FnOnce(&Link<Self>)) {
        let listener = self.stream_listener();
        if let Some(link) = listener.as_ref().and_then(|(_, own)| own.link()) {
            wake(link);
        }
    }

    /// Returns the listener that wakes the tasks of the stream, if there is one.
    fn stream_listener(&self) -> Option<(ListenerId, Rc<Own<Self, Weak<Inner>>>)> {
        self.inner.listeners.find(|listener| match listener {
            Listener::Own(own) => own.link().map(|_| Rc::clone(own)),
            Listener::User(_) => None,
        })
    }

    fn pulling_core(&self) -> Result<&Rc<Core>> {
        self.core().ok_or_else(loop_is_gone)
    }
}

fn has_consumer() -> Error {
    let message = "the socket's data already has a consumer: a listener, a pipe or another stream";
    Error::new(ErrorCode::ERR_HAS_CONSUMER, message)
}

fn loop_is_gone() -> Error {
    Error::new(ErrorCode::ERR_EVENT_LOOP_CLOSED, "the event loop was dropped")
}
