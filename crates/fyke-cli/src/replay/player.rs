//! Plays one connection of a recording: sends our part, and compares what the other side sends.

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
    /// The index of the next entry.
    at: Cell<usize>,
    /// How many bytes the other side had sent before the next entry.
    expected: Cell<u64>,
    /// The expected bytes of the other side, and how many of them were received.
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
    /// Takes over an established connection. When it has closed, the stage is informed.
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
        // A connection that breaks off is a difference, unless it broke off in the recording too.
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

    /// Plays every entry that is due.
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
        // A connection that was reset in the recording ends normally here, when everything was
        // received.
        if self.received.borrow().count >= self.expected.get() {
            self.socket.end();
        }
    }

    /// Returns whether the next entry is due: its time has come, and the other side has sent what
    /// it had sent before this entry.
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
        // A pause in the recording is not the other side's delay.
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
            self.stage
                .differs(format_args!("connection {number}: byte {at} differs from the recording"));
        } else if received.count != expected {
            let count = received.count;
            self.stage.differs(format_args!(
                "connection {number}: {count} bytes were received, but the recording has {expected}"
            ));
        } else if self.at.get() < self.script.len() {
            self.stage.differs(format_args!("connection {number} ended too early"));
        }
        self.stage.over();
    }
}
