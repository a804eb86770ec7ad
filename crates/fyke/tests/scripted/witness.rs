//! Watches one socket, and compares its events with the model.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use fyke::Socket;

use crate::lives::{Facts, Life, Moment, Observer, Place, Reading, Stage, What};

pub(super) struct Witness {
    pub(super) place: Place,
    pub(super) observer: Observer,
    socket: RefCell<Option<Socket>>,
    react: RefCell<Option<Rc<dyn Fn(Moment)>>>,
    /// The number of times that the first and the last listener of each event ran.
    heard: RefCell<[(u32, u32); Moment::ALL.len()]>,
}

/// # Watching
impl Witness {
    pub(super) fn new(stage: &Rc<Stage>, life: &Rc<Life>) -> Rc<Self> {
        Rc::new(Self {
            place: life.place,
            observer: Observer::new(stage, life),
            socket: RefCell::default(),
            react: RefCell::default(),
            heard: RefCell::default(),
        })
    }

    /// Listens to all events of the socket. `react` may make calls on it.
    pub(super) fn attach(
        self: &Rc<Self>,
        socket: &Socket,
        reading: Reading,
        react: impl Fn(Moment) + 'static,
    ) {
        assert!(self.socket.replace(Some(socket.clone())).is_none(), "a second connection");
        self.react.replace(Some(Rc::new(react)));
        self.observer.attach(reading, !socket.is_pending());
        let on = |moment: Moment| {
            let this = Rc::clone(self);
            move |_: &Socket| {
                this.hear_first(moment);
                this.callback(moment, || {});
            }
        };
        socket.on_connect(on(Moment::Connect));
        socket.on_ready(on(Moment::Ready));
        socket.on_end(on(Moment::End));
        socket.on_drain(on(Moment::Drain));
        socket.on_finish(on(Moment::Finish));
        socket.on_idle_timeout(on(Moment::Timeout));
        let attempt = on(Moment::Attempt);
        socket.on_connection_attempt(move |socket, _| attempt(socket));
        let this = Rc::clone(self);
        socket.on_error(move |_, error| {
            this.hear_first(Moment::Error);
            let code = What::Error(error.code().as_str());
            this.callback(Moment::Error, || this.observer.log(code));
        });
        let this = Rc::clone(self);
        socket.on_close(move |_, had_error| {
            this.hear_first(Moment::Close);
            this.callback(Moment::Close, || this.observer.log(What::HadError(had_error)));
        });
        self.read(socket, reading);
    }

    /// Adds counting listeners after all existing ones: the first and the last listener of an event
    /// must run equally often.
    pub(super) fn attach_last(self: &Rc<Self>, socket: &Socket) {
        // An exact loop has already emitted the first attempt.
        *self.heard.borrow_mut() = Default::default();
        let on = |moment: Moment| {
            let this = Rc::clone(self);
            move |_: &Socket| this.heard.borrow_mut()[moment as usize].1 += 1
        };
        socket.on_connect(on(Moment::Connect));
        socket.on_ready(on(Moment::Ready));
        socket.on_end(on(Moment::End));
        socket.on_drain(on(Moment::Drain));
        socket.on_finish(on(Moment::Finish));
        socket.on_idle_timeout(on(Moment::Timeout));
        let [attempt, error, close] = [Moment::Attempt, Moment::Error, Moment::Close].map(on);
        socket.on_connection_attempt(move |socket, _| attempt(socket));
        socket.on_error(move |socket, _| error(socket));
        socket.on_close(move |socket, _| close(socket));
    }

    fn hear_first(&self, moment: Moment) {
        self.heard.borrow_mut()[moment as usize].0 += 1;
    }

    pub(super) fn check_heard(&self) {
        for (moment, (first, last)) in Moment::ALL.iter().zip(*self.heard.borrow()) {
            assert_eq!(first, last, "all listeners hear {moment:?}: {self:?}");
        }
    }

    fn read(self: &Rc<Self>, socket: &Socket, reading: Reading) {
        let this = Rc::clone(self);
        let flowing = move |socket: &Socket, bytes: &[u8]| {
            let in_hand = this.observer.life().model.borrow().in_hand;
            assert!(!socket.is_paused() || in_hand > 0, "{this:?}");
            this.callback(Moment::Data, || this.observer.received(bytes));
        };
        match reading {
            Reading::Data => _ = socket.on_data(flowing),
            Reading::Readable | Reading::Exact(_) => {
                let this = Rc::clone(self);
                socket.on_readable(move |socket| {
                    let next = || match reading {
                        Reading::Exact(count) => socket.read_n(count).unwrap(),
                        _ => socket.read(),
                    };
                    while let Some(bytes) = next() {
                        this.callback(Moment::Data, || this.observer.received(&bytes));
                        if socket.is_destroyed() {
                            // An exact loop would return the available bytes.
                            break;
                        }
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

    /// Drops the socket and the captured values.
    pub(super) fn detach(&self) {
        drop((self.socket.take(), self.react.take()));
    }

    pub(super) fn socket(&self) -> Option<Socket> {
        self.socket.borrow().clone()
    }

    pub(super) fn life(&self) -> Rc<Life> {
        self.observer.life()
    }

    pub(super) fn facts(&self) -> Facts {
        let socket = self.socket().expect("it is attached");
        Facts {
            connecting: socket.is_connecting(),
            destroyed: socket.is_destroyed(),
            errored: socket.error().is_some(),
            readable: socket.is_readable(),
            writable: socket.is_writable(),
            readable_ended: socket.is_readable_ended(),
            writable_ended: socket.is_writable_ended(),
            writable_finished: socket.is_writable_finished(),
            needs_drain: socket.needs_drain(),
            high_water_mark: socket.high_water_mark(),
            write_queue_len: socket.write_queue_len(),
            bytes_written: socket.bytes_written(),
            read_queue_len: socket.read_queue_len(),
            bytes_read: socket.bytes_read(),
        }
    }

    /// Checks an event, and reacts to it.
    pub(super) fn callback(&self, moment: Moment, details: impl FnOnce()) {
        let _callback = self.observer.stage.callback();
        self.observer.observe(moment, &self.facts(), details);
        let react = self.react.borrow().clone();
        react.expect("it is attached")(moment);
    }
}

/// The known state, for the message about a broken rule.
impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.socket().map(|_| self.facts());
        let events = self.observer.stage.latest_events();
        f.debug_tuple("Witness").field(&self.life()).field(&facts).field(&events).finish()
    }
}
