//! Makes the calls of a script, and notes what must come of them.

use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, Error, ErrorCode, Result, Socket};

use super::life::Life;
use super::witness::Witness;
use super::{Moment, Operation, Reading};

impl Witness {
    pub(super) fn corked(&self) -> u32 {
        self.socket().map_or(0, |socket| socket.corked())
    }

    /// Makes a call, if there is a socket. Those that need others are the player's.
    pub(super) fn perform(self: &Rc<Self>, operation: Operation) {
        let Some(socket) = self.socket() else { return };
        // Such a connection never ends by itself, and Node's reset would leave it open (DST-15).
        let operation = match operation {
            Operation::Reset if self.stage.exact => Operation::Destroy,
            other => other,
        };
        self.log(format_args!("{operation:?}"));
        match operation {
            Operation::WriteThen(len) => self.write(&socket, len, true),
            Operation::Write(len) => self.write(&socket, len, false),
            Operation::End | Operation::EndThen => {
                let told = (operation == Operation::EndThen).then(|| self.end_callback(&socket));
                let _call = self.stage.call();
                match told {
                    Some(told) => socket.end_then(told),
                    None => socket.end(),
                };
            }
            Operation::EndWithThen(len) => {
                let bytes = self.offer(&socket, len);
                let told = self.end_callback(&socket);
                let _call = self.stage.call();
                socket.end_with_then(bytes, told);
            }
            Operation::Unshift(len) => self.unshift(&socket, len),
            Operation::ReadExact(count) => self.read_exact(&socket, count),
            _ => {
                let _call = self.stage.call();
                match operation {
                    Operation::Cork => _ = socket.cork(),
                    Operation::Uncork => _ = socket.uncork(),
                    Operation::Pause => _ = socket.pause(),
                    Operation::Resume => _ = socket.resume(),
                    Operation::UnpipeAll => _ = socket.unpipe_all(),
                    Operation::Timeout(ms) => {
                        let timeout = Some(Duration::from_millis(ms));
                        socket.set_idle_timeout(timeout.filter(|timeout| !timeout.is_zero()));
                    }
                    Operation::AllowHalfOpen(allow) => socket.set_allow_half_open(allow),
                    Operation::Unref => _ = socket.unref_loop(),
                    Operation::Refer => _ = socket.ref_loop(),
                    Operation::Destroy => _ = socket.destroy(),
                    Operation::DestroySoon => _ = socket.destroy_soon(),
                    Operation::DestroyWith => {
                        let code = ErrorCode::from_static("E_SCRIPT");
                        socket.destroy_with(Error::new(code, "the script's own"));
                    }
                    // Refused on Unix sockets.
                    Operation::Reset => _ = socket.reset_and_destroy(),
                    _ => unreachable!("handled above, or by the player"),
                }
            }
        }
        self.life().model.borrow_mut().abrupt |= operation.is_abrupt();
        if matches!(operation, Operation::Destroy | Operation::DestroyWith) {
            assert!(socket.is_destroyed(), "{self:?}");
        }
        self.check();
    }

    /// Calls `connect`. `next` makes the life that begins if the socket is made new by it. Returns
    /// whether it was taken.
    pub(super) fn connect(
        self: &Rc<Self>,
        endpoint: Endpoint,
        next: impl FnOnce() -> Rc<Life>,
    ) -> bool {
        let Some(socket) = self.socket() else { return false };
        self.log(format_args!("Connect"));
        let life = self.life();
        let fresh = life.model.borrow().connect_calls == 0;
        let closed = life.model.borrow().closes == 1;
        let renews = !fresh && (closed || self.stage.exact && socket.is_destroyed());
        let taken = fresh || renews || self.stage.exact;
        if renews {
            self.begin_life(&next());
        } else if !fresh && taken {
            life.model.borrow_mut().odd = true;
        }
        let life = self.life();
        if taken {
            let mut model = life.model.borrow_mut();
            model.connect_calls += 1;
            model.connects_to_tell += 1;
        }
        let this = Rc::clone(self);
        let told = Rc::clone(&life);
        let result = {
            let _call = self.stage.connect_call();
            socket.connect_then(endpoint, move |_| {
                told.model.borrow_mut().connects_to_tell -= 1;
                this.callback(Moment::Connected, || {});
            })
        };
        assert_eq!(result.is_ok(), taken, "{result:?} {self:?}");
        self.check();
        taken
    }

    /// The next bytes of the stream, which count as accepted if a write can be.
    fn offer(&self, socket: &Socket, len: usize) -> Vec<u8> {
        let life = self.life();
        let bytes = life.next_bytes(len);
        if socket.is_destroyed() || socket.is_writable_ended() {
            // Such a write destroys what is not destroyed yet.
            life.model.borrow_mut().abrupt = true;
        } else {
            life.accept(&bytes);
        }
        bytes
    }

    fn write(self: &Rc<Self>, socket: &Socket, len: usize, told: bool) {
        let life = self.life();
        let queued = !socket.is_destroyed() && !socket.is_writable_ended();
        let bytes = self.offer(socket, len);
        let end = life.accepted();
        let room = if told {
            match queued {
                true => life.model.borrow_mut().waiting.push_back(end),
                false => life.model.borrow_mut().refused += 1,
            }
            let (this, of) = (Rc::clone(self), Rc::clone(&life));
            let told = move |_: &Socket, result: Result<()>| {
                this.callback(Moment::Written, || this.write_told(&of, end, queued, &result));
            };
            let _call = self.stage.call();
            socket.write_then(bytes, told)
        } else {
            let _call = self.stage.call();
            // Not the same path: these bytes are copied.
            match len {
                1 => socket.write(bytes),
                _ => socket.write(&bytes[..]),
            }
        };
        if socket.is_writable() {
            let len = socket.write_queue_len();
            let below = len < socket.high_water_mark() || len == 0;
            assert_eq!(room, below, "write says whether there is room (WR-01): {self:?}");
            life.model.borrow_mut().owes_drain |= !room;
        } else {
            assert!(!room, "{self:?}");
        }
    }

    /// Puts back what was delivered last, so that it is delivered again.
    fn unshift(&self, socket: &Socket, len: usize) {
        let life = self.life();
        if matches!(self.reading.get(), Reading::Buffer(_)) || life.model.borrow().in_hand > 0 {
            return;
        }
        let end = life.model.borrow().delivered as usize;
        let begin = end.saturating_sub(len);
        let bytes = life.peer().stream.borrow()[begin..end].to_vec();
        if socket.is_readable_ended() {
            // Destroys the socket (RD-14).
            life.model.borrow_mut().abrupt = true;
        } else if !socket.is_destroyed() {
            life.model.borrow_mut().delivered = begin as u64;
        }
        let _call = self.stage.call();
        socket.unshift(bytes);
    }

    /// Takes bytes. If something listens for data they come there, on the tick.
    fn read_exact(&self, socket: &Socket, count: usize) {
        if matches!(self.reading.get(), Reading::Buffer(_)) {
            return;
        }
        let was_destroyed = socket.is_destroyed();
        let taken = {
            let _call = self.stage.call();
            socket.read_n(count).unwrap()
        };
        let Some(bytes) = taken else { return };
        // After the end of the other side the rest may be shorter.
        assert!((1..=count).contains(&bytes.len()), "{self:?}");
        if was_destroyed {
            // An exact loop gives out what it had (RD-20); nobody counts on it.
            self.life().model.borrow_mut().odd = true;
        } else if self.reading.get() == Reading::Data {
            self.life().model.borrow_mut().in_hand += bytes.len() as u64;
        } else {
            self.received(&bytes);
        }
    }

    fn write_told(&self, of: &Life, end: u64, queued: bool, result: &Result<()>) {
        let code = result.as_ref().map_or_else(|error| error.code().as_str(), |()| "ok");
        self.log(format_args!("{}: {end} {code}", of.number));
        let mut model = of.model.borrow_mut();
        if !queued {
            assert!(result.is_err());
            model.refused -= 1;
            return;
        }
        let next = model.waiting.pop_front();
        assert_eq!(next, Some(end), "callbacks come in the order of the writes (WR-08): {self:?}");
        // Node tells those of a connection that never stood after it (WR-12).
        assert!(self.stage.exact || model.closes == 0, "callbacks come before close (WR-19)");
        if result.is_ok() {
            assert!(!model.given_up || model.odd, "after a gap nothing is sent: {self:?}");
            model.acknowledged = end;
        } else {
            model.given_up = true;
        }
    }

    fn end_callback(self: &Rc<Self>, socket: &Socket) -> impl FnOnce(&Socket, Result<()>) + use<> {
        let (this, life) = (Rc::clone(self), self.life());
        // One that is called when the socket is destroyed is never told (DST-18).
        let owed = !(self.stage.exact && socket.is_destroyed());
        life.model.borrow_mut().ends_to_tell += usize::from(owed);
        move |_, result| {
            this.callback(Moment::Ended, || {
                this.log(format_args!("{}", result.is_ok()));
                let mut model = life.model.borrow_mut();
                model.ends_to_tell -= usize::from(owed);
                assert!(result.is_err() || model.waiting.is_empty(), "writes come first: {this:?}");
            });
        }
    }
}
