//! Connecting: lookup, attempts, and the moment when the connection stands.

use std::net::{IpAddr, SocketAddr};

use fyke_driver::{Address, Family, Open, OpenError, SocketId, Transport};

use super::events::Lookup;
use super::state::Phase;
use super::{Event, Socket, SocketTick};
use crate::connect::{AfterFailure, Candidates, ConnectOptions};
use crate::event_loop::{Owner, current_or_none};
use crate::lookup::{self, Query};
use crate::timer::TimerId;
use crate::{Endpoint, Error, ErrorCode, Result};

/// A connect that is under way.
pub(super) struct Connecting {
    options: ConnectOptions,
    targets: Targets,
    /// What the running attempt is about.
    current: Option<Address>,
    /// Gives the running attempt up, when there are others.
    timer: Option<TimerId>,
}

enum Targets {
    /// The name is being resolved.
    Unresolved,
    Unix(Address),
    Ip(Candidates),
}

/// # Connecting
impl Socket {
    /// Connects to `endpoint`; `f` listens once for `connect`.
    ///
    /// A socket may connect again after `close`, also from its `close` listener (CON-16). Node:
    /// `socket.connect()`.
    ///
    /// # Errors
    /// `EALREADY` while connecting, `EISCONN` while connected, `ERR_SOCKET_CLOSED` between
    /// `destroy` and `close`; else as [`fyke::connect`](crate::connect). The socket is as it was.
    pub fn connect<E>(&self, endpoint: E, f: impl FnOnce(&Socket) + 'static) -> Result<()>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_with(ConnectOptions::new(endpoint)?, Some(Box::new(f)))
    }

    pub(crate) fn connect_with(
        &self,
        options: ConnectOptions,
        f: Option<Box<dyn FnOnce(&Socket)>>,
    ) -> Result<()> {
        self.check_can_connect()?;
        let core = self.bind_to_loop()?;
        core.check_open()?;
        {
            let mut state = self.inner.state.borrow_mut();
            if state.phase == Phase::Closed {
                state.renew();
            }
            state.phase = Phase::Live;
            state.connecting = true;
            state.unix = options.endpoint.is_unix();
        }
        self.touch();
        if let Some(f) = f {
            self.once(Event::Connect, f);
        }
        let targets = match &options.endpoint {
            Endpoint::Ip(address) => Targets::Ip(Candidates::new([*address])),
            endpoint => endpoint.unix_address().map_or(Targets::Unresolved, Targets::Unix),
        };
        let (host, port) = match &options.endpoint {
            Endpoint::Port(port) => (String::from("localhost"), *port),
            Endpoint::Host(host, port) => (host.clone(), *port),
            _ => (String::new(), 0),
        };
        let resolve = matches!(targets, Targets::Unresolved);
        let query = Query { host, family: options.family };
        let limit = options.connect_timeout;
        let connecting = Connecting { options, targets, current: None, timer: None };
        self.inner.state.borrow_mut().rare().connecting = Some(connecting);
        self.sync_hold();
        self.limit_connect(limit);
        if resolve {
            let (socket, host) = (self.clone(), query.host.clone());
            lookup::resolve(&core, query, move |result| socket.resolved(&host, port, result));
        } else {
            self.tick(SocketTick::Attempt);
        }
        Ok(())
    }

    fn check_can_connect(&self) -> Result<()> {
        let state = self.inner.state.borrow();
        let (code, message) = match state.phase {
            Phase::Fresh | Phase::Closed => return Ok(()),
            Phase::Live if state.connecting => (ErrorCode::EALREADY, "already connecting"),
            Phase::Live => (ErrorCode::EISCONN, "already connected"),
            Phase::Destroyed => {
                (ErrorCode::ERR_SOCKET_CLOSED, "connect again when close was emitted")
            }
        };
        Err(Error::new(code, message))
    }

    /// A socket that was made outside of any loop belongs to the one where it is first used.
    fn bind_to_loop(&self) -> Result<std::rc::Rc<crate::event_loop::Core>> {
        if self.inner.core.get().is_none() {
            if let Some(core) = current_or_none() {
                self.join(core);
            }
        }
        self.core().cloned().map_or_else(crate::event_loop::current, Ok)
    }

    /// The addresses of the host are here, or the reason why not (HE-02, HE-03).
    fn resolved(&self, host: &str, port: u16, result: &Result<Vec<IpAddr>>) {
        // Destroyed meanwhile: nothing more is told (HE-26).
        if !self.is_connecting() {
            return;
        }
        self.touch();
        let event = |address| Lookup { host: host.to_owned(), address };
        let addresses = match result {
            Ok(addresses) => addresses,
            Err(error) => {
                self.emit_lookup(&event(Err(error.clone())));
                self.destroy_with(error.clone());
                return;
            }
        };
        // The local address decides the family, and with it that there is one attempt (HE-07).
        let single = self.with_connecting(|connecting| connecting.options.local_address.is_some());
        let count = if single == Some(true) { 1 } else { addresses.len() };
        let addresses = &addresses[..count];
        for address in addresses {
            self.emit_lookup(&event(Ok(*address)));
            if !self.is_connecting() {
                return;
            }
        }
        let candidates = Candidates::new(addresses.iter().map(|ip| SocketAddr::new(*ip, port)));
        self.with_connecting(|connecting| connecting.targets = Targets::Ip(candidates));
        self.next_attempt();
    }

    fn is_connecting(&self) -> bool {
        self.inner.state.borrow().connecting
    }

    fn with_connecting<T>(&self, f: impl FnOnce(&mut Connecting) -> T) -> Option<T> {
        self.inner.state.borrow_mut().rare_if_any_mut()?.connecting.as_mut().map(f)
    }

    /// Tries the next address: opens and binds the socket, says so, connects (CON-03, CON-04).
    pub(super) fn next_attempt(&self) {
        while self.is_connecting() {
            let next = self.with_connecting(|connecting| match &mut connecting.targets {
                Targets::Unix(address) => Some((address.clone(), None)),
                Targets::Ip(candidates) => {
                    let address = candidates.next()?;
                    let local = connecting.options.local(Family::of(&address));
                    Some((Address::Ip(address), local))
                }
                Targets::Unresolved => None,
            });
            let Some(Some((target, local))) = next else { return };
            if self.attempt(&target, local) {
                return;
            }
        }
    }

    /// Begins one attempt. False if it failed at once and another address is to be tried.
    fn attempt(&self, target: &Address, local: Option<SocketAddr>) -> bool {
        let Some(core) = self.core() else { return true };
        let mut request = Open::new(Transport::of(target));
        request.bind = local.map(Address::Ip);
        // Only a client that is bound reuses addresses (SRV-18).
        request.reuse_address = local.is_some();
        let opened = core.driver.open(&request);
        if let Err(OpenError { at_bind: true, source }) = opened {
            // No attempt was made: there is only the error, about our own end (CON-13).
            let local = request.bind.unwrap_or(Address::Unnamed);
            return self.after_failure(Error::system("bind", source).at(local));
        }
        self.list_attempt(target);
        if let Ok(id) = opened {
            self.inner.state.borrow_mut().id = Some(id);
            core.own(id, Owner::Socket(self.clone()));
        }
        self.with_connecting(|connecting| connecting.current = Some(target.clone()));
        self.emit_attempt(Event::Attempt, target);
        // Destroyed by a listener: no system call is made (HE-25).
        if !self.is_connecting() {
            return true;
        }
        match opened {
            Ok(id) => {
                core.driver.connect(id, target);
                self.limit_attempt();
                true
            }
            Err(error) => self.attempt_failed_with(Error::system("socket", error.source)),
        }
    }

    /// Several addresses: keeps a list of those that were tried (HE-14).
    fn list_attempt(&self, target: &Address) {
        let Some(address) = target.ip() else { return };
        let several = self.with_connecting(|connecting| match &connecting.targets {
            Targets::Ip(candidates) => candidates.several(),
            _ => false,
        });
        if several == Some(true) {
            self.inner.state.borrow_mut().rare().attempted.push(address);
        }
    }

    /// Gives the running attempt a time limit if another address waits (HE-12).
    fn limit_attempt(&self) {
        let limit = self.with_connecting(|connecting| match &connecting.targets {
            Targets::Ip(candidates) if candidates.has_next() => {
                Some(connecting.options.attempt_timeout)
            }
            _ => None,
        });
        let (Some(Some(limit)), Some(core)) = (limit, self.core()) else { return };
        let socket = self.clone();
        let callback = Box::new(move || socket.attempt_timed_out());
        let timer = core.timers.borrow_mut().set(core.now() + limit, None, callback);
        self.with_connecting(|connecting| connecting.timer = Some(timer));
    }

    fn attempt_timed_out(&self) {
        let Some(Some(target)) = self.with_connecting(|connecting| connecting.current.take())
        else {
            return;
        };
        self.close_attempt();
        self.emit_attempt(Event::AttemptTimeout, &target);
        let error = Error::named(ErrorCode::ETIMEDOUT, "connect").at(target);
        if self.is_connecting() && !self.after_failure(error) {
            self.next_attempt();
        }
    }

    /// The running attempt is over: its timer and descriptor go.
    fn close_attempt(&self) {
        let id = self.inner.state.borrow_mut().id.take();
        self.cancel_attempt_timer();
        if let (Some(core), Some(id)) = (self.core(), id) {
            core.close(id);
        }
    }

    fn cancel_attempt_timer(&self) {
        let timer = self.with_connecting(|connecting| connecting.timer.take()).flatten();
        let callback = match (self.core(), timer) {
            (Some(core), Some(timer)) => core.timers.borrow_mut().cancel(timer),
            _ => None,
        };
        drop(callback);
    }

    /// The socket is destroyed: forgets what is under way, and says which descriptor is left.
    pub(super) fn forget_attempts(&self) -> Option<SocketId> {
        self.cancel_attempt_timer();
        let mut state = self.inner.state.borrow_mut();
        let connecting = state.rare_if_any_mut().and_then(|rare| rare.connecting.take());
        let id = state.id.take();
        drop(state);
        drop(connecting);
        id
    }

    pub(super) fn connect_failed(&self, source: std::io::Error) {
        self.cancel_attempt_timer();
        if !self.attempt_failed_with(Error::system("connect", source)) {
            self.next_attempt();
        }
    }

    /// False if there is another address to try.
    fn attempt_failed_with(&self, error: Error) -> bool {
        let Some(Some(target)) = self.with_connecting(|connecting| connecting.current.take())
        else {
            return true;
        };
        let local = target.ip().and_then(|address| {
            let family = Family::of(&address);
            self.with_connecting(|connecting| connecting.options.known_local(family)).flatten()
        });
        let error = error.at(target.clone()).with_local(local);
        let several = self.with_connecting(|connecting| {
            matches!(&connecting.targets, Targets::Ip(candidates) if candidates.several())
        });
        if several != Some(true) {
            // For a moment neither connecting nor destroyed (BEHAVIOUR 0.5).
            self.inner.state.borrow_mut().connecting = false;
        }
        self.emit_attempt_failed(&target, &error);
        if self.destroyed() {
            return true;
        }
        self.after_failure(error)
    }

    /// Ends the connect with the error, or says false: there is another address.
    fn after_failure(&self, error: Error) -> bool {
        let after = self.with_connecting(|connecting| match &mut connecting.targets {
            Targets::Ip(candidates) => candidates.failed(error.clone()),
            _ => AfterFailure::GiveUp(error.clone()),
        });
        match after {
            Some(AfterFailure::TryNext) => {
                self.close_attempt();
                false
            }
            Some(AfterFailure::GiveUp(error)) => {
                self.inner.state.borrow_mut().connecting = true;
                self.destroy_with(error);
                true
            }
            None => true,
        }
    }

    /// The connection stands (CON-05): `connect`, `ready`, and then reading begins.
    pub(super) fn connected(&self) {
        self.cancel_attempt_timer();
        self.forget_deadlines(false);
        {
            let mut state = self.inner.state.borrow_mut();
            state.connecting = false;
            let connecting = state.rare().connecting.take();
            let peer = connecting.and_then(|connecting| connecting.current?.ip());
            state.peer = peer;
        }
        self.capture_peer();
        self.touch();
        self.apply_wishes();
        self.emit(Event::Connect);
        if self.inner.state.borrow().reset_on_connect {
            self.tear_down(None, true);
        }
        if self.destroyed() {
            return;
        }
        self.hand_over_first();
        if self.destroyed() {
            return;
        }
        self.end_after_connect();
        self.emit(Event::Ready);
        self.finish_if_done();
        if self.inner.state.borrow().read.receives_on_connect() {
            self.start_receiving();
        }
    }
}
