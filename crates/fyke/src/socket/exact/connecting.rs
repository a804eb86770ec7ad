//! `connect` where fyke refuses it by default: on a socket that connects, that is connected, or
//! that is destroyed and whose `close` is still to come (CON-17, CON-18).

use std::net::IpAddr;

use fyke_driver::{Address, SocketId};
use fyke_machine::connection::{Connection, Event, Phase};

use crate::connect::ConnectOptions;
use crate::socket::{LookupEvent, Socket};
use crate::{Endpoint, Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// A connect on a socket that has a descriptor already.
#[derive(Clone, Debug)]
pub(in crate::socket) struct Again {
    target: Address,
    /// The first one is still under way.
    was_connecting: bool,
}

impl Socket {
    /// Takes a connect that finds the socket connecting or connected. Says no where Node would
    /// first have to look a name up: what follows from that depends on its thread pool.
    pub(in crate::socket) fn connect_again(
        &self,
        options: &ConnectOptions,
        f: impl FnOnce(&Socket) + 'static,
    ) -> std::result::Result<(), impl FnOnce(&Socket) + 'static> {
        let is_live = self.inner.state.borrow().is_live();
        let target = match &options.endpoint {
            Endpoint::Ip(address) => Some(Address::Ip(*address)),
            endpoint => endpoint.unix_address(),
        };
        let Some(target) = target.filter(|_| is_live && self.policy().tries_to_connect_again)
        else {
            return Err(f);
        };
        self.once(Event::Connect, f);
        let was_connecting = self.step(|machine, cx, _| machine.begin_connect_again(cx));
        let again = Again { target, was_connecting };
        match again.target.is_unix() && self.tells_inside_calls() {
            true => self.attempt_again(&again),
            false => self.tick_with(move |socket| socket.attempt_again(&again)),
        }
        Ok(())
    }

    /// Whether news of a connect is told inside the call that brings it: not while a listener for such
    /// news runs, which could not hear it then. It hears it on the tick.
    pub(in crate::socket) fn tells_inside_calls(&self) -> bool {
        const NEWS: [Event; 4] =
            [Event::Lookup, Event::Attempt, Event::AttemptFailed, Event::AttemptTimeout];
        self.policy().tells_inside_connect
            && !NEWS.iter().any(|event| self.inner.listeners.is_running(*event))
    }

    /// The system takes a second connect on a connection that stands, and none after it
    /// (connect(2), EISCONN; Linux keeps SS_CONNECTING until it was asked once, or shut down).
    pub(in crate::socket) fn attempt_again(&self, again: &Again) {
        if !self.is_connecting() {
            return;
        }
        self.emit_attempt(Event::Attempt, &again.target);
        if !self.is_connecting() {
            return;
        }
        let taken = self.inner.state.borrow_mut().attempt_again();
        if again.was_connecting {
            let path = self.inner.state.borrow().unix && again.target.is_unix();
            return match path {
                true => self.connect_to_path_again(again),
                false => self.fail_again(ErrorCode::EALREADY, again),
            };
        }
        if taken && !again.target.is_unix() {
            return self.fail_again(ErrorCode::EISCONN, again);
        }
        let (Some(core), socket) = (self.core(), self.clone()) else { return };
        let again = again.clone();
        // Of a path, the refusal is deferred too.
        let outcome = move || match again.target.is_unix() {
            true => socket.guarded(|| socket.refuse_again(&again)),
            false => socket.guarded(|| socket.stands_again()),
        };
        core.push_next_turn(Box::new(outcome));
    }

    fn refuse_again(&self, again: &Again) {
        if self.is_connecting() {
            self.refuse_connected(&again.target);
        }
    }

    fn refuse_connected(&self, target: &Address) {
        self.inner.state.borrow_mut().phase = Phase::Open;
        let error = Error::named(ErrorCode::EISCONN, "connect").at(target.clone(), true);
        self.emit_attempt_failed(target, &error);
        self.destroy_with(error);
        self.sync();
    }

    /// The system connects to a path within the call. So it finds the second connect on a
    /// connection that stands, if the first did not fail; a failure of the first is told by itself.
    fn connect_to_path_again(&self, again: &Again) {
        let id = self.with_connecting(|connecting| {
            connecting.again = Some(again.target.clone());
            connecting.ids().next()
        });
        let (Some(core), Some(Some(id)), socket) = (self.core(), id, self.clone()) else { return };
        let refuse = move || {
            let stands = socket.core().is_some_and(|core| core.driver.peer_address(id).is_ok());
            if stands && socket.is_connecting() {
                socket.guarded(|| _ = socket.is_refused_again(id));
            }
        };
        core.push_next_turn(Box::new(refuse));
    }

    /// Refuses the second connect to a path, if there was one, on the first one's connection.
    pub(in crate::socket) fn is_refused_again(&self, id: SocketId) -> bool {
        let again = self.with_connecting(|connecting| connecting.again.take()).flatten();
        let Some(target) = again else { return false };
        self.inner.state.borrow_mut().id = Some(id);
        self.refuse_connected(&target);
        true
    }

    fn fail_again(&self, code: ErrorCode, again: &Again) {
        self.destroy_with(Error::named(code, "connect").at(again.target.clone(), true));
    }

    fn stands_again(&self) {
        if !self.is_connecting() {
            return;
        }
        self.inner.state.borrow_mut().rare().peer_was_asked = false;
        self.step(Connection::establish);
    }

    /// What the system refuses inside the call is in Node no attempt that failed, unless there are
    /// several addresses (CON-10, IPC-10). It defers what it can be told of a path, but for its
    /// length.
    pub(in crate::socket) fn is_untold(&self, target: &Address, error: &Error) -> bool {
        let several = self.with_connecting(|connecting| connecting.several());
        let at_once = match error.code() {
            ErrorCode::EINVAL => true,
            ErrorCode::ENETUNREACH | ErrorCode::EADDRNOTAVAIL => !target.is_unix(),
            ErrorCode::EACCES => !target.is_unix(),
            _ => false,
        };
        !self.policy().tells_immediate_failure && at_once && several == Some(false)
    }

    /// Of one address, Node tells the lookup also when the socket is destroyed by then (HE-26).
    pub(in crate::socket) fn remember_lookup(&self, host: &str) {
        self.inner.state.borrow_mut().rare().lookup_host = Some(host.into());
    }

    pub(in crate::socket) fn tell_late_lookup(&self, result: &Result<Vec<IpAddr>>) {
        let host = {
            let mut state = self.inner.state.borrow_mut();
            let destroyed = state.destroyed();
            let rare = state.rare_if_any_mut().filter(|_| destroyed);
            rare.and_then(|rare| rare.lookup_host.take())
        };
        let address = result.as_ref().map(|addresses| addresses.first().copied());
        let address = address.map_err(Error::clone).transpose();
        if let (Some(host), Some(address)) = (host, address) {
            self.emit_lookup(&LookupEvent { host, address });
        }
    }
}
