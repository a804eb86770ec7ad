//! One connection of a recording: says our part of it, and listens to the other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{Socket, timer};

use super::Stage;
use crate::arguments::Side;
use crate::recording::{Entry, Event};

pub(super) struct Player {
    stage: Rc<Stage>,
    socket: Socket,
    script: Vec<Entry>,
    began: Instant,
    /// The next entry.
    at: Cell<usize>,
    /// How much the other side had said by then.
    expected: Cell<u64>,
    /// What the other side is to say in all, and how much of it has come.
    other: Vec<u8>,
    received: RefCell<Received>,
    waits: Cell<bool>,
}

#[derive(Default)]
struct Received {
    count: u64,
    differs_at: Option<u64>,
}

impl Player {
    /// Takes over a connection that stands. When it has closed, the stage knows.
    pub(super) fn begin(stage: &Rc<Stage>, socket: &Socket, script: Vec<Entry>) {
        let side = stage.options.side;
        let other = script.iter().filter_map(|entry| match (&entry.event, side) {
            (Event::Down(bytes), Side::Client) | (Event::Up(bytes), Side::Server) => {
                Some(bytes.as_slice())
            }
            _ => None,
        });
        let player = Rc::new(Self {
            other: other.collect::<Vec<_>>().concat(),
            stage: Rc::clone(stage),
            socket: socket.clone(),
            script,
            began: Instant::now(),
            at: Cell::new(0),
            expected: Cell::new(0),
            received: RefCell::default(),
            waits: Cell::new(false),
        });
        stage.heard();
        let same = Rc::clone(&player);
        socket.on_data(move |_, data| same.came(data));
        let same = Rc::clone(&player);
        socket.on_drain(move |_| same.go_on());
        // A connection that breaks off is one that went otherwise, unless it did so then.
        socket.on_error(|_, _| {});
        let same = Rc::clone(&player);
        socket.on_close(move |_, _| same.closed());
        player.go_on();
    }

    fn came(self: &Rc<Self>, data: &[u8]) {
        self.stage.heard();
        {
            let mut received = self.received.borrow_mut();
            let from = usize::try_from(received.count).unwrap_or(usize::MAX);
            let expected = self.other.get(from..).unwrap_or_default();
            let same = expected.iter().zip(data).take_while(|(a, b)| a == b).count();
            if same < data.len() {
                let at = received.count + same as u64;
                received.differs_at.get_or_insert(at);
            }
            received.count += data.len() as u64;
        }
        self.go_on();
    }

    /// Says everything whose time has come.
    fn go_on(self: &Rc<Self>) {
        while let Some(entry) = self.script.get(self.at.get()) {
            let ours = match (&entry.event, self.stage.options.side) {
                (Event::Up(_) | Event::UpEnd, side) => side == Side::Client,
                (Event::Down(_) | Event::DownEnd, side) => side == Side::Server,
                _ => false,
            };
            if ours {
                if !self.may_speak(entry) {
                    return;
                }
                match &entry.event {
                    Event::Up(bytes) | Event::Down(bytes) => _ = self.socket.write(bytes.clone()),
                    _ => _ = self.socket.end(),
                }
                self.stage.heard();
            } else if let Event::Up(bytes) | Event::Down(bytes) = &entry.event {
                self.expected.set(self.expected.get() + bytes.len() as u64);
            }
            self.at.set(self.at.get() + 1);
        }
        // What ended by a reset then ends in peace now, when everything has come.
        if self.received.borrow().count >= self.expected.get() {
            self.socket.end();
        }
    }

    /// Not before its time, nor before the other side has said what it had said then.
    fn may_speak(self: &Rc<Self>, entry: &Entry) -> bool {
        let heard = self.received.borrow().count >= self.expected.get();
        if !heard || self.socket.needs_drain() || self.waits.get() {
            return false;
        }
        let due = self.stage.scaled(entry.at.saturating_sub(self.script[0].at));
        let pause = due.saturating_sub(self.began.elapsed());
        if pause < Duration::from_millis(1) {
            return true;
        }
        // A pause of the recording is none of the other side's.
        self.stage.heard_at.set(Instant::now() + pause);
        self.waits.set(true);
        let same = Rc::clone(self);
        let timer = timer::set_timeout(pause, move || {
            same.waits.set(false);
            same.go_on();
        });
        timer.is_err()
    }

    fn closed(&self) {
        let number = self.script[0].connection;
        let received = self.received.borrow();
        let expected = self.other.len() as u64;
        if let Some(at) = received.differs_at.filter(|at| *at < expected) {
            self.stage.differs(format_args!("connection {number}: byte {at} differs"));
        } else if received.count != expected {
            let count = received.count;
            self.stage.differs(format_args!(
                "connection {number}: {count} bytes came, then it was {expected}"
            ));
        } else if self.at.get() < self.script.len() {
            self.stage.differs(format_args!("connection {number}: it ended too early"));
        }
        self.stage.over();
    }
}
