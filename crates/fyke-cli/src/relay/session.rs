//! One client of a relay, from its arrival to its end.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use fyke::{Error, Socket};

use super::Relaying;
use super::link::link;
use super::proxy::{self, Addresses};
use super::shaping::Shaping;
use crate::arguments::Direction;
use crate::ending::reset;
use crate::log;
use crate::random::Random;
use crate::recording::Event;

pub(super) struct Session {
    relaying: Rc<Relaying>,
    number: u64,
    client: Socket,
    /// Who the client really is, and whom it wanted.
    addresses: Cell<Addresses>,
    target: RefCell<Option<Socket>>,
    /// The targets that were tried.
    tried: RefCell<Vec<usize>>,
    /// The one that it is connected to now, or that is being tried.
    chosen: Cell<Option<usize>>,
}

impl Session {
    /// Takes a client that the gate let in. It is paused.
    pub(super) fn begin(relaying: &Rc<Relaying>, number: u64, client: &Socket) -> Rc<Self> {
        let addresses = client.remote_address().zip(client.local_address());
        let session = Rc::new(Self {
            relaying: Rc::clone(relaying),
            number,
            client: client.clone(),
            addresses: Cell::new(addresses),
            target: RefCell::default(),
            tried: RefCell::default(),
            chosen: Cell::default(),
        });
        let same = Rc::clone(&session);
        client.on_error(move |_, error| same.failed("client", error));
        let same = Rc::clone(&session);
        client.on_close(move |client, had_error| same.client_closed(client, had_error));
        if let Some(timeout) = relaying.options.limits.idle_timeout {
            let same = Rc::clone(&session);
            client.set_timeout_then(timeout, move |client| {
                log::info(format_args!("{} was idle for too long", same.name()));
                same.relaying.counts.borrow_mut().fail("idle");
                client.destroy();
            });
        }
        if relaying.options.proxy.proxy_in.is_empty() {
            session.try_next();
        } else {
            let same = Rc::clone(&session);
            proxy::receive(client, move |client, result| same.identified(client, result));
        }
        session
    }

    /// So far: what the client sent, and what the target did.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let down = self.target.borrow().as_ref().map_or(0, Socket::bytes_read);
        (self.client.bytes_read(), down)
    }

    pub(super) fn cut_off(&self) {
        reset(&self.client);
    }

    fn name(&self) -> String {
        format!("client {}", self.number)
    }

    /// The header of the PROXY protocol is here.
    fn identified(self: &Rc<Self>, client: &Socket, result: Result<Addresses, ()>) {
        let Ok(addresses) = result else {
            log::info(format_args!("{}: no header of the PROXY protocol", self.name()));
            self.relaying.counts.borrow_mut().refuse("no header");
            reset(client);
            return;
        };
        if let Some((from, _)) = addresses {
            log::info(format_args!("{} is {from}", self.name()));
            if !self.relaying.gate.admits_ip(from.ip()) {
                log::info(format_args!("{}: its address is not allowed", self.name()));
                self.relaying.counts.borrow_mut().refuse("address");
                reset(client);
                return;
            }
            self.addresses.set(addresses);
        }
        self.try_next();
    }

    /// Connects to a target that has not been tried yet. If there is none, the client is reset.
    fn try_next(self: &Rc<Self>) {
        let now = Instant::now();
        let chosen = self.relaying.targets.borrow_mut().choose(now, &self.tried.borrow());
        let Some(index) = chosen else {
            log::info(format_args!("{}: no target could be connected to", self.name()));
            reset(&self.client);
            return;
        };
        self.tried.borrow_mut().push(index);
        self.chosen.set(Some(index));
        let place = self.relaying.targets.borrow().place(index).clone();
        let timeout = self.relaying.options.connect_timeout;
        let (same, connected) = (Rc::clone(self), Rc::new(Cell::new(false)));
        let stands = Rc::clone(&connected);
        let target = place.connect(
            |options| options.connect_timeout(timeout).allow_half_open(true),
            move |target| {
                stands.set(true);
                same.relaying.targets.borrow_mut().connected(index);
                same.join(target);
            },
        );
        let target = match target {
            Ok(target) => target,
            Err(failure) => {
                log::note(format_args!("{}: {place}: {failure}", self.name()));
                reset(&self.client);
                return;
            }
        };
        *self.target.borrow_mut() = Some(target.clone());
        let same = Rc::clone(self);
        target.on_error(move |_, error| {
            if connected.get() {
                same.failed("target", error);
            } else {
                same.unreachable(index, error);
            }
        });
    }

    fn unreachable(self: &Rc<Self>, index: usize, error: &Error) {
        self.relaying.counts.borrow_mut().fail(error.code().as_str());
        self.release();
        let mut targets = self.relaying.targets.borrow_mut();
        // What this machine has run out of is not the target's fault.
        let ours = ["EMFILE", "ENFILE", "ENOBUFS", "EADDRNOTAVAIL"];
        let pause = if ours.contains(&error.code().as_str()) {
            None
        } else {
            targets.failed(Instant::now(), index)
        };
        let place = targets.place(index).clone();
        drop(targets);
        let left_out = pause.map_or(String::new(), |pause| format!("; left out for {pause:.1?}"));
        log::info(format_args!("{}: {place}: {error}{left_out}", self.name()));
        if !self.client.destroyed() {
            self.try_next();
        }
    }

    /// The chosen target has one connection less.
    fn release(&self) {
        if let Some(index) = self.chosen.take() {
            self.relaying.targets.borrow_mut().over(index);
        }
    }

    fn join(self: &Rc<Self>, target: &Socket) {
        if self.client.destroyed() {
            target.destroy();
            return;
        }
        let to = target.remote_address().map_or(String::from("its target"), |to| to.to_string());
        log::debug(format_args!("{} is connected to {to}", self.name()));
        if let Some(version) = self.relaying.options.proxy.proxy_out {
            target.write(proxy::header(version, self.addresses.get()));
        }
        self.record(target);
        let same = Rc::clone(self);
        target.on_close(move |target, had_error| same.target_closed(target, had_error));
        self.lead(&self.client, target, Direction::Up);
        self.lead(target, &self.client, Direction::Down);
    }

    /// Straight on, or with faults.
    fn lead(&self, from: &Socket, to: &Socket, direction: Direction) {
        let faults = &self.relaying.options.faults;
        let meant = faults.direction == Direction::Both || faults.direction == direction;
        if !meant || !faults.any() {
            from.pipe(to);
            return;
        }
        let stream = self.number * 2 + u64::from(direction == Direction::Down);
        let shaping = Shaping::new(faults, Random::of(faults.seed, stream));
        link(from, to, shaping, faults.slice.is_some());
        from.resume();
    }

    fn record(self: &Rc<Self>, target: &Socket) {
        if self.relaying.recorder.is_none() {
            return;
        }
        self.note(&Event::Open);
        let same = Rc::clone(self);
        self.client.on_data(move |_, data| same.note(&Event::Up(data.to_vec())));
        let same = Rc::clone(self);
        self.client.on_end(move |_| same.note(&Event::UpEnd));
        let same = Rc::clone(self);
        target.on_data(move |_, data| same.note(&Event::Down(data.to_vec())));
        let same = Rc::clone(self);
        target.on_end(move |_| same.note(&Event::DownEnd));
    }

    fn note(&self, event: &Event) {
        if let Some(recorder) = &self.relaying.recorder {
            recorder.record(self.number, event);
        }
    }

    /// An error of either side after they were joined, or of the client before.
    fn failed(&self, side: &str, error: &Error) {
        log::info(format_args!("{}, its {side} side: {error}", self.name()));
        self.relaying.counts.borrow_mut().fail(error.code().as_str());
    }

    fn client_closed(self: &Rc<Self>, client: &Socket, had_error: bool) {
        let target = self.target.borrow().clone();
        if let Some(target) = target {
            // While connecting nothing was sent: it just goes.
            if had_error && !target.connecting() {
                reset(&target);
            } else if !client.readable_ended() {
                target.destroy();
            }
            // Otherwise it goes on to be sent what is on its way, and then the end.
        }
        log::info(format_args!("{} left", self.name()));
        self.note(&Event::Close);
        if self.target.borrow().as_ref().is_none_or(Socket::destroyed) {
            self.release();
        }
        self.relaying.ended(self.number, client);
    }

    fn target_closed(self: &Rc<Self>, target: &Socket, had_error: bool) {
        self.release();
        if self.client.destroyed() {
            return;
        }
        if had_error {
            // What had come before still goes out.
            self.client.write_then(&b""[..], |client, _| reset(client));
        } else if !target.readable_ended() {
            self.client.destroy();
        }
    }
}

/// Who it is, for the log.
pub(super) fn from(address: Option<SocketAddr>) -> String {
    address.map_or_else(String::new, |address| format!(" from {address}"))
}
