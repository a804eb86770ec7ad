//! Makes the calls of a script.

use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, Error, ErrorCode, Result, Socket};

use super::witness::Witness;
use crate::lives::{Life, Moment, Operation, Reading};

impl Witness {
    pub(super) fn corked(&self) -> u32 {
        self.socket().map_or(0, |socket| socket.cork_count())
    }

    /// Makes a call, if there is a socket. Calls that involve other sockets are made by the player.
    pub(super) fn perform(self: &Rc<Self>, operation: Operation) {
        let Some(socket) = self.socket() else { return };
        let operation = self.observer.calls(operation);
        match operation {
            Operation::WriteThen(len) => self.write(&socket, len, true),
            Operation::Write(len) => self.write(&socket, len, false),
            Operation::End | Operation::EndThen => {
                let reported = (operation == Operation::EndThen).then(|| self.end_callback());
                let _call = self.observer.stage.call();
                match reported {
                    Some(reported) => socket.end_then(reported),
                    None => socket.end(),
                };
            }
            Operation::EndWithThen(len) => {
                let bytes = self.observer.offers(len, &self.facts());
                let reported = self.end_callback();
                let _call = self.observer.stage.call();
                socket.end_with_then(bytes, reported);
            }
            Operation::Unshift(len) => {
                let bytes = self.observer.unshifts(len, &self.facts());
                let _call = self.observer.stage.call();
                bytes.map(|bytes| socket.unshift(bytes));
            }
            Operation::ReadExact(count) => self.read_exact(&socket, count),
            _ => {
                let _call = self.observer.stage.call();
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
        self.observer.called(operation, &self.facts());
    }

    /// Calls `connect`. `next` is the connection that begins if the call renews the socket.
    pub(super) fn connect(self: &Rc<Self>, endpoint: Endpoint, next: impl FnOnce() -> Rc<Life>) {
        let Some(socket) = self.socket() else { return };
        let (taken, of) = self.observer.connects(next, &self.facts());
        let this = Rc::clone(self);
        let result = {
            let _call = self.observer.stage.connect_call();
            socket.connect_then(endpoint, move |_| {
                of.model.borrow_mut().connects_to_tell -= 1;
                this.callback(Moment::Connected, || {});
            })
        };
        assert_eq!(result.is_ok(), taken, "{result:?} {self:?}");
        self.observer.check(&self.facts());
    }

    fn write(self: &Rc<Self>, socket: &Socket, len: usize, reported: bool) {
        let facts = self.facts();
        let bytes = self.observer.offers(len, &facts);
        let room = if reported {
            let (this, asked) = (Rc::clone(self), self.observer.asks_write(&facts));
            let reported = move |_: &Socket, result: Result<()>| {
                this.callback(Moment::Written, || this.observer.write_told(&asked, code(&result)));
            };
            let _call = self.observer.stage.call();
            socket.write_then(bytes, reported)
        } else {
            let _call = self.observer.stage.call();
            // A different path through the code: these bytes are copied.
            match len {
                1 => socket.write(bytes),
                _ => socket.write(&bytes[..]),
            }
        };
        self.observer.wrote(room, &self.facts());
    }

    fn read_exact(&self, socket: &Socket, count: usize) {
        if matches!(self.observer.reading.get(), Reading::Buffer(_)) {
            return;
        }
        let facts = self.facts();
        let taken = {
            let _call = self.observer.stage.call();
            socket.read_n(count).unwrap()
        };
        if let Some(bytes) = taken {
            self.observer.took(count, &bytes, &facts);
        }
    }

    fn end_callback(self: &Rc<Self>) -> impl FnOnce(&Socket, Result<()>) + use<> {
        let (this, asked) = (Rc::clone(self), self.observer.asks_end(&self.facts()));
        move |_, result| {
            this.callback(Moment::Ended, || this.observer.end_told(&asked, code(&result)));
        }
    }
}

fn code(result: &Result<()>) -> Option<&'static str> {
    result.as_ref().err().map(|error| error.code().as_str())
}
