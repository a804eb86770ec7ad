//! Sending: what the loop does for [`WriteSide`](super::write_side::WriteSide).
//!
//! A write is queued, and handed over to the driver when the running batch of callbacks ends, at
//! once when the queue reaches the high-water mark (so that the returned bool means what Node's
//! means), or when the socket is ended, destroyed or reset (contract C9). One that is large, and that
//! nothing is before, is offered at once: then it need not be copied.

use fyke_driver::{Batch, Chunk, SocketId};

use super::callback::Done;
use super::phase::Phase;
use super::{Event, Socket};
use crate::payload::Payload;
use crate::wiring::{Core, Tick};
use crate::{Error, ErrorCode, Result};

/// # Writing
impl Socket {
    /// Sends bytes; returns whether there is room for more.
    ///
    /// `false` means: wait for [`on_drain`](Self::on_drain). The bytes are accepted in any case,
    /// except on a socket that is ended, destroyed or was never connected; then an `error` follows
    /// (`ERR_STREAM_WRITE_AFTER_END`, `EPIPE` when the peer had ended first, `ERR_SOCKET_CLOSED`),
    /// but none after `destroy`. While connecting, bytes wait for the connection.
    ///
    /// Borrowed bytes (`&[u8]`, `&str`) are copied, but for what the kernel takes at once of more than
    /// 4 KiB (on Unix sockets and with `no_delay`; else of the high-water mark or more). Large owned
    /// bytes (`Vec<u8>`, `String`, `Bytes`) are moved, see [`Payload`]. Small writes of one callback
    /// leave in one system call. Node: `socket.write(data)`.
    ///
    /// How a server heeds what this returns, in `examples/chat.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/chat.rs"), "```")]
    pub fn write<'a>(&self, data: impl Into<Payload<'a>>) -> bool {
        let payload = data.into();
        match payload.to_copy() {
            Some(bytes) => self.write_plainly(bytes),
            None => None,
        }
        .unwrap_or_else(|| self.write_payload(payload, None))
    }

    /// The same, and tells `callback` when the kernel has the bytes, or why it never will: exactly
    /// once, never inside this call, in the order of the writes, before `close`. Node:
    /// `socket.write(data, callback)`.
    pub fn write_then<'a>(
        &self,
        data: impl Into<Payload<'a>>,
        callback: impl FnOnce(&Socket, Result<()>) + 'static,
    ) -> bool {
        self.write_payload(data.into(), Some(Box::new(callback)))
    }

    pub(super) fn write_payload(&self, payload: Payload<'_>, callback: Option<Done>) -> bool {
        if let Some(error) = self.refuse_write() {
            self.refused(error, callback);
            return false;
        }
        let Some(core) = self.core() else { return false };
        self.touch_by_write(core);
        let excess = if core.node_exact { payload.excess_over_utf16() } else { 0 };
        // Declared first, so dropped last, with nothing borrowed.
        let _copied;
        let mut state = self.inner.state.borrow_mut();
        _copied = state.write.push(payload, callback, || core.driver.take_buffer());
        state.write.add_excess(excess);
        if state.has_failed() || (state.id.is_none() && !state.connecting) {
            drop(state);
            self.write_without_connection();
            return false;
        }
        let connected = state.connected().is_some();
        if core.node_exact || (connected && state.write.is_full()) {
            drop(state);
            return self.write_now(core);
        }
        // Handed over when the batch of callbacks ends, or when the connection stands.
        let first = connected && !std::mem::replace(&mut state.write.dirty, true);
        let room = state.write.has_room();
        drop(state);
        if first {
            core.push_dirty(self.actor());
        }
        room
    }

    /// Hands over inside the call of `write`, and says whether there is room for more.
    fn write_now(&self, core: &Core) -> bool {
        if core.node_exact {
            self.offer_at_once();
        } else {
            self.hand_over();
        }
        self.has_room()
    }

    /// What `write` answers when the kernel was offered the bytes.
    pub(super) fn has_room(&self) -> bool {
        let room = {
            let mut state = self.inner.state.borrow_mut();
            let room = state.write.has_room();
            room && !state.has_failed()
        };
        self.sync_hold();
        room
    }

    /// Why a write cannot even be queued (WR-15, WR-16, END-10).
    pub(super) fn refuse_write(&self) -> Option<Error> {
        let exact = self.node_exact();
        let state = self.inner.state.borrow();
        if state.write.ending {
            let ended = state.read.end_emitted && state.read.has_ended();
            let by_peer = ended && !state.allow_half_open;
            return Some(match by_peer {
                true => Error::new(ErrorCode::EPIPE, "the other side has ended the connection"),
                false => Error::new(ErrorCode::ERR_STREAM_WRITE_AFTER_END, "write after end"),
            });
        }
        if state.destroyed() {
            let message = "write on a destroyed socket";
            return Some(Error::new(ErrorCode::ERR_STREAM_DESTROYED, message));
        }
        state.is_queue_too_long(exact).then(queue_is_full)
    }

    /// Tells the callback on the tick; the socket is destroyed with the error if it is not yet.
    pub(super) fn refused(&self, error: Error, callback: Option<Done>) {
        if let Some(callback) = callback {
            self.reply(callback, Err(error.clone()));
        }
        match error.code() {
            ErrorCode::ERR_WRITE_QUEUE_FULL => self.fail(error),
            _ => _ = self.destroy_with(error),
        }
    }

    /// A write on a socket that was never connected (WR-14): fails as a whole on the tick.
    fn write_without_connection(&self) {
        if self.inner.state.borrow().has_failed() {
            return;
        }
        let error = match self.bound_address() {
            // As the system says it of a socket that there is (BND-09).
            Some(_) => Error::named(ErrorCode::EPIPE, "write"),
            None => Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is not connected"),
        };
        let bytes = {
            let mut state = self.inner.state.borrow_mut();
            state.set_errored(&error);
            state.write.give_up_queue()
        };
        drop(bytes);
        self.tick_with(move |socket| socket.write_failed(error));
    }

    /// The batch of callbacks has ended (phase 7).
    pub(crate) fn hand_over_dirty(&self) {
        self.inner.state.borrow_mut().write.dirty = false;
        self.hand_over();
        self.sync_hold();
    }

    /// Hands the queue over to the driver, if nothing is in flight and nothing holds it back.
    pub(super) fn hand_over(&self) {
        if let Some(number) = self.offer_queue() {
            self.tell_written(number);
        }
    }

    /// On the tick; or in the next turn, if much was told in this batch of callbacks: else who writes
    /// on whenever the kernel took everything would leave no time for others (contract C6). They take
    /// turns then, which also costs less: a receiver that is fed alone sleeps between any two chunks,
    /// and waking it is what costs most.
    fn tell_written(&self, number: u64) {
        let Some(core) = self.core() else { return };
        if core.node_exact || core.budget.may_be_told() {
            return self.tick(Tick::Written(number));
        }
        let (socket, id) = (self.clone(), self.inner.state.borrow().id);
        let tell = move || {
            let Some(core) = socket.core() else { return };
            // Destroyed meanwhile: it was told then.
            if socket.inner.state.borrow().id == id {
                core.budget.tell_no_more();
                socket.run_tick(Tick::Written(number));
            }
        };
        core.push_next_turn(Box::new(tell));
    }

    /// The socket is destroyed: news that waits for the next turn comes before `close`.
    pub(super) fn tell_before_close(&self) {
        let number = self.inner.state.borrow().write.done_and_not_told();
        if let Some(number) = number {
            self.tick(Tick::Written(number));
        }
    }

    /// Calls the callbacks of the writes that the kernel has all of, whatever happens to later ones.
    pub(super) fn call_back_done(&self) {
        let number = self.inner.state.borrow().write.done_and_not_told();
        if let Some(number) = number {
            self.call_back(number, &Ok(()));
        }
    }

    /// The connection stands: what was written before it goes out. In Node the first of these
    /// writes leaves alone, inside `connect`, so its callback comes before `ready` (WR-10); here it
    /// leaves with the others, and only its callback goes ahead.
    pub(super) fn hand_over_first(&self) {
        if let Some(number) = self.offer_queue() {
            self.written(1);
            if number > 1 {
                self.tick(Tick::Written(number));
            }
        }
    }

    /// Offers the queue to the driver. If the kernel takes all of it, and somebody is to be told,
    /// says up to which write.
    fn offer_queue(&self) -> Option<u64> {
        let core = self.core()?;
        let mut state = self.inner.state.borrow_mut();
        let id = state.connected()?;
        if state.has_failed() {
            return None;
        }
        let mut taken = Ok(0);
        if let Some(bytes) = state.write.small() {
            let len = bytes.len();
            taken = core.driver.send_at_once(id, bytes);
            if matches!(taken, Ok(count) if count == len) {
                core.budget.count(len);
                core.driver.give_back_buffer(state.write.small_is_sent());
                return state.write.has_news().then(|| state.write.handed_over());
            }
        } else if !state.write.can_hand_over() {
            return None;
        }
        let mut batch = state.write.hand_over();
        if let (Ok(count @ 1..), Some(batch)) = (&taken, &mut batch) {
            batch.skip(*count);
            state.write.sent(*count);
        }
        drop(state);
        self.or_fail_later(match taken {
            Ok(_) => self.offer(id, batch),
            Err(source) => Err(self.refused_by_system(source)),
        })
    }

    /// An offer that was refused is told on the tick.
    pub(super) fn or_fail_later(&self, result: Result<Option<u64>>) -> Option<u64> {
        result.unwrap_or_else(|error| {
            self.tick_with(move |socket| socket.write_failed(error));
            None
        })
    }

    /// The same for a batch that is in flight already; none was only empty writes.
    pub(super) fn offer(&self, id: SocketId, batch: Option<Batch>) -> Result<Option<u64>> {
        let Some(core) = self.core() else { return Ok(None) };
        // Empty writes ask the kernel too: that is how a broken connection shows (WR-24).
        let batch = batch.unwrap_or_else(|| Batch::one(Chunk::Buffer(Vec::new())));
        let count = core.driver.send(id, batch).map_err(|source| self.refused_by_system(source))?;
        core.budget.count(count);
        let (all, number) = {
            let mut state = self.inner.state.borrow_mut();
            let all = state.write.sent(count);
            (all, state.write.has_news().then(|| state.write.handed_over()))
        };
        if !all {
            self.watch_write();
        }
        Ok(number.filter(|_| all))
    }

    /// The system takes nothing of the batch in flight.
    pub(super) fn refused_by_system(&self, source: std::io::Error) -> Error {
        let error = Error::system("write", source);
        let exact = self.node_exact();
        let mut state = self.inner.state.borrow_mut();
        state.set_errored(&error);
        match exact {
            true => state.write.give_up_flight(),
            false => state.write.refused(),
        }
        error
    }

    /// The driver sent more of the batch in flight.
    pub(super) fn sent(&self, bytes: usize) {
        let number = {
            let mut state = self.inner.state.borrow_mut();
            if !state.write.sent(bytes) {
                return;
            }
            state.write.handed_over()
        };
        self.touch();
        // What was queued meanwhile goes before the news about what is done (WR-06).
        self.hand_over();
        self.written(number);
    }

    /// Every write up to this number is with the kernel: `drain` first, then the callbacks (WR-06).
    pub(super) fn written(&self, number: u64) {
        let drain = {
            let mut state = self.inner.state.borrow_mut();
            !state.destroyed() && state.write.take_drain()
        };
        if drain {
            self.emit(Event::Drain);
        }
        self.call_back(number, &Ok(()));
        if self.destroyed() {
            self.fail_queue();
        }
        self.finish_if_done();
    }

    /// Runs the callbacks of the writes up to this number; not those of writes that they make.
    pub(super) fn call_back(&self, number: u64, result: &Result<()>) {
        let count = self.inner.state.borrow().write.callbacks_up_to(number);
        for _ in 0..count {
            let callback = self.inner.state.borrow_mut().write.next_callback(number);
            let Some(callback) = callback else { return };
            callback(self, result.clone());
        }
    }

    /// A send failed: first the callbacks of what was sent before, then of what was in flight, then of
    /// what was queued, then the end of the socket (WR-17).
    pub(super) fn write_failed(&self, error: Error) {
        self.call_back_done();
        let number = {
            let mut state = self.inner.state.borrow_mut();
            state.set_errored(&error);
            state.write.give_up_flight();
            state.write.handed_over()
        };
        self.call_back(number, &Err(error.clone()));
        self.fail_queue();
        if !self.delivers_first(&error) {
            self.fail(error);
        }
    }

    /// Gives up what was queued and not handed over, and tells its callbacks and those of `end`:
    /// the socket's error, or that it was destroyed (WR-19). Not while a batch is in flight; then
    /// they are told after that one's.
    pub(super) fn fail_queue(&self) {
        let error = {
            let state = self.inner.state.borrow();
            // Of those that the kernel has, the callbacks come first.
            let handed_over = state.write.callbacks_up_to(state.write.handed_over()) > 0;
            let flying = state.write.in_flight_bytes() > 0 || state.write.is_parked();
            if flying || handed_over || state.write.nothing_waits() {
                return;
            }
            state.errored()
        };
        let destroyed = || Error::new(ErrorCode::ERR_STREAM_DESTROYED, "the socket was destroyed");
        self.fail_queue_with(error.unwrap_or_else(destroyed));
    }

    pub(super) fn fail_queue_with(&self, error: Error) {
        if self.node_exact() {
            return self.fail_one_by_one(&error);
        }
        let bytes = self.inner.state.borrow_mut().write.give_up_queue();
        drop(bytes);
        let result = Err(error);
        self.call_back(u64::MAX, &result);
        let callbacks = self.inner.state.borrow_mut().write.take_end_callbacks();
        for callback in callbacks {
            callback(self, result.clone());
        }
    }

    /// Holds writes back until [`uncork`](Self::uncork), so that they leave together. Calls nest.
    /// Node: `socket.cork()`.
    pub fn cork(&self) -> &Self {
        // Only what comes after this is held back.
        self.hand_over();
        let exact = self.node_exact();
        self.inner.state.borrow_mut().write.cork(!exact);
        self
    }

    /// Ends a [`cork`](Self::cork); the outermost sends what was held back. Node:
    /// `socket.uncork()`.
    pub fn uncork(&self) -> &Self {
        let exact = self.node_exact();
        let due = {
            let mut state = self.inner.state.borrow_mut();
            state.write.uncork();
            if state.connecting && exact {
                state.write.park();
            }
            state.connected().is_some() && state.write.can_hand_over()
        };
        if due {
            // What leaves now counts as activity, not only when it was written (TMO-02).
            self.touch();
            self.hand_over();
            // Corked after `end`: that was all it waited for.
            self.finish_if_done();
            self.sync_hold();
        }
        self
    }

    /// Bytes that were accepted and not sent yet. Those on their way to the kernel count until the
    /// last of them is there. Node: `writableLength`.
    pub fn write_queue_len(&self) -> usize {
        self.inner.state.borrow().write.len()
    }

    /// The same number; none when there is neither a connection nor a connect under way. Node:
    /// `bufferSize`.
    pub fn buffer_size(&self) -> Option<usize> {
        let state = self.inner.state.borrow();
        (state.phase == Phase::Live).then(|| state.write.len())
    }

    /// Whether a write has returned false and `drain` is still to come. Node: `writableNeedDrain`.
    pub fn needs_drain(&self) -> bool {
        let state = self.inner.state.borrow();
        state.write.need_drain() && state.writable()
    }

    /// How many times `cork` was called without `uncork`. Node: `writableCorked`.
    pub fn corked(&self) -> u32 {
        self.inner.state.borrow().write.corked()
    }

    /// Bytes accepted by `write` on this connection, including those still queued. Kept after
    /// `close`, less what never reached the kernel.
    pub fn bytes_written(&self) -> u64 {
        self.inner.state.borrow().write.accepted_bytes()
    }

    /// Returns how many bytes the kernel has taken and the peer's system has not acknowledged; over a
    /// Unix socket, those that the peer has not read. A reset
    /// ([`reset_and_destroy`](Self::reset_and_destroy)) discards them. `None` without a connection, and
    /// on systems other than Linux. Bytes that the kernel has not taken yet are in
    /// [`write_queue_len`](Self::write_queue_len). Costs a system call. No counterpart in Node.
    pub fn unacknowledged_bytes(&self) -> Option<usize> {
        let id = self.inner.state.borrow().connected()?;
        self.core()?.driver.unacknowledged_bytes(id).ok()
    }

    /// The high-water mark of both directions, in bytes, as it was set.
    pub fn high_water_mark(&self) -> usize {
        self.inner.state.borrow().write.high_water_mark_bytes()
    }
}

pub(super) fn queue_is_full() -> Error {
    let message = "more is queued than write_queue_bytes_max allows";
    Error::new(ErrorCode::ERR_WRITE_QUEUE_FULL, message)
}
