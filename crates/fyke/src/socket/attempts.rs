//! The descriptors of attempts to connect. The state machine decides which attempts are made, when, and
//! what follows from their outcome; this module carries that out.

use std::io;
use std::net::SocketAddr;

use fyke_driver::{Address, Open, OpenError, SocketId, Transport};

use fyke_machine::connection::{Attempt, AttemptEvent, Event, Phase, Refusal};

use super::Socket;
use super::running::Running;
use crate::wiring::Core;

impl Socket {
    /// Opens and binds a socket for an attempt.
    pub(super) fn open_attempt(&self, attempt: Attempt) {
        let wanted = self.inner.state.borrow().attempt_target(attempt);
        let (Some(core), Some((target, local))) = (self.core(), wanted) else { return };
        let opened = match self.is_blocked(&target) {
            true => Err(Refusal::Blocked),
            false => self.open(core, &target, local),
        };
        let opened = opened.map(|id| {
            core.own(id, self.actor());
            let running = Running { attempt, id, target: target.ip() };
            let kept = self.with_connecting(|connecting| connecting.running.push(running));
            if kept.is_none() {
                // A listener for log messages destroyed the socket during this call.
                core.close(id);
            }
        });
        self.ask(|machine, cx, fx| machine.opened(attempt, opened, cx, fx));
    }

    fn open(
        &self,
        core: &Core,
        target: &Address,
        local: Option<SocketAddr>,
    ) -> Result<SocketId, Refusal> {
        if let Some(id) = self.take_bound() {
            self.wishes().size_buffers_of(&core.driver, id);
            return Ok(id);
        }
        let mut request = Open::new(Transport::of(target));
        request.bind = local.map(Address::Ip);
        // Only a client that is bound sets SO_REUSEADDR (SRV-18).
        request.reuse_address = local.is_some();
        self.wishes().size_buffers(&mut request);
        core.driver.open(&request).map_err(|OpenError { at_bind, source }| match at_bind {
            true => Refusal::Bind(source),
            false => Refusal::Open(source),
        })
    }

    fn is_blocked(&self, target: &Address) -> bool {
        let state = self.inner.state.borrow();
        let list = state.rare_if_any().and_then(|rare| rare.block_list.as_ref());
        list.zip(target.ip()).is_some_and(|(list, address)| list.check(address.ip()))
    }

    fn attempt_id(&self, attempt: Attempt) -> Option<SocketId> {
        self.with_connecting(|connecting| {
            let running = connecting.running.iter().find(|running| running.attempt == attempt);
            running.map(|running| running.id)
        })
        .flatten()
    }

    fn take_attempt(&self, attempt: Attempt) -> Option<Running> {
        self.with_connecting(|connecting| {
            let running = &mut connecting.running;
            let index = running.iter().position(|running| running.attempt == attempt)?;
            running.swap_remove(index)
        })
        .flatten()
    }

    pub(super) fn dial(&self, attempt: Attempt) {
        let (Some(core), Some(id)) = (self.core(), self.attempt_id(attempt)) else { return };
        let target = self.inner.state.borrow().attempt_target(attempt);
        if let Some((target, _)) = target {
            core.driver.connect(id, &target);
        }
    }

    pub(super) fn hang_up(&self, attempt: Attempt) {
        let running = self.take_attempt(attempt);
        if let (Some(core), Some(running)) = (self.core(), running) {
            core.close(running.id);
        }
    }

    /// Makes the descriptor of an attempt the socket's own: the attempt has succeeded, or it is the only
    /// one of a connect that failed.
    pub(super) fn take_over(&self, attempt: Attempt) {
        if let Some(running) = self.take_attempt(attempt) {
            let mut state = self.inner.state.borrow_mut();
            state.id = Some(running.id);
            if state.phase == Phase::Open {
                state.set_peer(running.target);
            }
        }
    }

    /// Asks the system whether an attempt is connected.
    pub(super) fn probe(&self, attempt: Attempt) {
        let (Some(core), Some(id)) = (self.core(), self.attempt_id(attempt)) else { return };
        if core.driver.peer_address(id).is_ok() {
            self.ask(|machine, _, fx| machine.probed(attempt, fx));
        }
    }

    pub(super) fn emit_attempt_event(&self, event: &AttemptEvent) {
        match event {
            AttemptEvent::Begins(target) => {
                self.list_attempt(target);
                self.emit_attempt(Event::Attempt, target);
            }
            AttemptEvent::BeginsAgain(target) => self.emit_attempt(Event::Attempt, target),
            AttemptEvent::Failed(target, error) => self.emit_attempt_failed(target, error),
            AttemptEvent::TimedOut(target) => self.emit_attempt(Event::AttemptTimeout, target),
        }
    }

    /// Adds the target to the list of attempted addresses, which exists only if there are several
    /// addresses.
    // HE-14
    fn list_attempt(&self, target: &Address) {
        let mut state = self.inner.state.borrow_mut();
        let attempted = state.rare_if_any_mut().and_then(|rare| rare.attempted.as_mut());
        if let (Some(attempted), Some(address)) = (attempted, target.ip()) {
            attempted.push(address);
        }
    }

    /// The driver reports that an attempt is connected.
    pub(super) fn connected_by(&self, id: SocketId) {
        let Some(attempt) = self.attempt_of(id) else { return };
        if self.is_connected_to_itself(id) {
            if let Some(core) = self.core() {
                // Closed with RST; otherwise TIME_WAIT would keep the port in use for a while.
                core.driver.reset(id);
            }
            return self.connect_failed(id, io::ErrorKind::ConnectionRefused.into());
        }
        self.ask(|machine, _, fx| machine.connected(attempt, fx));
    }

    /// The driver reports that an attempt failed.
    pub(super) fn connect_failed(&self, id: SocketId, source: io::Error) {
        if let Some(attempt) = self.attempt_of(id) {
            self.ask(|machine, cx, fx| machine.connect_failed(attempt, source, cx, fx));
        }
    }

    fn attempt_of(&self, id: SocketId) -> Option<Attempt> {
        self.with_connecting(|connecting| {
            let running = connecting.running.iter().find(|running| running.id == id);
            running.map(|running| running.attempt)
        })
        .flatten()
    }

    /// Returns whether an attempt has connected to its own socket, which means that no server listens
    /// there.
    fn is_connected_to_itself(&self, id: SocketId) -> bool {
        let refuses = self.with_connecting(|connecting| connecting.options.refuses_itself);
        let (Some(true), Some(core)) = (refuses, self.core()) else { return false };
        let local = core.driver.local_address(id).ok().and_then(|address| address.ip());
        let peer = core.driver.peer_address(id).ok().and_then(|address| address.ip());
        local.is_some() && local == peer
    }

    /// Discards the state of the attempts, because the connection is established.
    pub(super) fn use_connection(&self) {
        let connecting = {
            let mut state = self.inner.state.borrow_mut();
            let connecting = state.rare_if_any_mut().and_then(|rare| {
                // For another connect on the same connection, the peer's address must be asked for again.
                rare.peer_was_asked = false;
                rare.connecting.take()
            });
            state.tidy();
            connecting
        };
        drop(connecting);
        self.capture_peer();
        self.apply_wishes(false);
        self.begin_layer();
    }
}
