//! A connection whose owner reads and sends by itself, with driver calls that do not wait. The machine
//! delivers, stores and queues nothing: the receiving side has the sink [`Sink::Pulled`].

use std::io;

use crate::connection::{Connection, Context, Effects, Phase, Tick, Value, When};
use crate::error::MakeError;
use crate::reading::Sink;
use crate::{Error, ErrorCode, Moment, Policy};

/// Where the owner finds the next bytes.
#[derive(Clone, Debug)]
pub enum Pull {
    /// The owner reads them from the driver.
    Driver,
    /// The owner starts to receive. What arrives goes through a layer, and is stored then.
    Layer,
    /// They were received before and are stored here, see [`Connection::take_pulled`].
    Stored,
    /// The stream has ended. Call [`Connection::pulled_end`].
    Ended,
    /// The connection is not established yet.
    Wait,
    /// The connection has failed or is closed.
    Gone(Error),
}

/// What the owner does with bytes that it wants to send.
#[derive(Clone, Debug)]
pub enum Push {
    /// Offer them to the driver, and call [`Connection::pushed`].
    Driver,
    /// Queue them with [`Connection::write`], because the queue is corked, or a layer must change them.
    Queue,
    /// Wait for the event `drain`, because other writes are queued.
    Drain,
    /// The connection is not established yet.
    Wait,
    /// No more bytes can be sent.
    Gone(Error),
}

impl<C> Connection<C> {
    /// Lets the owner read the bytes by itself from now on. Our side stays open when the peer ends, because
    /// the owner learns of the end only when it reads, and may still want to send a response.
    pub fn begin_pulling(&mut self, fx: &mut Effects<C>) {
        self.sink = Sink::Pulled;
        self.half_open = true;
        if self.read.is_receiving() {
            self.stop_receiving(fx);
        }
    }

    /// Delivers bytes to listeners again from now on.
    pub fn end_pulling(&mut self, fx: &mut Effects<C>) {
        self.sink = Sink::Absent;
        self.read.stop_receiving();
        if !self.read.is_paused() {
            self.start_receiving(fx);
        }
    }

    /// Returns where the owner finds the next bytes.
    #[inline]
    pub fn pull(&self) -> Pull {
        let plain = self.phase == Phase::Open && !self.layered;
        if !plain || self.has_failed() || self.read.stored_bytes() > 0 {
            return self.pull_otherwise();
        }
        match self.read.has_ended() || self.read.has_emitted_end() {
            true => Pull::Ended,
            false => Pull::Driver,
        }
    }

    #[cold]
    fn pull_otherwise(&self) -> Pull {
        if self.has_failed() {
            return Pull::Gone(self.gone());
        }
        if self.read.stored_bytes() > 0 && !self.destroyed() {
            return Pull::Stored;
        }
        match self.phase {
            _ if self.read.has_emitted_end() => Pull::Ended,
            Phase::Connecting | Phase::Reopening => Pull::Wait,
            Phase::Open if self.read.has_ended() => Pull::Ended,
            Phase::Open => Pull::Layer,
            _ => Pull::Gone(self.gone()),
        }
    }

    /// Returns the reason why no more bytes can be received or sent.
    fn gone(&self) -> Error {
        let closed = || match self.destroyed() {
            true => Error::new(ErrorCode::ERR_STREAM_DESTROYED, "the socket was destroyed"),
            false => Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is not connected"),
        };
        self.errored().cloned().unwrap_or_else(closed)
    }

    /// Notes that the owner has read bytes from the driver.
    #[inline]
    pub fn pulled(&mut self, bytes: usize, cx: &Context<'_>) {
        self.touch(cx);
        self.idle.busy = true;
        self.read.count(bytes);
    }

    /// Removes and returns at most `max` of the stored bytes.
    pub fn take_pulled(&mut self, max: usize) -> Option<Vec<u8>> {
        self.idle.busy = true;
        self.read.did_read = true;
        self.read.take_stored(max)
    }

    /// Notes that the owner has read the end of the stream. The event `end` follows on the tick.
    pub fn pulled_end(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.touch(cx);
        if !self.fail_if_delivered(true, cx, fx) && self.read.end_of_stream() {
            fx.defer(When::Tick, Tick::End);
        }
    }

    /// Handles a failed read of the owner: destroys the connection with the error, and returns that for the
    /// owner.
    pub fn pull_failed(
        &mut self,
        source: io::Error,
        cx: &Context<'_>,
        fx: &mut Effects<C>,
    ) -> Error {
        let error = Error::system("read", source);
        self.fail(error.clone(), cx, fx);
        error
    }

    /// Returns what the owner does with bytes that it wants to send.
    #[inline]
    pub fn push(&mut self, policy: &Policy) -> Push {
        match self.may_push() {
            true => Push::Driver,
            false => self.push_otherwise(policy),
        }
    }

    /// Returns whether bytes can be offered to the driver without further checks.
    #[inline]
    pub fn may_push(&self) -> bool {
        let open = self.phase == Phase::Open && !self.write.is_ended() && !self.has_failed();
        open && !self.layered && !self.write.has_queue()
    }

    #[cold]
    fn push_otherwise(&mut self, policy: &Policy) -> Push {
        if self.has_failed() {
            return Push::Gone(self.gone());
        }
        match self.refuse_write(policy) {
            Some(error) if error.code() != ErrorCode::ERR_WRITE_QUEUE_FULL => {
                return Push::Gone(error);
            }
            _ => {}
        }
        match self.phase {
            Phase::Open if self.write.is_clear() && self.layered => Push::Queue,
            Phase::Open if self.write.is_clear() => Push::Driver,
            Phase::Open if self.write.corked() > 0 && !self.write.is_full() => Push::Queue,
            Phase::Open | Phase::Failing => {
                self.write.wait_for_drain();
                Push::Drain
            }
            Phase::Connecting | Phase::Reopening => Push::Wait,
            Phase::Fresh | Phase::Destroyed | Phase::Closed => Push::Gone(self.gone()),
        }
    }

    /// Makes an event report when the queued bytes are sent: `drain`, or `finish` if our side has ended.
    /// There must be queued bytes.
    ///
    /// # Errors
    /// The reason why they cannot be sent.
    pub fn wait_for_flush(&mut self) -> Result<(), Error> {
        if self.has_failed() || self.destroyed() {
            return Err(self.gone());
        }
        if !self.write.is_ended() {
            self.write.wait_for_drain();
        }
        Ok(())
    }

    /// Notes that the driver has accepted bytes of the owner.
    #[inline]
    pub fn pushed(&mut self, bytes: usize, cx: &Context<'_>) {
        self.touch(cx);
        self.write.sent_directly(bytes, bytes);
        if let Some(cold) = &mut self.cold {
            cold.push_deadline = None;
        }
    }

    /// Notes that the driver accepts no bytes now and will report when it does. If it accepts none within
    /// `stall_timeout`, the connection fails.
    pub fn push_waits(&mut self, stall_timeout: Option<Moment>, now: Moment) {
        let Some(timeout) = stall_timeout else { return };
        let deadline = now.saturating_add(timeout);
        self.cold().push_deadline.get_or_insert(deadline);
    }

    /// Handles a failed send of the owner: returns the error for the owner. The connection is destroyed with
    /// it on the tick.
    pub fn push_failed(&mut self, source: io::Error, fx: &mut Effects<C>) -> Error {
        let error = Error::system("write", source);
        self.set_errored(&error);
        self.report_later(Value::WriteFailed(error.clone()), fx);
        error
    }

    /// Returns whether the driver has accepted no bytes of the owner for too long.
    pub(crate) fn has_push_stalled(&mut self, now: Moment) -> bool {
        let Some(cold) = &mut self.cold else { return false };
        let stalled = cold.push_deadline.is_some_and(|deadline| deadline <= now);
        if stalled {
            cold.push_deadline = None;
        }
        stalled
    }
}
