//! `fyke relay`: passes connections on to other servers.

mod client_hello;
mod http;
mod limits;
mod link;
mod metrics;
mod proxy;
mod routes;
mod routing;
mod security;
mod session;
mod shaping;
mod statistics;
mod targets;
mod watching;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fyke::{BlockList, EventLoop, Server, Socket, timer};

use crate::arguments::{Balance, Limits, Relay};
use crate::descriptors;
use crate::failure::Failure;
use crate::gate::{self, Gate};
use crate::input::standard_output;
use crate::log;
use crate::memory;
use crate::place::Place;
use crate::recording::Recorder;
use crate::tls;
use limits::Seats;
use routes::Routes;
use security::Security;
use session::Session;
use statistics::Counts;
use targets::Targets;
use watching::Watching;

/// The default of `--backoff-max`.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

pub(crate) fn relay(options: Relay) -> Result<(), Failure> {
    let listen = Place::parse(&options.listen)?;
    let places = options.target.iter().map(|text| Place::parse_target(text));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let (routes, of_routes) = Routes::parse(&options.route, &places)?;
    refuse_ineffective(&options)?;
    let security = Security::parse(&options, places.iter().chain(&of_routes))?;
    let metrics = options.metrics.as_deref().map(Place::parse).transpose()?;
    let relaying = Rc::new(Relaying {
        gate: Gate::new(&options.limits)?,
        seats: Seats::new(&options.limits),
        trusted: gate::addresses(&options.proxy.proxy_in)?,
        recorder: recorder(&options)?,
        targets: RefCell::new(Targets::new(
            places,
            of_routes,
            options.balance.unwrap_or(Balance::RoundRobin),
            options.backoff_max.unwrap_or(BACKOFF_MAX),
        )),
        routes,
        security,
        options,
        counts: RefCell::default(),
        sessions: RefCell::default(),
        server: RefCell::default(),
        failure: RefCell::default(),
        draining: Cell::new(false),
        cut_off: Cell::new(0),
        not_listening: Cell::new(1 + usize::from(metrics.is_some())),
    });
    descriptors::allow_many();
    let event_loop = EventLoop::new()?;
    let output = standard_output(&event_loop, std::slice::from_ref(&listen));
    let watching = event_loop.enter(|| {
        relaying.open(&listen)?;
        relaying.security.clients.iter().for_each(tls::Server::announce);
        if let Some(place) = metrics {
            relaying.serve_metrics(&place)?;
        }
        memory::return_regularly()?;
        let same = Rc::clone(&relaying);
        let clients = relaying.security.clients.as_ref();
        tls::Server::watch_signals(clients, move || same.drain())?;
        Watching::begin(&relaying, &output)
    })?;
    while !relaying.is_over() && event_loop.turn(None)? {}
    watching.end();
    let printed = output.result_of_lines();
    relaying.result().and(printed)
}

/// Refuses options that have no effect with these routes. A route has one target, so there is no
/// choice, and the target is never skipped.
fn refuse_ineffective(options: &Relay) -> Result<(), Failure> {
    if options.route.is_empty() || options.target.len() > 1 {
        return Ok(());
    }
    let given = [
        ("--balance", options.balance.is_some()),
        ("--backoff-max", options.backoff_max.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Failure::Usage(format!(
            "{option} has no effect: with --route, it needs at least two default targets"
        ))),
        None => Ok(()),
    }
}

fn recorder(options: &Relay) -> Result<Option<Recorder>, Failure> {
    let create = |path| Recorder::create(path, options.overwrite);
    options.record.as_deref().map(create).transpose()
}

/// The state that all sessions share.
struct Relaying {
    options: Relay,
    gate: Gate,
    seats: Rc<Seats>,
    /// The addresses that must send a PROXY protocol header.
    trusted: BlockList,
    recorder: Option<Recorder>,
    routes: Routes,
    security: Security,
    targets: RefCell<Targets>,
    /// The counts of finished sessions; see [`Relaying::counts_now`].
    counts: RefCell<Counts>,
    sessions: RefCell<HashMap<u64, Rc<Session>>>,
    server: RefCell<Option<Server>>,
    failure: RefCell<Option<Failure>>,
    /// Whether no more clients are accepted.
    draining: Cell<bool>,
    /// The number of connections that did not end in time.
    cut_off: Cell<usize>,
    /// The number of servers that are not listening yet.
    not_listening: Cell<usize>,
}

impl Relaying {
    fn open(self: &Rc<Self>, listen: &Place) -> Result<(), Failure> {
        // The limit by client address applies only when that address is known; see `Seats`.
        let limits = Limits { max_per_ip: None, ..self.options.limits.clone() };
        let options = gate::server_options(&limits);
        let same = Rc::clone(self);
        let server = options
            .allow_half_open(true)
            .pause_on_connect(true)
            .create_server(move |client| same.arrived(client));
        let same = Rc::clone(self);
        server.on_drop(move |_, info| {
            same.refuse(info.map(|info| info.remote_address), "limit", "too many connections");
        });
        self.fails_with(&server);
        let (same, spelled) = (Rc::clone(self), listen.to_string());
        listen.listen(&server, &self.options.limits, move |server| {
            let address = server.address().map_or(spelled, |address| address.to_string());
            log::info(format_args!("listening on {address}"));
            same.listens();
        })?;
        *self.server.borrow_mut() = Some(server);
        Ok(())
    }

    fn serve_metrics(self: &Rc<Self>, place: &Place) -> Result<(), Failure> {
        let same = Rc::clone(self);
        let server =
            metrics::server(move || metrics::text(&same.counts_now(), &same.targets.borrow()));
        self.fails_with(&server);
        let same = Rc::clone(self);
        place.listen(&server, &self.options.limits, move |server| {
            if let Some(address) = server.address() {
                log::info(format_args!("metrics on {address}"));
            }
            same.listens();
        })
    }

    /// Begins the recording when the last server is listening.
    fn listens(&self) {
        self.not_listening.set(self.not_listening.get() - 1);
        if self.not_listening.get() == 0 {
            self.recorder.iter().for_each(Recorder::begin);
        }
    }

    /// Called when a server cannot listen. It ends the command.
    fn fails_with(self: &Rc<Self>, server: &Server) {
        let same = Rc::clone(self);
        server.on_error(move |_, error| *same.failure.borrow_mut() = Some(error.clone().into()));
    }

    fn refuse(&self, from: Option<SocketAddr>, why: &'static str, text: &str) {
        log::info(format_args!("a client{} was refused: {text}", session::From(from)));
        self.counts.borrow_mut().refuse(why);
    }

    fn arrived(self: &Rc<Self>, client: &Socket) {
        let address = client.remote_address();
        let headers = !self.options.proxy.proxy_in.is_empty();
        let trusted = || match address {
            Some(address) => self.trusted.check(address.ip()),
            None => gate::is_unix(client),
        };
        if if headers { !trusted() } else { !self.gate.admits(client) } {
            self.refuse(address, "address", "its address is not allowed");
            client.destroy();
            return;
        }
        // With PROXY protocol headers, the client's address is not known yet.
        let ip = address.map(|address| address.ip()).filter(|_| !headers);
        let seat = self.seats.take().filter(|seat| seat.belongs_to(ip));
        let Some(seat) = seat else {
            self.refuse(address, "limit", "too many connections");
            client.destroy();
            return;
        };
        let number = {
            let mut counts = self.counts.borrow_mut();
            counts.connections += 1;
            counts.open += 1;
            counts.connections
        };
        log::info(format_args!("client {number} connected{}", session::From(address)));
        let session = Session::begin(self, number, client, seat);
        self.sessions.borrow_mut().insert(number, session);
    }

    /// Called when both connections of a session have closed.
    fn ended(&self, number: u64, client: &Socket) {
        let session = self.sessions.borrow_mut().remove(&number);
        let mut counts = self.counts.borrow_mut();
        counts.open -= 1;
        counts.bytes_up += client.bytes_read();
        counts.bytes_down += session.map_or(0, |session| session.bytes().1);
    }

    /// Returns the counts, including those of running sessions.
    fn counts_now(&self) -> Counts {
        let mut counts = self.counts.borrow().clone();
        for session in self.sessions.borrow().values() {
            let (up, down) = session.bytes();
            counts.bytes_up += up;
            counts.bytes_down += down;
        }
        counts
    }

    /// Returns whether to stop. Only sessions delay the end; other connections, such as those of
    /// `--metrics`, do not.
    fn is_over(&self) -> bool {
        let ended = self.draining.get() && self.sessions.borrow().is_empty();
        ended || self.failure.borrow().is_some()
    }

    /// Accepts no more clients, and gives the running sessions their time to end.
    fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        if let Some(server) = self.server.borrow().as_ref() {
            server.close();
        }
        let left = self.sessions.borrow().len();
        log::info(format_args!("shutting down: {left} connections are open"));
        let same = Rc::clone(self);
        let timer = timer::set_timeout(self.options.drain, move || {
            let sessions: Vec<_> = same.sessions.borrow().values().cloned().collect();
            same.cut_off.set(sessions.len());
            sessions.iter().for_each(|session| session.cut_off());
        });
        if let Ok(timer) = timer {
            timer.unref_loop();
        }
    }

    fn result(&self) -> Result<(), Failure> {
        match (self.failure.take(), self.cut_off.get()) {
            (Some(failure), _) => Err(failure),
            (None, 0) => self.recorder.as_ref().map_or(Ok(()), Recorder::result),
            (None, count) => Err(Failure::Late(format!("{count} connections were cut off"))),
        }
    }
}
