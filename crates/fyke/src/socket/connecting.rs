//! Connecting: from the call to the machine, and the lookup of a name. [`attempts`](super::attempts) opens what
//! the machine wants to try.

use std::net::IpAddr;
use std::rc::Rc;

use fyke_driver::Address;
use fyke_machine::connection::{Event, Local, Request};

use super::Socket;
use super::listener::Hears;
use super::running::Connecting;
use crate::connect::{ConnectOptions, FamilySelection, LookupReply, LookupRequest};
use crate::lookup::{self, Query};
use crate::wiring::{Core, current, current_or_none};
use crate::{Endpoint, Error, Result};

/// Connects to `endpoint` as [`connect`](crate::connect()) does, and runs `f` once, when the connection is
/// established. `f` is dropped if the connect fails.
///
/// Node: `net.connect`, `net.createConnection`.
///
/// # Errors
/// What can be known at once: `ERR_SOCKET_BAD_PORT` and `ERR_INVALID_ARG_VALUE` if `endpoint` cannot be
/// parsed, `ERR_NO_EVENT_LOOP` outside of a loop, `ERR_EVENT_LOOP_CLOSED` if it is gone.
///
/// `examples/client.rs`:
///
#[doc = concat!("```no_run\n", include_str!("../../examples/client.rs"), "```")]
#[doc(alias("connect", "createConnection"))]
pub fn connect_then<E>(endpoint: E, f: impl FnOnce(&Socket) + 'static) -> Result<Socket>
where
    E: TryInto<Endpoint>,
    Error: From<E::Error>,
{
    ConnectOptions::new(endpoint).connect_then(f)
}

/// # Connecting
impl ConnectOptions {
    /// Makes a socket with these options, connects it, and runs `f` once, when the connection is
    /// established.
    ///
    /// # Errors
    /// Those of [`connect_then`], and that of the first option whose value is not valid.
    pub fn connect_then(self, f: impl FnOnce(&Socket) + 'static) -> Result<Socket> {
        // Before anything is made that nobody could hear of.
        self.check()?;
        current()?.check_open()?;
        let socket = Socket::with_options(&self.socket);
        if let Some(timeout) = self.timeout {
            socket.set_idle_timeout(Some(timeout));
        }
        // Destroyed already if its signal was aborted before.
        if !socket.is_destroyed() {
            socket.connect_with_then(self, f)?;
        }
        socket.drop_listeners_on_close();
        Ok(socket)
    }
}

/// # Connecting
impl Socket {
    /// Connects this socket to `endpoint`, and runs `f` once, when the connection is established. `f` is
    /// dropped when this connect fails, and does not run when a later one succeeds (in Node, and on a loop
    /// made with [`node_exact`](crate::EventLoopBuilder::node_exact), it does).
    ///
    /// A socket may connect again after `close`, also from its `close` listener. Node:
    /// `socket.connect()`.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect). The socket is as it was, and `f` is dropped.
    #[doc(alias = "connect")]
    pub fn connect_then<E>(&self, endpoint: E, f: impl FnOnce(&Socket) + 'static) -> Result<()>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_with_then(ConnectOptions::new(endpoint), f)
    }

    /// Connects this socket with options of the connect, and runs `f` once, when the connection is
    /// established. Options of the socket itself (half-open, high-water mark, and so on) stay as they are.
    ///
    /// # Errors
    /// Those of [`connect_with`](Self::connect_with).
    pub fn connect_with_then(
        &self,
        options: ConnectOptions,
        f: impl FnOnce(&Socket) + 'static,
    ) -> Result<()> {
        options.check()?;
        if let Some(target) = self.target_again(&options) {
            self.once(Event::Connect, f);
            let inside = self.tells_inside_calls();
            self.step(|machine, cx, fx| machine.connect_again(target, inside, cx, fx));
            return Ok(());
        }
        self.inner.state.borrow().check_connect(self.policy())?;
        self.check_bound(&options)?;
        let core = self.bind_to_loop()?;
        core.check_open()?;
        let is_closing = core.is_closing(self.place());
        let inside = self.tells_inside_calls();
        let request = self.request(&options);
        let connecting = Some(Box::new(Connecting::new(options)));
        let before =
            std::mem::replace(&mut self.inner.state.borrow_mut().rare().connecting, connecting);
        let forgotten = self.take_once(Event::Connect);
        self.once(Event::Connect, f);
        self.step(|machine, cx, fx| machine.connect(request, is_closing, inside, cx, fx));
        drop((before, forgotten));
        Ok(())
    }

    /// What the machine must know of a connect. With the process's defaults as they are now: setting them
    /// affects later connects only (HE-19).
    fn request(&self, options: &ConnectOptions) -> Request {
        let bound = self.bound_address();
        // Not when the family is given, or follows from our own address (HE-07), or when there is only
        // one socket for it (BND-08).
        let unbound = options.local_address.is_none() && bound.is_none();
        let selects = options.family.is_none() && unbound;
        Request {
            target: options.target(),
            selection: if selects { options.selection() } else { FamilySelection::Off },
            attempt_timeout: options.attempt_timeout_or_default(),
            lookup_timeout: options.lookup_timeout,
            connect_timeout: options.connect_timeout,
            has_hook: options.lookup.is_some(),
            local: Local {
                bound: bound.as_ref().and_then(Address::ip),
                address: options.local_address,
                port: options.local_port,
            },
        }
    }

    /// Where a connect goes that finds the socket connecting or connected, if it is tried all the same
    /// (CON-18). Not where Node would first have to look a name up: what follows from that depends on its
    /// thread pool.
    fn target_again(&self, options: &ConnectOptions) -> Option<Address> {
        let tries = self.policy().tries_to_connect_again && self.inner.state.borrow().is_live();
        match &options.endpoint {
            Endpoint::Ip(address) => Some(Address::Ip(*address)),
            endpoint => endpoint.unix_address(),
        }
        .filter(|_| tries)
    }

    /// Whether news of a connect is told inside the call that brings it: not while a listener for such
    /// news runs, which could not hear it then. It hears it on the tick.
    fn tells_inside_calls(&self) -> bool {
        const NEWS: [Event; 4] =
            [Event::Lookup, Event::Attempt, Event::AttemptFailed, Event::AttemptTimeout];
        self.policy().tells_inside_connect
            && !NEWS.iter().any(|event| self.inner.listeners.is_running(Hears::One(*event)))
    }

    /// A socket that was made outside of any loop belongs to the one where it is first used.
    fn bind_to_loop(&self) -> Result<Rc<Core>> {
        if self.inner.core.get().is_none() {
            if let Some(core) = current_or_none() {
                self.join(core);
            }
        }
        self.core().cloned().map_or_else(current, Ok)
    }

    /// Asks the hook, or the system, for the addresses of a host.
    pub(super) fn resolve(&self, host: &str, all: bool) {
        let host = host.to_owned();
        let asked = {
            let state = self.inner.state.borrow();
            let connecting = state.rare_if_any().and_then(|rare| rare.connecting.as_ref());
            connecting.map(|connecting| {
                let hook = connecting.options.lookup.clone();
                let hints = connecting.options.hints_or_default();
                let family = connecting.options.family;
                (hook, LookupRequest { host, family, hints, all }, state.round())
            })
        };
        let (Some((hook, request, round)), Some(core)) = (asked, self.core()) else { return };
        let socket = self.clone();
        match hook {
            Some(hook) => {
                let watches = core.policy.watches_lookup_hooks;
                let host = request.host.clone();
                // Keeps the socket alive: nothing else may, while it waits for this.
                let give = Box::new(move |result| {
                    let inside = socket.tells_inside_calls();
                    socket.lookup_answered(round, result, inside);
                });
                hook.ask(request, LookupReply::new(core, host, watches, give));
            }
            None => {
                let LookupRequest { host, family, hints, .. } = request;
                let then = move |result: &Result<Vec<IpAddr>>| {
                    socket.lookup_answered(round, result.clone(), true);
                };
                let ticket = lookup::resolve(core, Query { host, family, hints }, then);
                self.with_connecting(|connecting| connecting.lookup = Some(ticket));
            }
        }
    }

    fn lookup_answered(&self, round: u32, result: Result<Vec<IpAddr>>, inside: bool) {
        self.guarded(|| {
            self.ask(|machine, cx, fx| machine.lookup_answered(round, result, inside, cx, fx));
        });
        self.sync();
    }

    pub(super) fn with_connecting<T>(&self, f: impl FnOnce(&mut Connecting) -> T) -> Option<T> {
        self.inner.state.borrow_mut().rare_if_any_mut()?.connecting.as_deref_mut().map(f)
    }
}
