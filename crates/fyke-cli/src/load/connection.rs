//! One connection: its requests, and the answers received so far.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use fyke::Socket;
use fyke_tls::code::ERR_TLS_TRUNCATED;

use super::pattern::Pattern;
use super::{Mode, Run};
use crate::failure::Failure;

pub(super) struct Connection {
    socket: RefCell<Option<Socket>>,
    run: Rc<Run>,
    opened_at: Instant,
    /// The due times of unanswered requests: first those that were sent, then those for which there
    /// was no room.
    due: RefCell<VecDeque<Instant>>,
    unsent: Cell<usize>,
    /// Positions in the stream.
    sent_to: Cell<u64>,
    received_to: Cell<u64>,
    /// The number of bytes received of the current answer.
    part: Cell<usize>,
    /// The reason why `load` gave the connection up.
    given_up: Cell<Option<&'static str>>,
    gone: Cell<bool>,
}

impl Connection {
    pub(super) fn open(
        run: &Rc<Run>,
        number: u64,
        due: Option<Instant>,
    ) -> Result<Rc<Self>, Failure> {
        let start = Pattern::start(number);
        let connection = Rc::new(Self {
            socket: RefCell::default(),
            run: Rc::clone(run),
            opened_at: Instant::now(),
            due: RefCell::new(due.into_iter().collect()),
            unsent: Cell::new(usize::from(due.is_some())),
            sent_to: Cell::new(start),
            received_to: Cell::new(start),
            part: Cell::new(0),
            given_up: Cell::default(),
            gone: Cell::new(false),
        });
        let (same, stands) = (Rc::clone(&connection), Rc::new(Cell::new(false)));
        let connected = Rc::clone(&stands);
        let timeout = run.options.timeout;
        let socket = run.place.connect(
            run.tls.as_ref(),
            |options| options.connect_timeout(timeout),
            move |_| {
                connected.set(true);
                same.run.connected(None);
                same.send();
            },
        )?;
        *connection.socket.borrow_mut() = Some(socket.clone());
        let same = Rc::clone(&connection);
        socket.on_data(move |socket, data| same.came(socket, data));
        let same = Rc::clone(&connection);
        socket.on_drain(move |_| same.send());
        let (same, connected) = (Rc::clone(&connection), Rc::clone(&stands));
        socket.on_error(move |_, error| {
            if connected.get() {
                // nginx ends a stream without `close_notify` when the client has ended. No bytes are missing then.
                let is_complete = same.is_answered() && error.code() == ERR_TLS_TRUNCATED;
                same.gone(if is_complete { None } else { Some(error.code().as_str()) });
            } else {
                same.run.connected(Some(error));
                same.gone(None);
            }
        });
        let same = Rc::clone(&connection);
        socket.on_close(move |_, _| {
            // A peer that ends has not failed, but it was not asked to end.
            same.gone(if same.is_answered() { None } else { Some("ended by the peer") });
        });
        Ok(connection)
    }

    /// Returns the number of outstanding answers.
    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.due.borrow().len()).unwrap_or(u64::MAX)
    }

    /// Whether the connection was for one request, and has its answer.
    fn is_answered(&self) -> bool {
        self.run.mode == Mode::Connects && self.waiting() == 0
    }

    /// Returns since when the first answer is awaited. If its request was due before the connection
    /// was opened, the time before that does not count as waiting for this connection.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.due.borrow().front().map(|due| self.opened_at.max(*due))
    }

    pub(super) fn request(&self, due: Instant) {
        self.due.borrow_mut().push_back(due);
        self.unsent.set(self.unsent.get() + 1);
        self.send();
    }

    /// Sends requests while there is room.
    fn send(&self) {
        let Some(socket) = self.socket.borrow().clone() else { return };
        while self.unsent.get() > 0 && !socket.is_connecting() && !socket.needs_drain() {
            self.unsent.set(self.unsent.get() - 1);
            let request = self.run.pattern.request(self.sent_to.get());
            self.sent_to.set(self.sent_to.get() + request.len() as u64);
            let _ = socket.write(request);
        }
    }

    fn came(self: &Rc<Self>, socket: &Socket, data: &[u8]) {
        let at = self.received_to.get();
        if self.run.options.verify && !self.run.pattern.is_at(at, data) {
            return self.give_up("changed bytes");
        }
        self.received_to.set(at + data.len() as u64);
        self.part.set(self.part.get() + data.len());
        let size = self.run.pattern.size();
        while self.part.get() >= size {
            self.part.set(self.part.get() - size);
            let due = self.due.borrow_mut().pop_front();
            let Some(due) = due else { return self.give_up("more data than requested") };
            self.run.answered(self, due);
        }
        if self.is_answered() {
            socket.end();
        }
    }

    pub(super) fn give_up(self: &Rc<Self>, why: &'static str) {
        self.given_up.set(Some(why));
        let socket = self.socket.borrow().clone();
        if let Some(socket) = socket {
            socket.destroy();
        }
    }

    fn gone(self: &Rc<Self>, why: Option<&str>) {
        if !self.gone.replace(true) {
            self.run.lost(self, self.given_up.get().or(why));
        }
    }
}
