//! Connecting: from the call to the addresses. [`attempts`](super::attempts) goes on from there.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use fyke_machine::connection::{Event, Phase};

use super::Socket;
use super::attempts::{Connecting, Targets};
use super::callback::LookupEvent;
use crate::connect::{ConnectOptions, FamilySelection, LookupReply, LookupRequest, Race};
use crate::lookup::{self, Query};
use crate::wiring::{Core, Tick, current, current_or_none};
use crate::{Endpoint, Error, ErrorCode, Result};

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
        let f = match self.connect_again(&options, f) {
            Ok(()) => return Ok(()),
            Err(f) => f,
        };
        self.check_can_connect()?;
        self.check_bound(&options)?;
        let core = self.bind_to_loop()?;
        core.check_open()?;
        let is_closing = core.is_closing(self.place());
        let unix = options.endpoint.is_unix();
        self.step(|machine, cx, fx| machine.begin_connect(unix, is_closing, cx, fx));
        self.forget_once(Event::Connect);
        self.once(Event::Connect, f);
        let options = options.settled();
        let limit = options.connect_timeout;
        let targets = match &options.endpoint {
            endpoint if endpoint.is_unix() => {
                endpoint.unix_address().map_or(Targets::Unresolved, Targets::Unix)
            }
            endpoint => match endpoint.ip_address() {
                Some(address) => Targets::ip([address], FamilySelection::Off, &options),
                None => Targets::Unresolved,
            },
        };
        let next = match targets {
            Targets::Unresolved => Tick::Lookup,
            _ => Tick::Attempt,
        };
        let connecting = Connecting::new(options, targets, self.bound_address());
        let before = self.inner.state.borrow_mut().rare().connecting.replace(connecting.into());
        drop(before);
        self.limit_connect(limit);
        // Node tells inside the call what it knows at once (CON-04, HE-04).
        let at_once = matches!(next, Tick::Lookup) || self.is_unix();
        match at_once && self.tells_inside_calls() {
            true => self.handle_tick(next),
            false => self.tick(next),
        }
        self.sync();
        Ok(())
    }

    fn check_can_connect(&self) -> Result<()> {
        let state = self.inner.state.borrow();
        let (code, message) = match state.phase {
            Phase::Fresh | Phase::Closed => return Ok(()),
            Phase::Connecting | Phase::Reopening => (ErrorCode::EALREADY, "already connecting"),
            Phase::Failing | Phase::Open => (ErrorCode::EISCONN, "already connected"),
            Phase::Destroyed if self.policy().connects_before_close => return Ok(()),
            Phase::Destroyed => {
                (ErrorCode::ERR_SOCKET_CLOSED, "connect again when close was emitted")
            }
        };
        Err(Error::new(code, message))
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

    /// The tick of the lookup: asks the hook, or the system.
    pub(super) fn run_lookup(&self) {
        let asked = self.with_connecting(|connecting| {
            let (host, _) = connecting.host();
            let (family, hints) =
                (connecting.options.family, connecting.options.hints_or_default());
            let all = connecting.selects();
            (connecting.options.lookup.clone(), LookupRequest { host, family, hints, all })
        });
        let (Some((hook, request)), Some(core)) = (asked, self.core()) else { return };
        if core.policy.tells_late_lookup && !request.all {
            self.remember_lookup(&request.host);
        }
        let round = self.inner.state.borrow().round();
        self.limit_lookup(round, &request.host);
        match hook {
            Some(hook) => {
                let watches = core.policy.watches_lookup_hooks;
                self.inner.state.borrow_mut().waits_for_hook = !watches;
                let host = request.host.clone();
                let socket = self.clone();
                // Keeps the socket alive: nothing else may, while it waits for this.
                let give = Box::new(move |result| socket.resolve_later(round, result));
                hook.ask(request, LookupReply::new(core, host, watches, give));
            }
            None => {
                let LookupRequest { host, family, hints, .. } = request;
                let socket = self.clone();
                let then = move |result: &Result<Vec<IpAddr>>| socket.resolved(round, result);
                let ticket = lookup::resolve(core, Query { host, family, hints }, then);
                self.with_connecting(|connecting| connecting.lookup = Some(ticket));
            }
        }
    }

    /// A hook has answered: told on the tick, so that no callback runs inside its call (HE-04).
    fn resolve_later(&self, round: u32, result: Result<Vec<IpAddr>>) {
        if self.tells_inside_calls() {
            self.guarded(|| self.resolved(round, &result));
            self.sync();
        } else {
            self.tick_with(move |socket| socket.resolved(round, &result));
        }
    }

    /// The addresses of the host are here, or the reason why not (HE-02, HE-03).
    pub(super) fn resolved(&self, round: u32, result: &Result<Vec<IpAddr>>) {
        // The answer to an earlier connect of this socket.
        if self.inner.state.borrow().round() != round {
            return;
        }
        // Destroyed meanwhile: nothing more is told (HE-26). Answered twice: once is enough.
        let known = self.with_connecting(|connecting| {
            let waits = matches!(connecting.targets, Targets::Unresolved);
            waits.then(|| (connecting.host(), connecting.selects()))
        });
        let Some(Some(((host, port), all))) = known else { return self.tell_late_lookup(result) };
        self.step(|machine, cx, _| machine.hook_answered(cx));
        let event = |address| LookupEvent { host: host.clone(), address };
        let addresses = match result {
            Ok(addresses) => addresses,
            Err(error) => {
                self.emit_lookup(&event(Err(error.clone())));
                self.destroy_with(error.clone());
                return;
            }
        };
        let addresses =
            if all { addresses.as_slice() } else { &addresses[..addresses.len().min(1)] };
        for address in addresses {
            self.emit_lookup(&event(Ok(*address)));
            if !self.is_connecting() {
                return;
            }
        }
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        let several = self.with_connecting(|connecting| {
            let selection = connecting.options.selection();
            connecting.targets = Targets::ip(addresses, selection, &connecting.options);
            connecting.several()
        });
        if several == Some(true) {
            // A list that may stay empty (HE-14).
            self.inner.state.borrow_mut().rare().attempted = Some(Vec::new());
        }
        self.next_attempt();
    }

    fn is_unix(&self) -> bool {
        self.inner.state.borrow().unix
    }

    pub(super) fn with_connecting<T>(&self, f: impl FnOnce(&mut Connecting) -> T) -> Option<T> {
        self.inner.state.borrow_mut().rare_if_any_mut()?.connecting.as_deref_mut().map(f)
    }
}

impl Targets {
    fn ip(
        addresses: impl IntoIterator<Item = SocketAddr>,
        selection: FamilySelection,
        options: &ConnectOptions,
    ) -> Self {
        Self::Ip(Race::new(addresses, selection, options.attempt_timeout_or_default()))
    }
}
