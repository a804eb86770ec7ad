//! Connecting: from the call to the state machine, and the lookup of a host name.
//! [`attempts`](super::attempts) opens the attempts that the state machine requests.

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
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| _ = socket.pipe(socket));
/// #     server.unref_loop();
///     server.listen_then(("127.0.0.1", 0), |server| {
///         let connected = |client: &fyke::Socket| _ = client.end_with("hello");
///         let client = fyke::connect_then(server.endpoint().unwrap(), connected).unwrap();
///         client.on_text(|_, text| assert!("hello".starts_with(text)));
///     })
/// })
/// # }
/// ```
///
/// # Errors
/// Errors that are known at once: `ERR_SOCKET_BAD_PORT` and `ERR_INVALID_ARG_VALUE` if `endpoint` cannot be
/// parsed, `ERR_NO_EVENT_LOOP` outside of a loop, `ERR_EVENT_LOOP_CLOSED` if the loop was dropped.
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
    /// Makes a socket with these options, connects it, and runs `f` once when the connection is
    /// established. Node: `net.connect(options, callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let options = fyke::ConnectOptions::new(server.endpoint().unwrap()).no_delay(true);
    ///         let connected = |client: &fyke::Socket| {
    ///             assert!(client.no_delay());
    ///             client.end();
    ///         };
    ///         options.connect_then(connected).unwrap().resume();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`connect_then`], and that of the first option whose value is not valid.
    pub fn connect_then(self, f: impl FnOnce(&Socket) + 'static) -> Result<Socket> {
        // Checked before the socket exists, because no listener could get the error.
        self.check()?;
        current()?.check_open()?;
        let socket = Socket::with_options(&self.socket);
        if let Some(timeout) = self.timeout {
            socket.set_idle_timeout(Some(timeout));
        }
        // If its signal was aborted before, the socket is already destroyed.
        if !socket.is_destroyed() {
            socket.connect_with_then(self, f)?;
        }
        socket.drop_listeners_on_close();
        Ok(socket)
    }
}

/// # Connecting
impl Socket {
    /// Connects this socket to `endpoint`, and runs `f` once when the connection is established. If this
    /// connect fails, `f` is dropped, and does not run when a later connect succeeds (in Node, and on a
    /// loop made with [`node_exact`](crate::EventLoopBuilder::node_exact), it does).
    ///
    /// A socket may connect again after `close`, also from its `close` listener. Node:
    /// `socket.connect(…, callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::Socket::new();
    ///     client.on_error(|_, error| println!("{error}"));
    ///     client.connect_then(("127.0.0.1", 1), |_| unreachable!("no server listens there"))?;
    ///     let error = client.connect(("127.0.0.1", 2)).unwrap_err();
    ///     assert_eq!(error.code().as_str(), "EALREADY");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`connect`](Self::connect). The socket is unchanged then, and `f` is dropped.
    #[doc(alias = "connect")]
    pub fn connect_then<E>(&self, endpoint: E, f: impl FnOnce(&Socket) + 'static) -> Result<()>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_with_then(ConnectOptions::new(endpoint), f)
    }

    /// Connects this socket with the given connect options, and runs `f` once when the connection is
    /// established. Options of the socket itself (half-open, high-water mark and others) do not change.
    /// Node: `socket.connect(options, callback)`.
    ///
    /// # Errors
    /// The errors of [`connect_with`](Self::connect_with).
    pub fn connect_with_then(
        &self,
        options: ConnectOptions,
        f: impl FnOnce(&Socket) + 'static,
    ) -> Result<()> {
        options.check()?;
        self.wishes().check()?;
        if let Some(target) = self.target_again(&options) {
            self.once(Event::Connect, f);
            let inside = self.emits_inside_calls();
            self.step(|machine, cx, fx| machine.connect_again(target, inside, cx, fx));
            return Ok(());
        }
        self.inner.state.borrow().check_connect(self.policy())?;
        self.check_bound(&options)?;
        let core = self.bind_to_loop()?;
        core.check_open()?;
        let is_closing = core.is_closing(self.place());
        let inside = self.emits_inside_calls();
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

    /// Returns what the state machine needs to know about a connect. It includes the current defaults of
    /// the process, so changing those affects only later connects.
    // HE-19
    fn request(&self, options: &ConnectOptions) -> Request {
        let bound = self.bound_address();
        // No address selection if the family is given, or follows from the local address (HE-07), or if
        // there is only one socket for the attempt (BND-08).
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

    /// Returns the target of a connect while the socket is connecting or connected, if the policy tries it
    /// anyway. `None` where Node would first look a host name up, because the outcome then depends on its
    /// thread pool.
    // CON-18
    fn target_again(&self, options: &ConnectOptions) -> Option<Address> {
        let tries = self.policy().tries_to_connect_again && self.inner.state.borrow().is_live();
        match &options.endpoint {
            Endpoint::Ip(address) => Some(Address::Ip(*address)),
            endpoint => endpoint.unix_address(),
        }
        .filter(|_| tries)
    }

    /// Returns whether events of a connect are emitted inside the call that causes them. Not while a
    /// listener for such an event runs, because that listener would not be called; the events are emitted
    /// on the next tick then.
    fn emits_inside_calls(&self) -> bool {
        const NEWS: [Event; 4] =
            [Event::Lookup, Event::Attempt, Event::AttemptFailed, Event::AttemptTimeout];
        self.policy().emits_inside_connect
            && !NEWS.iter().any(|event| self.inner.listeners.is_running(Hears::One(*event)))
    }

    /// Returns the socket's loop. A socket that was made outside of a loop joins the loop in which it is
    /// first used.
    fn bind_to_loop(&self) -> Result<Rc<Core>> {
        if self.inner.core.get().is_none() {
            if let Some(core) = current_or_none() {
                self.join(core);
            }
        }
        self.core().cloned().map_or_else(current, Ok)
    }

    /// Asks the lookup hook, or the system, for the addresses of a host.
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
                // Keeps the socket alive, because nothing else may do so while it waits for the lookup.
                let give = Box::new(move |result| {
                    let inside = socket.emits_inside_calls();
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
