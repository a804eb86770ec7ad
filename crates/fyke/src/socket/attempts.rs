//! Attempts to connect, one or several at a time, and the moment when the connection stands. Which
//! one begins when is decided by [`Race`]; this carries it out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fyke_driver::{Address, Family, Open, OpenError, SocketId, Transport};

use fyke_machine::connection::{Connection, Event, Phase};
use fyke_machine::error::MakeError;

use super::Socket;
use crate::connect::{ConnectOptions, FamilySelection, Race, Step};
use crate::lookup::Ticket;
use crate::runtime::TimerId;
use crate::{Endpoint, Error, ErrorCode};

/// How soon a Unix server whose queue is full is tried again: the pause doubles up to the longest.
const FULL_FIRST_PAUSE: Duration = Duration::from_millis(1);
const FULL_PAUSE_MAX: Duration = Duration::from_millis(100);

/// A connect that is under way.
pub(super) struct Connecting {
    pub(super) options: ConnectOptions,
    pub(super) targets: Targets,
    /// The lookup that it waits for, if the system was asked.
    pub(super) lookup: Option<Ticket>,
    /// Another connect to a path that came meanwhile, on an exact loop.
    pub(super) again: Option<Address>,
    /// Where the socket was bound before the connect (BND-08).
    pub(super) bound: Option<Address>,
    /// The attempts that are running.
    running: Vec<(SocketId, Address)>,
    /// The next step of the race, or the next try at a Unix server whose queue is full.
    timer: Option<TimerId>,
    /// Ends the lookup if it takes too long.
    pub(super) lookup_timer: Option<TimerId>,
    /// Ends the connect if it takes too long.
    pub(super) connect_timer: Option<TimerId>,
    /// How often that queue was full.
    full_count: u32,
}

pub(super) enum Targets {
    /// The name is being resolved.
    Unresolved,
    /// One Unix socket.
    Unix(Address),
    /// One or several addresses.
    Ip(Race),
}

impl Connecting {
    pub(super) fn new(options: ConnectOptions, targets: Targets, bound: Option<Address>) -> Self {
        Self {
            options,
            targets,
            lookup: None,
            again: None,
            bound,
            running: Vec::new(),
            timer: None,
            lookup_timer: None,
            connect_timer: None,
            full_count: 0,
        }
    }

    /// Our end, as the error of an attempt at `target` tells it.
    fn known_local(&self, target: SocketAddr) -> Option<SocketAddr> {
        let family = Family::of(&target);
        // Of one that was bound before only if that is what is wrong (BND-09).
        let bound = self.bound.as_ref().and_then(Address::ip);
        let mismatch = bound.filter(|bound| Family::of(bound) != family);
        mismatch.or_else(|| self.options.known_local(family))
    }

    /// The attempt that is under way, or one of them.
    pub(super) fn running_target(&self) -> Option<&Address> {
        self.running.first().map(|(_, target)| target)
    }

    pub(super) fn several(&self) -> bool {
        matches!(&self.targets, Targets::Ip(race) if race.several())
    }

    fn step(&mut self, now: Duration) -> Option<Step> {
        match &mut self.targets {
            Targets::Ip(race) => Some(race.step(now)),
            _ => None,
        }
    }

    fn failed(&mut self, address: SocketAddr, error: Error, now: Duration) {
        if let Targets::Ip(race) = &mut self.targets {
            race.failed(address, error, now);
        }
    }

    fn take_running(&mut self, target: &Address) -> Option<SocketId> {
        let index = self.running.iter().position(|(_, address)| address == target)?;
        Some(self.running.swap_remove(index).0)
    }
}

impl Socket {
    /// Does what the race wants done now (CON-03, CON-04, HE-12).
    pub(super) fn next_attempt(&self) {
        let Some(core) = self.core().cloned() else { return };
        while self.is_connecting() {
            let unix = self.with_connecting(|connecting| match &connecting.targets {
                Targets::Unix(address) => Some(address.clone()),
                _ => None,
            });
            if let Some(Some(target)) = unix {
                if let Some(error) = self.attempt(&target, None) {
                    self.destroy_with(error);
                }
                return;
            }
            let step = self.with_connecting(|connecting| connecting.step(core.now())).flatten();
            match step {
                Some(Step::Begin(address)) => {
                    let local = self.with_connecting(|connecting| {
                        connecting.options.local(Family::of(&address))
                    });
                    if let Some(error) = self.attempt(&Address::Ip(address), local.flatten()) {
                        self.with_connecting(|connecting| {
                            connecting.failed(address, error, core.now());
                        });
                    }
                }
                Some(Step::GiveUp(address)) => self.give_up(address),
                Some(Step::Wait) => return self.set_attempt_timer(),
                Some(Step::Fail(error)) => _ = self.destroy_with(error),
                None => return,
            }
        }
    }

    /// Begins one attempt: opens and binds a socket, says so, connects. Answers with the error if
    /// it failed at once.
    fn attempt(&self, target: &Address, local: Option<SocketAddr>) -> Option<Error> {
        let core = self.core()?;
        if self.is_blocked(target) {
            return self.attempt_blocked(target);
        }
        let mut request = Open::new(Transport::of(target));
        request.bind = local.map(Address::Ip);
        // Only a client that is bound reuses addresses (SRV-18).
        request.reuse_address = local.is_some();
        self.wishes().size_buffers(&mut request);
        let opened = match self.take_bound() {
            Some(id) => {
                self.wishes().size_buffers_of(&core.driver, id);
                Ok(id)
            }
            None => core.driver.open(&request),
        };
        if let (Ok(id), false) = (&opened, self.is_connecting()) {
            // Destroyed by what listens to the log.
            core.close(*id);
            return None;
        }
        if let Err(OpenError { at_bind: true, source }) = opened {
            // No attempt was made: there is only the error, about our own end (CON-13).
            let error = Error::system("bind", source);
            return Some(error.at(local_or_unnamed(local), core.policy.words_as_node));
        }
        let opened = opened.inspect(|id| {
            core.own(*id, self.actor());
            self.with_connecting(|connecting| connecting.running.push((*id, target.clone())));
        });
        self.list_attempt(target);
        self.emit_attempt(Event::Attempt, target);
        // Destroyed by a listener: no system call is made (HE-25).
        if !self.is_connecting() {
            return None;
        }
        match opened {
            Ok(id) => {
                core.driver.connect(id, target);
                None
            }
            Err(error) => {
                let error = Error::system("connect", error.source);
                Some(self.tell_failure(target, error))
            }
        }
    }

    fn is_blocked(&self, target: &Address) -> bool {
        let state = self.inner.state.borrow();
        let list = state.rare_if_any().and_then(|rare| rare.block_list.as_ref());
        list.zip(target.ip()).is_some_and(|(list, address)| list.check(address.ip()))
    }

    /// One address: the attempt is announced, and nothing is tried (BLK-21). Several: it is not
    /// announced, only its failure, and the next follows (HE-27).
    fn attempt_blocked(&self, target: &Address) -> Option<Error> {
        let message = match target.ip().filter(|_| self.policy().words_as_node) {
            Some(address) => format!("IP({}) is blocked by net.BlockList", address.ip()),
            None => format!("{target} is on the block list"),
        };
        let error = Error::new(ErrorCode::ERR_IP_BLOCKED, message);
        match self.with_connecting(|connecting| connecting.several()) {
            Some(true) => self.emit_attempt_failed(target, &error),
            _ => self.emit_attempt(Event::Attempt, target),
        }
        Some(error)
    }

    /// Several addresses: keeps a list of those that were tried (HE-14).
    fn list_attempt(&self, target: &Address) {
        let several = self.with_connecting(|connecting| connecting.several());
        if let (Some(true), Some(address)) = (several, target.ip()) {
            let mut state = self.inner.state.borrow_mut();
            state.rare().attempted.get_or_insert_default().push(address);
        }
    }

    fn set_attempt_timer(&self) {
        let Some(core) = self.core() else { return };
        self.cancel_attempt_timer();
        let deadline = self.with_connecting(|connecting| match &connecting.targets {
            Targets::Ip(race) => race.deadline(),
            _ => None,
        });
        let Some(Some(deadline)) = deadline else { return };
        let socket = self.clone();
        let callback = Box::new(move || socket.guarded(|| socket.next_attempt()));
        let timer = core.set_timer(deadline, None, callback);
        self.with_connecting(|connecting| connecting.timer = Some(timer));
    }

    fn cancel_attempt_timer(&self) {
        let timer = self.with_connecting(|connecting| connecting.timer.take()).flatten();
        if let (Some(core), Some(timer)) = (self.core(), timer) {
            core.cancel_timer(timer);
        }
    }

    /// An attempt takes too long, and another address waits (HE-12, HE-16).
    fn give_up(&self, address: SocketAddr) {
        let target = Address::Ip(address);
        self.close_attempt(&target);
        self.emit_attempt(Event::AttemptTimeout, &target);
        let Some(now) = self.core().map(|core| core.now()) else { return };
        let error = Error::named(ErrorCode::ETIMEDOUT, "connect");
        let error = error.at(target, self.policy().words_as_node);
        self.with_connecting(|connecting| connecting.failed(address, error, now));
    }

    fn close_attempt(&self, target: &Address) {
        let id = self.with_connecting(|connecting| connecting.take_running(target)).flatten();
        if let (Some(core), Some(id)) = (self.core(), id) {
            core.close(id);
        }
    }

    /// The socket is destroyed, or connected: forgets what is under way, and says which
    /// descriptors are left.
    pub(super) fn forget_attempts(&self) -> Option<Connecting> {
        let mut connecting = self.inner.state.borrow_mut().rare_if_any_mut()?.connecting.take()?;
        if let Some(core) = self.core() {
            let timers = [&connecting.timer, &connecting.lookup_timer, &connecting.connect_timer];
            timers.into_iter().flatten().for_each(|timer| core.cancel_timer(*timer));
        }
        if let Some(ticket) = connecting.lookup.take() {
            ticket.cancel();
        }
        Some(*connecting)
    }

    /// The driver says that an attempt failed.
    pub(super) fn connect_failed(&self, id: SocketId, source: io::Error) {
        let target = self.with_connecting(|connecting| {
            let attempt = connecting.running.iter().find(|(running, _)| *running == id);
            attempt.map(|(_, target)| target.clone())
        });
        let Some(Some(target)) = target else { return };
        // It means "later" (connect(2)).
        let full = target.is_unix() && source.kind() == io::ErrorKind::WouldBlock;
        if full && self.policy().retries_full_queue {
            return self.try_again_later(id, target);
        }
        let several = self.with_connecting(|connecting| connecting.several());
        if several == Some(true) {
            self.close_attempt(&target);
        } else {
            // For a moment neither connecting nor destroyed (BEHAVIOUR 0.5).
            let mut state = self.inner.state.borrow_mut();
            state.phase = Phase::Failing;
            state.id = Some(id);
        }
        let error = self.tell_failure(&target, Error::system("connect", source));
        if self.is_destroyed() {
            return;
        }
        self.inner.state.borrow_mut().phase = Phase::Connecting;
        match target.ip().zip(self.core().map(|core| core.now())) {
            Some((address, now)) => {
                self.with_connecting(|connecting| connecting.failed(address, error, now));
                self.next_attempt();
            }
            None => _ = self.destroy_with(error),
        }
    }

    /// The queue of a Unix server is full.
    fn try_again_later(&self, id: SocketId, target: Address) {
        let Some(core) = self.core() else { return };
        let count = self.with_connecting(|connecting| {
            connecting.full_count = connecting.full_count.saturating_add(1);
            connecting.full_count
        });
        let pause = FULL_FIRST_PAUSE * 2_u32.pow(count.unwrap_or(1).min(8) - 1);
        let deadline = core.now() + pause.min(FULL_PAUSE_MAX);
        let socket = self.clone();
        // Cancelled when the connect is over.
        let callback = Box::new(move || {
            if let Some(core) = socket.core() {
                core.driver.connect(id, &target);
            }
        });
        let timer = core.set_timer(deadline, None, callback);
        self.with_connecting(|connecting| connecting.timer = Some(timer));
    }

    /// Whether an attempt has reached its own socket. Nobody listens there.
    fn is_connected_to_itself(&self, id: SocketId) -> bool {
        let refuses = self.with_connecting(|connecting| connecting.options.refuses_itself);
        let (Some(true), Some(core)) = (refuses, self.core()) else { return false };
        let local = core.driver.local_address(id).ok().and_then(|address| address.ip());
        let peer = core.driver.peer_address(id).ok().and_then(|address| address.ip());
        local.is_some() && local == peer
    }

    /// Completes the error of an attempt, and emits it.
    fn tell_failure(&self, target: &Address, error: Error) -> Error {
        let local = target.ip().and_then(|address| {
            self.with_connecting(|connecting| connecting.known_local(address)).flatten()
        });
        let error = error.at(target.clone(), self.policy().words_as_node).with_local(local);
        if !self.is_untold(target, &error) {
            self.emit_attempt_failed(target, &error);
        }
        error
    }

    /// An attempt has won: the others are closed silently, and the connection stands (CON-05).
    pub(super) fn connected_by(&self, id: SocketId) {
        if self.is_refused_again(id) {
            return;
        }
        if self.is_connected_to_itself(id) {
            if let Some(core) = self.core() {
                // By RST: otherwise the port would stay taken for a while, by TIME_WAIT.
                core.driver.reset(id);
            }
            return self.connect_failed(id, io::ErrorKind::ConnectionRefused.into());
        }
        let Some(connecting) = self.forget_attempts() else { return };
        let mut peer = None;
        for (running, target) in connecting.running {
            if running == id {
                peer = target.ip();
            } else if let Some(core) = self.core() {
                core.close(running);
            }
        }
        {
            let mut state = self.inner.state.borrow_mut();
            state.id = Some(id);
            state.peer = peer.into();
        }
        self.ask(Connection::establish);
        self.inner.state.borrow_mut().tidy();
    }
}

impl Connecting {
    pub(super) fn place(&self) -> Place {
        let endpoint = &self.options.endpoint;
        let ip = endpoint.ip_address().map(Address::Ip);
        let address = ip.or_else(|| endpoint.unix_address());
        address.map_or_else(|| Place::Host(self.host().0), Place::Address)
    }

    /// The host to resolve, and the port. Without a host it is this machine (CON-21).
    pub(super) fn host(&self) -> (String, u16) {
        match &self.options.endpoint {
            Endpoint::Host(host, port) => (host.clone(), *port),
            Endpoint::Port(port) => (String::from("localhost"), *port),
            _ => (String::new(), 0),
        }
    }

    /// Whether several addresses may be tried: not when the family is given, or follows from our
    /// own address (HE-07), or when there is only one socket for it (BND-08).
    pub(super) fn selects(&self) -> bool {
        let options = &self.options;
        let unbound = options.local_address.is_none() && self.bound.is_none();
        let free = options.family.is_none() && unbound;
        free && options.selection() != FamilySelection::Off
    }

    /// The descriptors of the attempts that are running.
    pub(super) fn ids(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.running.iter().map(|(id, _)| *id)
    }
}

/// Where a connect goes, as an error tells it.
pub(super) enum Place {
    Address(Address),
    Host(String),
}

/// What an attempt is about, as errors tell it.
fn local_or_unnamed(local: Option<SocketAddr>) -> Address {
    local.map_or(Address::Unnamed, Address::Ip)
}
