//! Reads the ClientHello of one client, and chooses the client's destination. The received bytes stay
//! readable, so that the target gets them unchanged.

use std::cell::RefCell;
use std::rc::Rc;

use fyke::timer::{self, Timer};
use fyke::{ListenerId, Socket};

use super::Relaying;
use super::client_hello::{Parsed, Reader};
use super::routes::{Offer, Refusal};
use super::targets::Destination;
use crate::arguments::Level;
use crate::log;

pub(super) struct Routing {
    relaying: Rc<Relaying>,
    number: u64,
    client: Socket,
    /// `None` when the destination was chosen, or the client has left.
    waiting: RefCell<Option<Waiting>>,
}

struct Waiting {
    done: Box<dyn FnOnce(Result<Destination, Refusal>)>,
    deadline: Option<Timer>,
    listeners: Vec<ListenerId>,
    received: Vec<u8>,
    reader: Reader,
}

impl Routing {
    /// Starts the time limit of a client that has just been accepted. `done` runs at most once. The
    /// client is then paused.
    pub(super) fn begin(
        relaying: &Rc<Relaying>,
        number: u64,
        client: &Socket,
        done: impl FnOnce(Result<Destination, Refusal>) + 'static,
    ) -> Rc<Self> {
        let routing = Rc::new(Self {
            relaying: Rc::clone(relaying),
            number,
            client: client.clone(),
            waiting: RefCell::default(),
        });
        let same = Rc::clone(&routing);
        let late = move || same.refuse("it has sent no ClientHello within --hello-timeout");
        // Sessions only begin inside of a loop, so this does not fail.
        let deadline = timer::set_timeout(relaying.options.hello_timeout, late).ok();
        let waiting = Waiting {
            done: Box::new(done),
            deadline,
            listeners: Vec::new(),
            received: Vec::new(),
            reader: Reader::default(),
        };
        *routing.waiting.borrow_mut() = Some(waiting);
        let same = Rc::clone(&routing);
        client.on_close(move |_, _| drop(same.stop()));
        routing
    }

    /// Starts to read the ClientHello. Everything before it has been read.
    pub(super) fn receive(self: &Rc<Self>) {
        let same = Rc::clone(self);
        let data = self.client.on_data(move |_, data| same.received(data));
        let same = Rc::clone(self);
        let end = self.client.on_end(move |_| same.ended());
        if let Some(waiting) = self.waiting.borrow_mut().as_mut() {
            waiting.listeners = vec![data, end];
        }
        self.client.resume();
    }

    fn received(&self, data: &[u8]) {
        let Some(chosen) = self.choose(data) else { return };
        let Some(waiting) = self.stop() else { return };
        self.client.pause();
        self.client.unshift(&waiting.received);
        (waiting.done)(chosen);
    }

    fn choose(&self, data: &[u8]) -> Option<Result<Destination, Refusal>> {
        let mut waiting = self.waiting.borrow_mut();
        let waiting = waiting.as_mut()?;
        waiting.received.extend_from_slice(data);
        let parsed = waiting.reader.read(&waiting.received);
        if let (Parsed::Hello(hello), true) = (&parsed, log::is_on(Level::Debug)) {
            log::debug(format_args!("client {} asks for {}", self.number, Offer(hello)));
        }
        self.relaying.routes.choose(&parsed)
    }

    fn ended(&self) {
        let sent_nothing =
            self.waiting.borrow().as_ref().is_some_and(|waiting| waiting.received.is_empty());
        if !sent_nothing {
            return self.refuse("it ended before its ClientHello was complete");
        }
        let Some(waiting) = self.stop() else { return };
        (waiting.done)(self.relaying.routes.without_hello("it ended without sending anything"));
    }

    fn refuse(&self, text: &str) {
        let Some(waiting) = self.stop() else { return };
        if !self.client.is_destroyed() {
            let text = text.to_owned();
            (waiting.done)(Err(Refusal { text, reason: "no hello", alert: None }));
        }
    }

    fn stop(&self) -> Option<Waiting> {
        let waiting = self.waiting.borrow_mut().take()?;
        waiting.deadline.iter().for_each(Timer::cancel);
        for listener in &waiting.listeners {
            self.client.off(*listener);
        }
        Some(waiting)
    }
}
