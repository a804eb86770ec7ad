//! Taking bytes instead of being given them: `readable` and `read` (RD-10 … RD-12, RD-14).

use super::phase::Phase;
use super::read_side::Readable;
use super::{Event, Socket};
use crate::listeners::ListenerId;
use crate::socket_options::WRITE_QUEUE_BYTES_MAX;
use crate::wiring::Tick;
use crate::{Error, ErrorCode, Result};

/// More in one piece is refused, unless the high-water mark is higher: as much as may be queued for a
/// peer.
const READ_BYTES_MAX: usize = WRITE_QUEUE_BYTES_MAX as usize;
/// The same for exact loops, as in Node.
const EXACT_READ_BYTES_MAX: usize = 1 << 30;

/// # Reading on demand
impl Socket {
    /// There are bytes to [`read`](Self::read), or the peer has ended. A listener takes control: data
    /// does not flow any more, and `resume` has no effect, until the last of them is removed. Node:
    /// `readable`.
    ///
    /// ```
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.server().unwrap().close();
    ///         socket.end_with("four more");
    ///     });
    ///     server.listen(0, |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap(), |_| {}).unwrap();
    ///         client.on_readable(|client| {
    ///             while let Some(word) = client.read_exact(4).unwrap() {
    ///                 println!("{}", String::from_utf8_lossy(&word));
    ///             }
    ///         });
    ///     })
    /// })?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn on_readable(&self, f: impl FnMut(&Socket) + 'static) -> ListenerId {
        let id = self.add_readable(f);
        let next = {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() { Readable::Nothing } else { state.read.listen_readable() }
        };
        self.follow(next);
        id
    }

    fn follow(&self, next: Readable) {
        match next {
            Readable::Nothing => {}
            Readable::Emit => self.tick(Tick::Readable),
            Readable::Receive => self.tick(Tick::Receive),
        }
    }

    /// Takes the first of the received chunks that are queued, or `None` if there are none. Chunk
    /// boundaries are arbitrary; if more than 64 chunks are queued, small ones are joined.
    /// Node: `socket.read()`.
    pub fn read(&self) -> Option<Vec<u8>> {
        self.take(None)
    }

    /// Takes exactly `count` bytes, or `None` if fewer are queued; after the peer has ended, the
    /// shorter rest. A `count` above the high-water mark raises the mark to the next power of two, so
    /// that many bytes can wait: do not pass a length that the peer chose without a limit of your own.
    /// The time taken depends on `count` only, not on how much is queued. Node: `socket.read(count)`.
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` for more than 64 MiB; a larger
    /// [`high_water_mark`](crate::SocketOptions::high_water_mark) allows as much as it says. On a loop
    /// made with [`node_exact`](crate::Builder::node_exact) the limit is Node's, 1 GiB. Nothing is
    /// taken then, and the mark stays.
    pub fn read_exact(&self, count: usize) -> Result<Option<Vec<u8>>> {
        let max = match self.node_exact() {
            true => EXACT_READ_BYTES_MAX,
            false => READ_BYTES_MAX.max(self.high_water_mark()),
        };
        if count > max {
            let message = format!("at most {max} bytes can be read in one piece");
            return Err(Error::new(ErrorCode::ERR_OUT_OF_RANGE, message));
        }
        Ok(self.take(Some(count)))
    }

    fn take(&self, count: Option<usize>) -> Option<Vec<u8>> {
        let (taken, end) = {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                // Node gives out what had come until then.
                return state.read.read(count).0.filter(|_| self.node_exact());
            }
            if state.connecting {
                state.read.want_on_connect();
            }
            let (taken, end) = state.read.read(count);
            state.idle.declared &= taken.is_none();
            (taken, end)
        };
        if let Some(bytes) = taken.as_ref().filter(|_| self.has_data_listener()) {
            // Not inside this call (contract C1).
            let mut state = self.inner.state.borrow_mut();
            state.rare().owed.get_or_insert_default().taken.push_back(bytes.clone());
            drop(state);
            self.tick(Tick::Data);
        }
        if end {
            self.tick(Tick::End);
        }
        self.fail_if_delivered(false);
        self.start_receiving();
        self.sync_hold();
        taken
    }

    /// Gives what `read` took to the listeners for data, before anything that is behind it.
    pub(super) fn emit_taken(&self) {
        while let Some(bytes) = self.next_taken() {
            // Nothing is delivered after `destroy` (RD-21); in Node it was, inside `read`.
            if !self.destroyed() || self.node_exact() {
                self.emit_data(&bytes);
            }
        }
    }

    fn next_taken(&self) -> Option<Vec<u8>> {
        self.inner.state.borrow_mut().rare_if_any_mut()?.owed.as_mut()?.taken.pop_front()
    }

    /// Puts bytes back, to be the next that are read or delivered. Returns whether there is room
    /// for more. Node: `socket.unshift()`.
    ///
    /// After `end` it returns false and destroys the socket with
    /// `ERR_STREAM_UNSHIFT_AFTER_END_EVENT`.
    pub fn unshift(&self, bytes: impl AsRef<[u8]>) -> bool {
        // The caller's code, so with nothing borrowed.
        let bytes = bytes.as_ref();
        let (room, next) = {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                return false;
            }
            if state.read.end_emitted {
                drop(state);
                let code = ErrorCode::ERR_STREAM_UNSHIFT_AFTER_END_EVENT;
                self.destroy_with(Error::new(code, "nothing can be put back after end"));
                return false;
            }
            let room = state.read.unshift(bytes);
            (room, state.read.kept_more())
        };
        self.follow(next);
        if self.readable_flowing() == Some(true) {
            self.tick(Tick::Resume);
        }
        room
    }

    pub(super) fn kept_more(&self) {
        let next = self.inner.state.borrow_mut().read.kept_more();
        self.follow(next);
    }

    /// The tick of `readable`.
    pub(super) fn run_readable(&self) {
        let due = {
            let state = self.inner.state.borrow();
            state.phase == Phase::Live && !state.has_failed() && state.read.is_readable()
        };
        if due {
            self.emit(Event::Readable);
        }
        self.inner.state.borrow_mut().read.readable_done();
    }

    /// A listener was removed: if it was the last for `readable`, data flows as it did without.
    pub(super) fn listener_removed(&self) {
        let listened = self.inner.state.borrow().read.is_readable_listening();
        if !listened || self.inner.listeners.has(Event::Readable) {
            return;
        }
        let has_data_listener = self.has_data_listener();
        let flows = self.inner.state.borrow_mut().read.unlisten_readable(has_data_listener);
        if flows {
            self.resume();
        }
    }
}
