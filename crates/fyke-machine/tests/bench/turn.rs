//! The turns of a loop, and the work of a driver.

use std::io;
use std::time::Duration;

use fyke_driver::Batch;
use fyke_machine::Error;
use fyke_machine::connection::{Event, Phase};
use fyke_machine::error::MakeError;
use fyke_machine::transitions::Flushed;

use super::wire::Piece;
use super::{Deferred, End, News, ShutDown, Side, User};

/// Turns until no work is left.
const TURNS_MAX: usize = 64;

impl<U: User> Side<U> {
    pub(super) fn flush(&mut self) -> Flushed {
        if !self.machine.is_connected() || self.machine.has_failed() {
            return Flushed::Quiet;
        }
        if let Some(flushed) = self.flush_plain() {
            return flushed;
        }
        if !self.machine.write.can_submit() {
            return Flushed::Quiet;
        }
        let batch = self.change().write.submit();
        self.offer(batch)
    }

    pub(super) fn offer(&mut self, batch: Option<Batch>) -> Flushed {
        let failure = |wire: &End| wire.send_failure();
        let failure = self.wire.as_ref().map_or(Some(io::ErrorKind::BrokenPipe), failure);
        let (Some(wire), None) = (&self.wire, failure) else {
            let broken = failure.unwrap_or(io::ErrorKind::BrokenPipe).into();
            let policy = self.policy;
            let error = self.change().refused_by_system(broken, &policy);
            return Flushed::Refused(error);
        };
        let bytes = batch.map(|batch| batch.to_vec()).unwrap_or_default();
        let taken = wire.send(&bytes, self.window_bytes);
        self.in_flight = (bytes, taken);
        self.forget_sent();
        let all = self.change().write.sent(taken);
        let reported = all && self.machine.write.has_news();
        let number = self.machine.write.in_flight_number();
        if reported { Flushed::Written(number) } else { Flushed::Quiet }
    }

    fn forget_sent(&mut self) {
        if self.in_flight.1 == self.in_flight.0.len() {
            self.in_flight = (Vec::new(), 0);
        }
    }

    /// Ends a batch of callbacks.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(tick) = self.ticks.pop_front() {
                match tick {
                    Deferred::Machine(tick) => {
                        self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
                    }
                    Deferred::User(number) => U::ticked(self, number),
                }
            }
            if !std::mem::take(&mut self.flush_later) {
                return;
            }
            self.change().write.dirty = false;
            let flushed = self.flush();
            self.step(|machine, _, fx| machine.flushed(flushed, fx));
        }
    }

    /// One turn of the loop: deferred steps, received data, the close phase.
    pub(crate) fn turn(&mut self) {
        self.settle();
        self.turn += 1;
        self.look_at_idle();
        let mut deferred = std::mem::take(&mut self.next_turn);
        while let Some(tick) = deferred.pop_front() {
            self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
            self.settle();
        }
        self.report_shut_down();
        self.receive();
        self.send_more();
        self.closes_now = true;
        for _ in 0..self.closing.len() {
            if let Some(cancelled) = self.closing.pop_front() {
                self.close(cancelled);
                self.settle();
            }
        }
        self.closes_now = false;
    }

    fn close(&mut self, cancelled: Option<Error>) {
        if !self.close_plain(cancelled.as_ref()) {
            self.step(|machine, _, fx| machine.close(cancelled, fx));
        }
        if self.machine.phase == Phase::Closed {
            self.change().served = false;
        }
    }

    /// The time of an idle timeout may have been reached.
    fn look_at_idle(&mut self) {
        if self.listed.is_none_or(|listed| listed > self.now) {
            return;
        }
        self.listed = None;
        let now = self.now;
        if self.step(|machine, _, _| machine.look_at_idle(now)) {
            self.notify(News::Event(Event::Timeout));
            self.settle();
        }
    }

    /// The time of the next automatic step.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.listed.filter(|_| !self.machine.destroyed())
    }

    fn receive(&mut self) {
        self.past.iter().for_each(End::refuse);
        while self.machine.read.is_receiving() {
            let Some(wire) = &self.wire else { break };
            let Some(piece) = wire.receive(self.piece_bytes_max) else { break };
            match piece {
                Piece::Bytes(bytes) => self.receive_bytes(&bytes),
                Piece::End => self.end_of_stream(),
                Piece::Reset => {
                    let error = Error::system("read", io::ErrorKind::ConnectionReset.into());
                    self.step(|machine, cx, fx| machine.received_all(Some(error), cx, fx));
                }
            }
            self.settle();
        }
    }

    fn end_of_stream(&mut self) {
        if self.end_plain() {
            self.release(false);
            return self.closing.push_back(None);
        }
        self.step(|machine, cx, fx| machine.received_all(None, cx, fx));
    }

    fn send_more(&mut self) {
        let Some(wire) = &self.wire else { return };
        let (bytes, sent) = &mut self.in_flight;
        if *sent < bytes.len() {
            let taken = wire.send(&bytes[*sent..], self.window_bytes);
            *sent += taken;
            self.forget_sent();
            if taken > 0 {
                self.step(|machine, cx, fx| machine.sent(taken, cx, fx));
                self.settle();
            }
        }
    }

    fn report_shut_down(&mut self) {
        if !self.in_flight.0.is_empty() || self.shut_down != ShutDown::Asked {
            return;
        }
        self.shut_down = ShutDown::Written;
        if let Some(wire) = &self.wire {
            wire.shut_down();
        }
        self.step(|machine, _, fx| machine.was_shut_down(fx));
        self.settle();
    }

    /// Whether no automatic step is left.
    pub(crate) fn is_quiet(&self) -> bool {
        let deferred = self.next_turn.len() + self.closing.len();
        self.ticks.is_empty() && deferred == 0 && self.shut_down != ShutDown::Asked
    }
}

/// Turns both until no work is left.
pub(crate) fn run<U: User>(a: &mut Side<U>, b: &mut Side<U>) {
    for _ in 0..TURNS_MAX {
        let before = (a.inputs, b.inputs);
        a.settle();
        b.settle();
        a.turn();
        b.turn();
        if before == (a.inputs, b.inputs) && a.is_quiet() && b.is_quiet() {
            return;
        }
    }
}
