//! One client of a relay, from its arrival to its end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use fyke::{ConnectOptions, Error, Socket};
use fyke_tls::Tls;

use super::Relaying;
use super::limits::Seat;
use super::link::{Link, link};
use super::proxy::{self, Addresses};
use super::routes::Refusal;
use super::routing::Routing;
use super::shaping::Shaping;
use super::targets::Destination;
use crate::arguments::{Direction, Level};
use crate::delivery::end_when_delivered;
use crate::ending::{close_idle, reset, reset_when_delivered, reset_when_stalled};
use crate::idle;
use crate::log;
use crate::random::Random;
use crate::recording::Event;
use crate::tls::Facts;

pub(super) struct Session {
    relaying: Rc<Relaying>,
    number: u64,
    client: Socket,
    /// The real address of the client, and the address to which it connected.
    addresses: Cell<Addresses>,
    /// The slot of this session in the limits.
    seat: RefCell<Option<Seat>>,
    /// Chooses the destination, if there are routes.
    routing: RefCell<Option<Rc<Routing>>>,
    destination: Cell<Destination>,
    target: RefCell<Option<Socket>>,
    /// The targets that were tried.
    tried: RefCell<Vec<usize>>,
    /// The target that is connected or being tried.
    chosen: Cell<Option<usize>>,
    /// The two directions with faults, if any: up and down.
    links: [RefCell<Option<Rc<Link>>>; 2],
    is_over: Cell<bool>,
}

impl Session {
    /// Starts a session for a client that the gate has admitted. The client is paused.
    pub(super) fn begin(
        relaying: &Rc<Relaying>,
        number: u64,
        client: &Socket,
        seat: Seat,
    ) -> Rc<Self> {
        // The addresses are needed only for a header that is sent.
        let sends = relaying.options.proxy.proxy_out.is_some();
        let addresses = || client.remote_address().zip(client.local_address());
        let session = Rc::new(Self {
            relaying: Rc::clone(relaying),
            number,
            client: client.clone(),
            addresses: Cell::new(sends.then(addresses).flatten()),
            seat: RefCell::new(Some(seat)),
            routing: RefCell::default(),
            destination: Cell::default(),
            target: RefCell::default(),
            tried: RefCell::default(),
            chosen: Cell::default(),
            links: Default::default(),
            is_over: Cell::new(false),
        });
        client.set_deliver_before_error(true);
        let same = Rc::clone(&session);
        client.on_error(move |_, error| same.failed("client", error));
        let same = Rc::clone(&session);
        client.on_close(move |client, had_error| same.client_closed(client, had_error));
        session.limit_idle_time();
        if !relaying.routes.is_empty() {
            let same = Rc::clone(&session);
            let routed = move |result| same.routed(result);
            let routing = Routing::begin(relaying, number, client, routed);
            *session.routing.borrow_mut() = Some(routing);
        }
        if relaying.options.proxy.proxy_in.is_empty() {
            session.admitted();
        } else {
            let same = Rc::clone(&session);
            proxy::receive(client, move |client, result| same.identified(client, result));
        }
        session
    }

    /// Starts the idle timeout of the session. It counts bytes that move on either connection, and
    /// closes both.
    fn limit_idle_time(self: &Rc<Self>) {
        let Some(timeout) = self.relaying.options.limits.idle_timeout else { return };
        let (progress, idle) = (Rc::downgrade(self), Rc::downgrade(self));
        let progress = move || progress.upgrade().and_then(|session| session.progress());
        let idle = move || idle.upgrade().iter().for_each(|session| session.was_idle());
        // Sessions only begin inside of a loop, so this does not fail.
        let _ = idle::watch(timeout, progress, idle);
    }

    fn progress(&self) -> Option<u64> {
        if self.is_over.get() {
            return None;
        }
        let target = self.target.borrow().as_ref().map_or(0, idle::progress);
        Some(idle::progress(&self.client).wrapping_add(target))
    }

    fn was_idle(&self) {
        log::info(format_args!("{} was idle longer than --idle-timeout", self.name()));
        self.relaying.counts.borrow_mut().fail("idle");
        let target = self.target.borrow().clone();
        // A client that has no data in transit is closed like any idle connection.
        let waits = target.as_ref().is_some_and(|target| target.read_queue_len() > 0)
            || self.links[1].borrow().as_ref().is_some_and(|link| !link.is_empty());
        if waits {
            reset(&self.client);
        } else {
            close_idle(&self.client);
        }
        target.iter().for_each(cut);
    }

    /// Returns the number of bytes that the client and the target have sent so far.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let down = self.target.borrow().as_ref().map_or(0, Socket::bytes_read);
        (self.client.bytes_read(), down)
    }

    pub(super) fn cut_off(&self) {
        reset(&self.client);
        let target = self.target.borrow().clone();
        target.iter().for_each(reset);
    }

    fn name(&self) -> String {
        format!("client {}", self.number)
    }

    /// Called when the PROXY protocol header was received.
    fn identified(self: &Rc<Self>, client: &Socket, result: Result<Addresses, ()>) {
        let Ok(addresses) = result else {
            log::info(format_args!("{}: a valid PROXY protocol header is missing", self.name()));
            self.relaying.counts.borrow_mut().refuse("no header");
            reset(client);
            return;
        };
        if let Some((from, _)) = addresses {
            log::info(format_args!("{} has the address {from}", self.name()));
            self.addresses.set(addresses);
        }
        // If the header has no address, the rules apply to the connection's own address.
        let admitted = match addresses {
            Some((from, _)) => self.relaying.gate.admits_ip(from.ip()),
            None => self.relaying.gate.admits(client),
        };
        let from = addresses.map(|(from, _)| from).or_else(|| client.remote_address());
        let ip = from.map(|from| from.ip());
        let (why, refused) = if !admitted {
            ("address", "its address is not allowed")
        } else if !self.seat.borrow().as_ref().is_some_and(|seat| seat.belongs_to(ip)) {
            ("limit", "too many connections from its address")
        } else {
            return self.admitted();
        };
        log::info(format_args!("{}: {refused}", self.name()));
        self.relaying.counts.borrow_mut().refuse(why);
        reset(client);
    }

    /// Called when the client's address is known and allowed.
    fn admitted(self: &Rc<Self>) {
        let Some(tls) = &self.relaying.security.clients else { return self.find_target() };
        let same = Rc::clone(self);
        let begun = tls.begin(&self.client, move |client| {
            if let Some(tls) = Tls::of(client).filter(|_| log::is_on(Level::Info)) {
                let summary = Facts::of(&tls).summary_with_subject();
                log::info(format_args!("{}: {summary}", same.name()));
            }
            same.find_target();
        });
        if let Err(error) = begun {
            self.failed("client", &error);
            reset(&self.client);
        }
    }

    fn find_target(self: &Rc<Self>) {
        let routing = self.routing.take();
        match routing {
            Some(routing) => routing.receive(),
            None => self.try_next(),
        }
    }

    /// Called when the routes have chosen the destination.
    fn routed(self: &Rc<Self>, result: Result<Destination, Refusal>) {
        let refusal = match result {
            Ok(destination) => {
                self.destination.set(destination);
                return self.try_next();
            }
            Err(refusal) => refusal,
        };
        log::info(format_args!("{} was refused: {}", self.name(), refusal.text));
        self.relaying.counts.borrow_mut().refuse(refusal.reason);
        match refusal.alert {
            Some(alert) => {
                let _ = self.client.write(&alert.record());
                // A client whose window is closed must not keep the session.
                reset_when_stalled(&self.client);
                end_when_delivered(&self.client);
            }
            None => reset(&self.client),
        }
    }

    /// Connects to a target that has not been tried yet. If there is none, the client is reset.
    fn try_next(self: &Rc<Self>) {
        let now = Instant::now();
        let destination = self.destination.get();
        let chosen =
            self.relaying.targets.borrow_mut().choose(now, destination, &self.tried.borrow());
        let Some(index) = chosen else {
            log::info(format_args!("{}: the connection to every target failed", self.name()));
            reset(&self.client);
            return;
        };
        self.tried.borrow_mut().push(index);
        self.chosen.set(Some(index));
        let place = self.relaying.targets.borrow().place(index).clone();
        let timeout = self.relaying.options.connect_timeout;
        let (same, connected) = (Rc::clone(self), Rc::new(Cell::new(false)));
        let stands = Rc::clone(&connected);
        let joins = move |target: &Socket| {
            stands.set(true);
            same.relaying.targets.borrow_mut().connected(index);
            same.join(target);
        };
        let options =
            |options: ConnectOptions| options.connect_timeout(timeout).allow_half_open(true);
        let tls = self.relaying.security.of_target(&self.client);
        let target = match (self.header(), tls.cloned()) {
            // The header is not encrypted, so TLS begins after it.
            (Some(header), Some(tls)) => {
                let to = place.clone();
                place.connect(None, options, move |target| {
                    let _ = target.write(header);
                    if let Err(error) = tls.begin(target, &to, joins) {
                        target.destroy_with(error);
                    }
                })
            }
            (Some(header), None) => place.connect(None, options, move |target| {
                let _ = target.write(header);
                joins(target);
            }),
            (None, tls) => place.connect(tls.as_ref(), options, joins),
        };
        let target = match target {
            Ok(target) => target,
            Err(failure) => {
                log::note(format_args!("{}: {place}: {failure}", self.name()));
                reset(&self.client);
                return;
            }
        };
        target.set_deliver_before_error(true);
        *self.target.borrow_mut() = Some(target.clone());
        let (same, is_connected) = (Rc::clone(self), Rc::clone(&connected));
        target.on_error(move |_, error| {
            if is_connected.get() {
                same.failed("target", error);
            } else {
                same.unreachable(index, error);
            }
        });
        let same = Rc::clone(self);
        target.on_close(move |target, had_error| {
            if connected.get() {
                same.target_closed(target, had_error);
            }
            same.end_if_over();
        });
    }

    /// Returns the PROXY protocol header for the target.
    fn header(&self) -> Option<Vec<u8>> {
        let version = self.relaying.options.proxy.proxy_out?;
        Some(proxy::header(version, self.addresses.get()))
    }

    fn unreachable(self: &Rc<Self>, index: usize, error: &Error) {
        self.relaying.counts.borrow_mut().fail(error.code().as_str());
        self.release();
        let mut targets = self.relaying.targets.borrow_mut();
        // Exhausted resources of this machine are not the target's fault.
        let ours = ["EMFILE", "ENFILE", "ENOBUFS", "EADDRNOTAVAIL"];
        let pause = if ours.contains(&error.code().as_str()) {
            None
        } else {
            targets.failed(Instant::now(), index)
        };
        let place = targets.place(index).clone();
        drop(targets);
        let skipped = pause.map_or(String::new(), |pause| format!("; skipped for {pause:.1?}"));
        log::info(format_args!("{}: {place}: {error}{skipped}", self.name()));
        if !self.client.is_destroyed() {
            self.try_next();
        }
    }

    /// Reduces the connection count of the chosen target.
    fn release(&self) {
        if let Some(index) = self.chosen.take() {
            self.relaying.targets.borrow_mut().over(index);
        }
    }

    fn join(self: &Rc<Self>, target: &Socket) {
        if self.client.is_destroyed() {
            target.destroy();
            return;
        }
        if log::is_on(Level::Debug) {
            let to = target.remote_address().map_or("its target".to_owned(), |to| to.to_string());
            log::debug(format_args!("{} is connected to {to}", self.name()));
        }
        self.record(target);
        self.lead(&self.client, target, Direction::Up);
        self.lead(target, &self.client, Direction::Down);
    }

    /// Joins the client and the target, with or without faults.
    fn lead(&self, from: &Socket, to: &Socket, direction: Direction) {
        let faults = &self.relaying.options.faults;
        let meant = faults.direction == Direction::Both || faults.direction == direction;
        if !meant || !faults.any() {
            from.pipe(to);
            return;
        }
        let stream = self.number * 2 + u64::from(direction == Direction::Down);
        let shaping = Shaping::new(faults, Random::of(faults.seed, stream));
        let link = link(from, to, shaping, faults.slice.is_some());
        *self.links[usize::from(direction == Direction::Down)].borrow_mut() = Some(link);
        from.resume();
    }

    fn record(self: &Rc<Self>, target: &Socket) {
        if self.relaying.recorder.is_none() {
            return;
        }
        self.note(&Event::Open);
        if self.client.is_readable_ended() {
            self.note(&Event::UpEnd);
        }
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

    /// Called for an error of either side after they were joined, or of the client before.
    fn failed(&self, side: &str, error: &Error) {
        log::info(format_args!("{}: the {side} side failed: {error}", self.name()));
        self.relaying.counts.borrow_mut().fail(error.code().as_str());
    }

    fn client_closed(self: &Rc<Self>, client: &Socket, had_error: bool) {
        log::info(format_args!("{} disconnected", self.name()));
        self.note(&Event::Close);
        let target = self.target.borrow().clone();
        if let Some(target) = target {
            self.other_side_closed(client, &target, had_error, Direction::Up);
        }
        self.end_if_over();
    }

    fn target_closed(self: &Rc<Self>, target: &Socket, had_error: bool) {
        self.release();
        self.other_side_closed(target, &self.client, had_error, Direction::Down);
    }

    /// Called when `from` has closed. If both of its directions had ended, the data in transit to
    /// `to` is still delivered, followed by the end. Otherwise the stream is cut off, and `to` must
    /// see that.
    fn other_side_closed(&self, from: &Socket, to: &Socket, had_error: bool, way: Direction) {
        if to.is_connecting() {
            // No data has been sent yet.
            to.destroy();
        } else if had_error {
            let link = self.links[usize::from(way == Direction::Down)].borrow().clone();
            match link {
                Some(link) => link.break_off(),
                None => reset_when_delivered(to),
            }
        } else if !(from.is_readable_ended() && from.is_writable_finished()) {
            cut(to);
        }
    }

    /// Ends the session when both connections have closed.
    fn end_if_over(&self) {
        let over =
            self.client.is_closed() && self.target.borrow().as_ref().is_none_or(Socket::is_closed);
        if over && !self.is_over.replace(true) {
            self.release();
            self.relaying.ended(self.number, &self.client);
            drop((self.seat.take(), self.links[0].take(), self.links[1].take()));
        }
    }
}

/// Closes a connection whose other side has closed. It is reset unless all data was sent and the
/// stream has ended.
fn cut(socket: &Socket) {
    if socket.is_writable_finished() {
        socket.destroy();
    } else {
        reset(socket);
    }
}

/// The client's address as a part of a log line; formatted only if the line is logged.
pub(super) struct From(pub(super) Option<SocketAddr>);

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| write!(f, " from {address}"))
    }
}
