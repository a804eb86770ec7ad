//! Watches one socket, and holds it to the naive model.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use fyke::Socket;

use super::life::Life;
use super::stage::Stage;
use super::{Moment, Place, Reading};

pub(super) struct Witness {
    pub(super) place: Place,
    pub(super) reading: Cell<Reading>,
    pub(super) stage: Rc<Stage>,
    socket: RefCell<Option<Socket>>,
    react: RefCell<Option<Rc<dyn Fn(Moment)>>>,
    /// The connection of now.
    life: RefCell<Rc<Life>>,
    /// Connections before it whose `close` is still to come (exact loops only).
    pub(super) closing: RefCell<VecDeque<Rc<Life>>>,
    /// How often the first and the last listener of each event ran.
    heard: RefCell<[(u32, u32); Moment::ALL.len()]>,
}

/// # Watching
impl Witness {
    pub(super) fn new(stage: &Rc<Stage>, life: &Rc<Life>) -> Rc<Self> {
        Rc::new(Self {
            place: life.place,
            reading: Cell::new(Reading::Data),
            stage: Rc::clone(stage),
            socket: RefCell::default(),
            react: RefCell::default(),
            life: RefCell::new(Rc::clone(life)),
            closing: RefCell::default(),
            heard: RefCell::default(),
        })
    }

    /// Listens to everything that happens to the socket. `react` may make calls on it.
    pub(super) fn attach(
        self: &Rc<Self>,
        socket: &Socket,
        reading: Reading,
        react: impl Fn(Moment) + 'static,
    ) {
        assert!(self.socket.replace(Some(socket.clone())).is_none(), "a second connection");
        self.react.replace(Some(Rc::new(react)));
        // The server's is connected already.
        {
            let life = self.life();
            let mut model = life.model.borrow_mut();
            model.connects = u32::from(!socket.is_pending());
            model.attached = true;
        }
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
            this.callback(Moment::Error, || this.log(format_args!("{}", error.code())));
        });
        let this = Rc::clone(self);
        socket.on_close(move |_, had_error| {
            this.hear_first(Moment::Close);
            this.callback(Moment::Close, || this.log(format_args!("{had_error}")));
        });
        self.read(socket, reading);
    }

    /// Listens behind all that were added up to now, and counts: whoever hears an event first and last
    /// hears it equally often.
    pub(super) fn attach_last(self: &Rc<Self>, socket: &Socket) {
        // An exact loop has told of the first attempt already.
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
        self.reading.set(reading);
        let this = Rc::clone(self);
        let flowing = move |socket: &Socket, bytes: &[u8]| {
            assert!(!socket.is_paused() || this.life().model.borrow().in_hand > 0, "{this:?}");
            this.callback(Moment::Data, || this.received(bytes));
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
                        this.callback(Moment::Data, || this.received(&bytes));
                        if socket.is_destroyed() {
                            // An exact loop would give out what there is.
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

    /// Lets go of the socket, and of what it captured.
    pub(super) fn detach(&self) {
        drop((self.socket.take(), self.react.take()));
    }

    pub(super) fn socket(&self) -> Option<Socket> {
        self.socket.borrow().clone()
    }

    pub(super) fn life(&self) -> Rc<Life> {
        Rc::clone(&self.life.borrow())
    }

    /// The socket begins another connection. The one before may have its `close` still to come.
    pub(super) fn begin_life(&self, life: &Rc<Life>) {
        let before = self.life.replace(Rc::clone(life));
        if let Some(socket) = self.socket() {
            before.model.borrow_mut().written.get_or_insert(socket.bytes_written());
        }
        life.model.borrow_mut().attached = true;
        // In Node a listener for `readable` does not ask for bytes of the next connection.
        let waits = matches!(self.reading.get(), Reading::Readable | Reading::Exact(_));
        life.model.borrow_mut().odd = self.stage.exact && waits;
        if before.model.borrow().closes == 0 {
            before.model.borrow_mut().odd = true;
            life.model.borrow_mut().odd = true;
            self.closing.borrow_mut().push_back(before);
        }
    }

    pub(super) fn log(&self, what: fmt::Arguments<'_>) {
        let life = self.life.borrow();
        let name = format!("{:?}{}.{}", self.place.side, self.place.pair, life.number);
        self.stage.log(&name, what);
    }

    /// Something happened: it is checked, and answered.
    pub(super) fn callback(&self, moment: Moment, details: impl FnOnce()) {
        let _callback = self.stage.callback();
        self.log(format_args!("{moment:?}"));
        details();
        self.happened(moment);
        self.check();
        let react = self.react.borrow().clone();
        react.expect("it is attached")(moment);
    }
}

/// Everything that is known, for a rule that was broken.
impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = self.socket();
        let getters = socket.as_ref().map(|socket| {
            (
                socket.ready_state(),
                socket.is_destroyed(),
                socket.write_queue_len(),
                socket.bytes_written(),
                socket.read_queue_len(),
                socket.bytes_read(),
            )
        });
        let life = self.life();
        f.debug_struct("Witness")
            .field("place", &self.place)
            .field("number", &life.number)
            .field("accepted", &life.accepted())
            .field("model", &life.model.try_borrow().ok())
            .field("state, destroyed, write queue, written, read queue, read", &getters)
            .field("latest events", &self.stage.latest_events())
            .finish()
    }
}
