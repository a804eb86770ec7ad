//! Watches one socket, and knows what may happen to it: the naive model.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use fyke::{Error, ErrorCode, Result, Socket};

use super::{Moment, Operation, Reading, Side};

/// What both sockets share: the events, and whose code is running.
#[derive(Default)]
pub(crate) struct Stage {
    events: RefCell<Vec<String>>,
    in_callback: Cell<bool>,
    in_call: Cell<bool>,
}

impl Stage {
    /// A callback begins; it must be the only one, and not inside a call (contract C1).
    pub(crate) fn callback(&self) -> Flag<'_> {
        assert!(!self.in_call.get(), "a callback inside a call: {:?}", self.events.borrow());
        assert!(!self.in_callback.replace(true), "a callback inside another");
        Flag(&self.in_callback)
    }

    fn call(&self) -> Flag<'_> {
        self.in_call.set(true);
        Flag(&self.in_call)
    }

    /// Without the data, which is too much to read.
    fn latest_events(&self) -> Vec<String> {
        let events = self.events.borrow();
        let kept = events.iter().rev().filter(|event| !event.contains("Data")).take(40);
        let mut latest: Vec<String> = kept.cloned().collect();
        latest.reverse();
        latest
    }

    pub(crate) fn take_events(&self) -> Vec<String> {
        self.events.take()
    }
}

/// Lowered when it is dropped.
pub(crate) struct Flag<'a>(&'a Cell<bool>);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// What a connection must have done by now.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Bytes that `write` has queued.
    pub(super) accepted: u64,
    /// Where in the stream the writes end whose callbacks are still to come, in order.
    pub(super) waiting: VecDeque<u64>,
    /// Up to here callbacks have said that the kernel has the bytes.
    pub(super) acknowledged: u64,
    /// A callback has said that the kernel will not have them.
    pub(super) given_up: bool,
    /// Callbacks of refused writes that are still to come.
    pub(super) refused: usize,
    /// Callbacks of ends that are still to come.
    pub(super) ends_to_tell: usize,
    pub(super) delivered: u64,
    pub(super) owes_drain: bool,
    /// How often events came.
    pub(super) connects: u32,
    pub(super) readies: u32,
    pub(super) ends: u32,
    pub(super) finishes: u32,
    pub(super) errors: u32,
    pub(super) closes: u32,
    /// Something was called that may lose bytes.
    pub(super) abrupt: bool,
}

pub(crate) struct Witness {
    pub(super) side: Side,
    pub(super) reading: Cell<Reading>,
    stage: Rc<Stage>,
    socket: RefCell<Option<Socket>>,
    react: RefCell<Option<Rc<dyn Fn(Moment)>>>,
    pub(super) model: RefCell<Model>,
}

/// The byte at a place of a side's stream.
pub(super) fn byte_at(side: Side, at: u64) -> u8 {
    (at.wrapping_mul(7) + at / 256 * 13) as u8 ^ (side as u8)
}

/// # Watching
impl Witness {
    pub(crate) fn new(side: Side, stage: Rc<Stage>) -> Self {
        let (socket, react) = Default::default();
        let reading = Cell::new(Reading::Data);
        Self { side, reading, stage, socket, react, model: RefCell::default() }
    }

    /// Listens to everything that happens to the socket. `react` may make calls on it.
    pub(crate) fn attach(
        self: &Rc<Self>,
        socket: &Socket,
        reading: Reading,
        react: impl Fn(Moment) + 'static,
    ) {
        assert!(self.socket.replace(Some(socket.clone())).is_none(), "a second connection");
        self.react.replace(Some(Rc::new(react)));
        // The server's is connected already.
        self.model.borrow_mut().connects = u32::from(!socket.pending());
        let on = |moment: Moment| {
            let this = Rc::clone(self);
            move |_: &Socket| this.callback(moment, || {})
        };
        socket.on_connect(on(Moment::Connect));
        socket.on_ready(on(Moment::Ready));
        socket.on_end(on(Moment::End));
        socket.on_drain(on(Moment::Drain));
        socket.on_finish(on(Moment::Finish));
        let this = Rc::clone(self);
        socket.on_error(move |_, error| {
            this.callback(Moment::Error, || this.log(format_args!("{}", error.code())));
        });
        let this = Rc::clone(self);
        socket.on_close(move |_, had_error| {
            this.callback(Moment::Close, || {
                assert_eq!(had_error, this.model.borrow().errors == 1, "{this:?}");
            });
        });
        self.read(socket, reading);
    }

    fn read(self: &Rc<Self>, socket: &Socket, reading: Reading) {
        self.reading.set(reading);
        let this = Rc::clone(self);
        let flowing = move |socket: &Socket, bytes: &[u8]| {
            assert!(!socket.is_paused(), "{this:?}");
            this.callback(Moment::Data, || this.received(bytes));
        };
        match reading {
            Reading::Data => _ = socket.on_data(flowing),
            Reading::Readable => {
                let this = Rc::clone(self);
                socket.on_readable(move |socket| {
                    while let Some(bytes) = socket.read() {
                        this.callback(Moment::Data, || this.received(&bytes));
                    }
                });
            }
            Reading::Buffer(len) => {
                socket.read_buffer(len, move |socket, bytes| {
                    assert!(bytes.len() <= len);
                    flowing(socket, bytes);
                    true
                });
            }
        }
    }

    /// Lets go of the socket, and of what it captured.
    pub(crate) fn detach(&self) {
        drop((self.socket.take(), self.react.take()));
    }

    pub(super) fn socket(&self) -> Option<Socket> {
        self.socket.borrow().clone()
    }

    pub(super) fn log(&self, what: fmt::Arguments<'_>) {
        self.stage.events.borrow_mut().push(format!("{:?} {what}", self.side));
    }

    /// Something happened: it is checked, and answered.
    fn callback(&self, moment: Moment, details: impl FnOnce()) {
        let _callback = self.stage.callback();
        self.log(format_args!("{moment:?}"));
        details();
        self.happened(moment);
        self.check();
        let react = self.react.borrow().clone();
        react.expect("it is attached")(moment);
    }
}

/// # Calling
impl Witness {
    pub(crate) fn corked(&self) -> u32 {
        self.socket().map_or(0, |socket| socket.corked())
    }

    /// Makes a call, if there is a socket.
    pub(crate) fn perform(self: &Rc<Self>, operation: Operation) {
        let Some(socket) = self.socket() else { return };
        self.log(format_args!("{operation:?}"));
        match operation {
            Operation::WriteThen(len) => self.write(&socket, len, true),
            Operation::Write(len) => self.write(&socket, len, false),
            Operation::End | Operation::EndThen => {
                let told = (operation == Operation::EndThen).then(|| self.end_callback());
                let _call = self.stage.call();
                match told {
                    Some(told) => socket.end_then(told),
                    None => socket.end(),
                };
            }
            Operation::EndWithThen(len) => {
                let bytes = self.offer(&socket, len);
                let told = self.end_callback();
                let _call = self.stage.call();
                socket.end_with_then(bytes, told);
            }
            Operation::Unshift(len) => self.unshift(&socket, len),
            _ => {
                let _call = self.stage.call();
                match operation {
                    Operation::Cork => _ = socket.cork(),
                    Operation::Uncork => _ = socket.uncork(),
                    Operation::Pause => _ = socket.pause(),
                    Operation::Resume => _ = socket.resume(),
                    Operation::AllowHalfOpen(allow) => socket.set_allow_half_open(allow),
                    Operation::Unref => _ = socket.unref(),
                    Operation::Refer => _ = socket.refer(),
                    Operation::Destroy => _ = socket.destroy(),
                    Operation::DestroySoon => _ = socket.destroy_soon(),
                    Operation::DestroyWith => {
                        let code = ErrorCode::from_static("E_SCRIPT");
                        socket.destroy_with(Error::new(code, "the script's own"));
                    }
                    // Refused on Unix sockets.
                    Operation::Reset => _ = socket.reset_and_destroy(),
                    _ => unreachable!("handled above"),
                }
            }
        }
        let abrupt = matches!(
            operation,
            Operation::Destroy | Operation::DestroySoon | Operation::DestroyWith | Operation::Reset
        );
        self.model.borrow_mut().abrupt |= abrupt;
        if matches!(operation, Operation::Destroy | Operation::DestroyWith) {
            assert!(socket.destroyed(), "{self:?}");
        }
        self.check();
    }

    /// The next bytes of the stream, which count as accepted if a write can be.
    fn offer(&self, socket: &Socket, len: usize) -> Vec<u8> {
        let mut model = self.model.borrow_mut();
        let begin = model.accepted;
        if socket.destroyed() || socket.writable_ended() {
            // Such a write destroys what is not destroyed yet.
            model.abrupt = true;
        } else {
            model.accepted += len as u64;
        }
        (begin..begin + len as u64).map(|at| byte_at(self.side, at)).collect()
    }

    fn write(self: &Rc<Self>, socket: &Socket, len: usize, told: bool) {
        let queued = !socket.destroyed() && !socket.writable_ended();
        let bytes = self.offer(socket, len);
        let end = self.model.borrow().accepted;
        let room = if told {
            match queued {
                true => self.model.borrow_mut().waiting.push_back(end),
                false => self.model.borrow_mut().refused += 1,
            }
            let this = Rc::clone(self);
            let told = move |_: &Socket, result: Result<()>| {
                this.callback(Moment::Written, || this.write_told(end, queued, &result));
            };
            let _call = self.stage.call();
            socket.write_then(bytes, told)
        } else {
            let _call = self.stage.call();
            // Not the same path: these bytes are copied.
            socket.write(&bytes[..])
        };
        if socket.writable() {
            let len = socket.write_queue_len();
            let below = len < socket.high_water_mark() || len == 0;
            assert_eq!(room, below, "write says whether there is room (WR-01): {self:?}");
            self.model.borrow_mut().owes_drain |= !room;
        } else {
            assert!(!room, "{self:?}");
        }
    }

    /// Puts back what came last, so that it comes again.
    fn unshift(&self, socket: &Socket, len: usize) {
        if self.reading.get() != Reading::Data && self.reading.get() != Reading::Readable {
            return;
        }
        let end = self.model.borrow().delivered;
        let begin = end.saturating_sub(len as u64);
        let bytes: Vec<u8> = (begin..end).map(|at| byte_at(self.side.other(), at)).collect();
        if socket.readable_ended() {
            // Destroys the socket (RD-14).
            self.model.borrow_mut().abrupt = true;
        } else if !socket.destroyed() {
            self.model.borrow_mut().delivered = begin;
        }
        let _call = self.stage.call();
        socket.unshift(bytes);
    }

    fn write_told(&self, end: u64, queued: bool, result: &Result<()>) {
        let code = result.as_ref().map_or_else(|error| error.code().as_str(), |()| "ok");
        self.log(format_args!("{end} {code}"));
        let mut model = self.model.borrow_mut();
        if !queued {
            assert!(result.is_err());
            model.refused -= 1;
            return;
        }
        let next = model.waiting.pop_front();
        assert_eq!(next, Some(end), "callbacks come in the order of the writes (WR-08)");
        assert_eq!(model.closes, 0, "callbacks come before close (WR-19)");
        if result.is_ok() {
            assert!(!model.given_up, "after a gap nothing is sent");
            model.acknowledged = end;
        } else {
            model.given_up = true;
        }
    }

    fn end_callback(self: &Rc<Self>) -> impl FnOnce(&Socket, Result<()>) + use<> {
        self.model.borrow_mut().ends_to_tell += 1;
        let this = Rc::clone(self);
        move |_, result| {
            this.callback(Moment::Ended, || {
                this.log(format_args!("{}", result.is_ok()));
                let mut model = this.model.borrow_mut();
                model.ends_to_tell -= 1;
                assert!(result.is_err() || model.waiting.is_empty(), "writes come first");
            });
        }
    }
}

/// Everything that is known, for a rule that was broken.
impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = self.socket();
        let getters = socket.as_ref().map(|socket| {
            (
                socket.ready_state(),
                socket.destroyed(),
                socket.write_queue_len(),
                socket.bytes_written(),
            )
        });
        f.debug_struct("Witness")
            .field("side", &self.side)
            .field("model", &self.model.try_borrow().ok())
            .field("state, destroyed, queued, written", &getters)
            .field("latest events", &self.stage.latest_events())
            .finish()
    }
}
