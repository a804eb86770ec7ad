//! Listening and closing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use fyke_driver::{Address, Open, OpenError, SocketId, Transport};

use super::{Event, ListenOptions, Server, StaleFile};
use crate::lookup::{self, LookupHints, Query};
use crate::wiring::{Core, current, current_or_none};
use crate::{AbortSignal, Endpoint, Error, ErrorCode, Result};
use fyke_machine::error::MakeError;
use fyke_machine::policy;

/// How `listen` reaches an endpoint.
enum Plan {
    /// Bind inside the call.
    // SRV-03, IPC-01
    Now(Address),
    /// Bind on the next tick, because a host was given, even if only as an IP address.
    // SRV-04
    OnTick(Address),
    /// No host was given: bind to every address of the machine.
    // SRV-06
    Everywhere(u16),
    /// Look up the addresses of the host first.
    // SRV-16
    Resolve(String, u16),
}

fn plan(endpoint: &Endpoint) -> Plan {
    match endpoint {
        Endpoint::Port(port) => Plan::Everywhere(*port),
        Endpoint::Ip(address) => Plan::OnTick(Address::Ip(*address)),
        Endpoint::Host(host, port) => match endpoint.ip_address() {
            Some(address) => Plan::OnTick(Address::Ip(address)),
            None => Plan::Resolve(host.clone(), *port),
        },
        Endpoint::Path(path) => Plan::Now(Address::Path(path.clone())),
        Endpoint::Abstract(name) => Plan::Now(Address::Abstract(name.clone())),
    }
}

/// # Listening
impl ListenOptions {
    /// Makes `server` listen with these options, see [`Server::listen`]. Node: `server.listen(options)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.on_listening(|server| _ = server.close());
    ///     fyke::ListenOptions::new(("127.0.0.1", 0)).backlog(64).listen(&server)?;
    ///     // The server listens on the next tick, but the options were checked inside the call.
    ///     let result = fyke::ListenOptions::new("no endpoint").listen(&server);
    ///     assert_eq!(result.unwrap_err().code(), fyke::ErrorCode::ERR_INVALID_ARG_VALUE);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`Server::listen`], and that of the first option whose value is not valid.
    pub fn listen(self, server: &Server) -> Result<()> {
        server.listen_with(self, None)
    }

    /// Makes `server` listen with these options, and runs `f` once when it starts to listen, see
    /// [`Server::listen_then`]. Node: `server.listen(options, callback)`.
    ///
    /// # Errors
    /// The errors of [`listen`](Self::listen).
    pub fn listen_then(self, server: &Server, f: impl FnOnce(&Server) + 'static) -> Result<()> {
        server.listen_with(self, Some(Box::new(f)))
    }
}

/// # Listening
impl Server {
    /// Listens on `endpoint`.
    ///
    /// A port without a host listens on all addresses, IPv6 and IPv4. With port 0 the system chooses a
    /// port, see [`address`](Self::address). A port without a host and a Unix socket are bound inside the
    /// call; an IP address is bound on the next tick, and a host name when its lookup is done. The event
    /// `listening` or `error` follows, on the next tick at the earliest. The server may listen again after
    /// an error or after `close`. Node: `server.listen()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| { socket.end_with("hello"); });
    ///     server.on_listening(|server| {
    ///         println!("listening on {}", server.address().unwrap());
    ///         server.close();
    ///     });
    ///     server.listen(("127.0.0.1", 0))
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Errors that are known at once:
    /// - `ERR_SERVER_ALREADY_LISTEN` if the server is listening.
    /// - `ERR_SOCKET_BAD_PORT` and `ERR_INVALID_ARG_VALUE` if `endpoint` cannot be parsed.
    /// - `ERR_OUT_OF_RANGE` if the server was made with a
    ///   [`keep_alive`](crate::ServerOptions::keep_alive) delay that is not valid.
    /// - `ERR_NO_EVENT_LOOP` outside of a loop, `ERR_EVENT_LOOP_CLOSED` if the loop was dropped.
    /// - The system's error, with the syscall `chmod`, if the mode of a Unix socket's file cannot be set.
    pub fn listen<E>(&self, endpoint: E) -> Result<()>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        ListenOptions::new(endpoint).listen(self)
    }

    /// Listens on `endpoint` as [`listen`](Self::listen) does, and runs `f` once when the server starts to
    /// listen. If listening fails, `f` stays registered, and runs when the server listens later. Node:
    /// `server.listen(…, callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let error = server.listen(8888).unwrap_err();
    ///         assert_eq!(error.code(), fyke::ErrorCode::ERR_SERVER_ALREADY_LISTEN);
    ///         server.close();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`listen`](Self::listen); `f` is dropped then.
    #[doc(alias = "listen")]
    pub fn listen_then<E>(&self, endpoint: E, f: impl FnOnce(&Server) + 'static) -> Result<()>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        ListenOptions::new(endpoint).listen_then(self, f)
    }

    pub(super) fn listen_with(
        &self,
        options: ListenOptions,
        f: Option<Box<dyn FnOnce(&Server)>>,
    ) -> Result<()> {
        options.check()?;
        let core = self.bind_to_loop()?;
        core.check_open()?;
        self.check_ready()?;
        if options.file_mode().is_some() && matches!(options.endpoint, Endpoint::Abstract(_)) {
            let message = "an abstract name has no file, so `mode` is not valid";
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        }
        if let Some(f) = f {
            self.once(Event::Listening, f);
        }
        let round = self.next_round();
        if let Some(signal) = &options.signal {
            self.watch_signal(signal, round);
        }
        match plan(&options.endpoint) {
            Plan::Now(address) => {
                let opened = self.open(&options, &address);
                match opened {
                    // If the mode cannot be set, the call fails at once, as in Node (IPC-08).
                    Err(error) if error.syscall() == Some("chmod") => return Err(error),
                    opened => self.opened(round, &options, opened),
                }
            }
            Plan::OnTick(address) => {
                self.tick(move |server| server.run_bind(round, &options, &address));
            }
            Plan::Everywhere(port) => self.bind_everywhere(round, &options, port),
            Plan::Resolve(host, port) => {
                let server = self.clone();
                let hints = LookupHints::default_for(None);
                let query = Query { host, family: None, hints };
                let ticket = lookup::resolve(&core, query, move |result| {
                    server.resolved(round, &options, port, result);
                });
                self.inner.state.borrow_mut().lookup = Some(ticket);
            }
        }
        Ok(())
    }

    /// Returns an error if the server is listening, or if an option of the server is not valid.
    pub(super) fn check_ready(&self) -> Result<()> {
        if !self.is_listening() {
            return self.inner.state.borrow().options.socket.wishes.check();
        }
        let message = "the server is already listening; close it first";
        Err(Error::new(ErrorCode::ERR_SERVER_ALREADY_LISTEN, message))
    }

    /// Closes the server when the signal is aborted, unless another round of listening has begun.
    // PROC-09
    pub(super) fn watch_signal(&self, signal: &AbortSignal, round: u64) {
        match signal.is_aborted() {
            true => self.tick(move |server| server.abort(round)),
            false => signal.watch(self.downgrade(), round),
        }
        self.inner.state.borrow_mut().signal = Some(signal.clone());
    }

    pub(super) fn bind_to_loop(&self) -> Result<Rc<Core>> {
        if self.inner.core.get().is_none() {
            if let Some(core) = current_or_none() {
                self.join(core);
            }
        }
        self.core().cloned().map_or_else(current, Ok)
    }

    /// Begins a new round of listening.
    pub(super) fn next_round(&self) -> u64 {
        self.give_up_lookup();
        self.inner.state.borrow_mut().acceptor.begin_round()
    }

    /// Cancels the lookup of the current round, if one is in progress.
    pub(super) fn give_up_lookup(&self) {
        let lookup = self.inner.state.borrow_mut().lookup.take();
        if let Some(ticket) = lookup {
            ticket.cancel();
        }
    }

    /// Emits `error` on the next tick.
    pub(super) fn fail_later(&self, error: Error) {
        let round = self.inner.state.borrow().acceptor.round();
        self.tick(move |server| {
            server.inner.state.borrow_mut().acceptor.fails(round);
            server.emit_error(&error);
        });
    }

    fn is_round(&self, round: u64) -> bool {
        self.inner.state.borrow().acceptor.is_round(round)
    }

    fn run_bind(&self, round: u64, options: &ListenOptions, address: &Address) {
        if self.is_round(round) {
            self.bind_and_listen(round, options, address);
        }
    }

    /// Binds to the first address that is not link-local, because link-local addresses need a zone.
    // SRV-16
    fn resolved(
        &self,
        round: u64,
        options: &ListenOptions,
        port: u16,
        result: &Result<Vec<IpAddr>>,
    ) {
        if !self.is_round(round) {
            return;
        }
        let addresses = match result {
            Ok(addresses) => addresses,
            Err(error) => return self.fail_later(error.clone()),
        };
        let usable = addresses.iter().find(|ip| !is_link_local(ip)).or(addresses.first());
        if let Some(ip) = usable {
            self.bind_and_listen(round, options, &Address::Ip((*ip, port).into()));
        }
    }

    /// Binds one socket to IPv6 and IPv4. If the system has no IPv6, binds to IPv4 alone. Does not fall
    /// back if the port is in use.
    // SRV-06
    fn bind_everywhere(&self, round: u64, options: &ListenOptions, port: u16) {
        let dual: SocketAddr = (Ipv6Addr::UNSPECIFIED, port).into();
        let opened = self.open(options, &Address::Ip(dual));
        if matches!(&opened, Err(error) if error.code() != ErrorCode::EADDRINUSE) {
            let plain: SocketAddr = (Ipv4Addr::UNSPECIFIED, port).into();
            return self.bind_and_listen(round, options, &Address::Ip(plain));
        }
        self.opened(round, options, opened);
    }

    fn bind_and_listen(&self, round: u64, options: &ListenOptions, address: &Address) {
        let opened = self.open(options, address);
        self.opened(round, options, opened);
    }

    /// Makes, binds and starts the listener. The syscall of every error is `listen`, except that of a
    /// failed `chmod`.
    // SRV-10
    fn open(&self, options: &ListenOptions, address: &Address) -> Result<SocketId> {
        let core = self.core().cloned().map_or_else(current, Ok)?;
        let mut request = Open::new(Transport::of(address));
        request.bind = Some(address.clone());
        request.closed_to_all = options.file_mode().is_some();
        request.reuse_address = !address.is_unix();
        request.reuse_port = options.reuse_port && !address.is_unix();
        request.ipv6_only = Some(options.ipv6_only);
        let wishes = self.inner.state.borrow().options.socket.wishes;
        request.send_buffer_bytes = options.send_buffer_bytes.or(wishes.send_buffer_bytes);
        request.receive_buffer_bytes = options.receive_buffer_bytes.or(wishes.receive_buffer_bytes);
        let failed = |source: std::io::Error| {
            let missing = address.is_unix() && source.kind() == std::io::ErrorKind::NotFound;
            let error =
                Error::system("listen", source).at(address.clone(), core.policy.words_as_node);
            // libuv reports `EACCES` here, and programs check for it (IPC-06).
            if missing { error.with_code(ErrorCode::EACCES) } else { error }
        };
        let in_use = |error: &OpenError| error.source.kind() == std::io::ErrorKind::AddrInUse;
        let mut opened = core.driver.open(&request);
        let removes = options.stale_file == StaleFile::IfStale;
        if removes && opened.as_ref().is_err_and(in_use) && core.driver.remove_stale(address) {
            opened = core.driver.open(&request);
        }
        let id = opened.map_err(|error| failed(error.source))?;
        // Set before a client can connect.
        if let Some(mode) = options.file_mode() {
            if let Err(source) = core.driver.set_mode(id, mode) {
                core.close(id);
                let error = Error::system("chmod", source);
                return Err(error.at(address.clone(), core.policy.words_as_node));
            }
        }
        self.share_options(&core, id);
        let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
        let listening = core.driver.listen(id, backlog).and_then(|()| core.driver.accept_start(id));
        if let Err(source) = listening {
            core.close(id);
            return Err(failed(source));
        }
        Ok(id)
    }

    /// Sets the options on the listener, before a client can connect, so that accepted sockets inherit
    /// them. Not for an adopted descriptor, because other processes may accept from it too.
    pub(super) fn share_options(&self, core: &Core, listener: SocketId) {
        let (wishes, no_delay) = {
            let state = self.inner.state.borrow();
            (state.options.socket.wishes, state.options.socket.no_delay)
        };
        let inherits = wishes.set_on_listener(no_delay, &core.driver, listener);
        self.inner.state.borrow_mut().inherits = inherits;
    }

    fn opened(&self, round: u64, options: &ListenOptions, opened: Result<SocketId>) {
        let Some(core) = self.core() else { return };
        let id = match opened {
            Ok(id) => id,
            Err(error) => return self.fail_later(error),
        };
        let address = match &options.endpoint {
            // The path exactly as the caller passed it (IPC-02).
            Endpoint::Path(path) => Some(Address::Path(path.clone())),
            _ => core.driver.local_address(id).ok(),
        };
        self.listens(round, id, address);
    }

    pub(super) fn listens(&self, round: u64, id: SocketId, address: Option<Address>) {
        let Some(core) = self.core() else { return };
        if !self.inner.state.borrow_mut().acceptor.listens(round) {
            // A listener for log messages closed the server during this call.
            return core.close(id);
        }
        core.own(id, self.actor());
        {
            let mut state = self.inner.state.borrow_mut();
            state.listener = Some(id);
            state.last_path = address.clone().filter(Address::is_unix);
            state.address = address;
        }
        self.sync_hold();
        self.tick(move |server| server.run_listening(round));
    }

    /// The signal of that round of `listen` was aborted.
    // PROC-09
    pub(super) fn abort(&self, round: u64) {
        if self.is_round(round) {
            self.close();
        }
    }

    /// Emits `listening`, unless the server was closed meanwhile. Emitted once per successful `listen`.
    // CLS-06, SRV-15
    pub(super) fn run_listening(&self, round: u64) {
        if self.is_round(round) && self.is_listening() {
            self.emit(Event::Listening);
        }
    }

    /// Stops listening. The port is free when this returns, and the file of a Unix socket is removed.
    /// Connections stay open; `close` is emitted when the last of them is gone. Node: `server.close()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         let server = socket.server().unwrap();
    ///         assert!(!server.close().is_listening());
    ///         assert_eq!(server.connections(), 1, "the connection stays open");
    ///         socket.end_with("hello");
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|_, text| assert_eq!(text, "hello"));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn close(&self) -> &Self {
        self.close_inner(None);
        self
    }

    /// Stops listening as [`close`](Self::close) does, and runs `f` once with the `close` event. `f` gets
    /// `ERR_SERVER_NOT_RUNNING` if the server was not listening. Node: `server.close(callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         server.close_then(|server, result| {
    ///             assert!(result.is_ok() && server.connections() == 0);
    ///         });
    ///         server.close_then(|_, result| assert!(result.is_err(), "it was closed before"));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "close")]
    pub fn close_then(&self, f: impl FnOnce(&Server, Result<()>) + 'static) -> &Self {
        self.close_inner(Some(Box::new(f)));
        self
    }

    fn close_inner(&self, f: Option<Box<dyn FnOnce(&Server, Result<()>)>>) {
        let listened = self.is_listening();
        if let Some(f) = f {
            let result = if listened { Ok(()) } else { Err(Self::not_running()) };
            self.once(Event::Close, move |server| f(server, result));
        }
        self.give_up_lookup();
        // Declared first, so that it is dropped last, while nothing is borrowed.
        let _origin;
        let (listener, signal) = {
            let mut state = self.inner.state.borrow_mut();
            state.acceptor.close();
            state.address = None;
            // From now on only the connections keep the server alive; it no longer keeps itself alive.
            _origin = state.origin.take();
            (state.listener.take(), state.signal.take())
        };
        if let Some(signal) = signal {
            signal.forget(self.place());
        }
        if let (Some(core), Some(listener)) = (self.core(), listener) {
            core.close(listener);
        }
        self.close_waiting();
        self.sync_hold();
        self.close_if_drained();
    }

    /// Schedules `close` if the server is closed and has no connections left.
    // CLS-02
    pub(super) fn close_if_drained(&self) {
        let policy = self.inner.core.get().map_or(&policy::DEFAULT, |core| &core.policy);
        if self.inner.state.borrow_mut().acceptor.take_close(policy) {
            self.tick(Self::run_close);
        }
    }

    pub(super) fn run_close(&self) {
        self.inner.state.borrow_mut().acceptor.close_is_emitted();
        self.emit(Event::Close);
    }
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
