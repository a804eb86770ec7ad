//! `fyke load`: sends requests to an echo server and measures how long the answers take.

mod connection;
mod echo;
mod measuring;
mod pattern;
mod plot;
mod progress;
mod results;
mod schedule;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{Error, EventLoop, timer};

use crate::arguments::Load;
use crate::descriptors;
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;
use crate::signals::Ending;
use crate::tls;
use connection::Connection;
use pattern::Pattern;
use progress::Progress;
use results::{Files, Results};
use schedule::Schedule;

/// The maximum number of connects at a time, so that no server's backlog overflows.
const CONNECTING_MAX: usize = 100;
/// The period at which to check for answers that take too long.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

pub(crate) fn load(options: Load) -> Result<(), Failure> {
    let (server, tls) = security(&options)?;
    let place = options.endpoint.as_deref().map(Place::parse).transpose()?;
    if let (Some(tls), Some(place)) = (&tls, &place) {
        tls.check(place)?;
    }
    let files = Files::create(&options)?;
    let place = match place {
        Some(place) => place,
        None => Place::Endpoint(echo::start(server)?),
    };
    let tls = tls.map(|tls| {
        let mut tls = tls.with_timeout(options.timeout);
        let connections = match (options.connect_rate, options.connections) {
            (None, count) => format!("{count} connections"),
            (Some(_), _) => String::from("every connection"),
        };
        tls.warn_once(&place, &connections);
        tls
    });
    if options.rate.is_some() && options.count.is_none() && options.duration.is_zero() {
        return Err(Failure::Usage(String::from("--rate requires --duration or --count")));
    }
    descriptors::allow_many();
    let event_loop = EventLoop::new()?;
    let run = Rc::new(Run {
        mode: Mode::of(&options),
        place,
        tls,
        pattern: Pattern::new(options.size),
        progress: Progress::new(&options),
        options,
        connections: RefCell::default(),
        connecting: Cell::new(0),
        opened: Cell::new(0),
        began: Cell::new(None),
        phase: Cell::new(Phase::Connecting),
        next: Cell::new(0),
        sent: Cell::new(0),
        results: RefCell::new(Results::new()),
        queued: RefCell::default(),
        unreachable: RefCell::default(),
        schedule: RefCell::default(),
    });
    let ending = event_loop.enter(|| {
        let same = Rc::clone(&run);
        let ending = Ending::watch(move || same.over())?;
        run.watch_the_time()?;
        run.open_more();
        Ok::<_, Failure>(ending)
    })?;
    while run.phase.get() != Phase::Over && event_loop.turn(None)? {}
    run.progress.end();
    let done = run.report(&Output::open(event_loop.handle()), files);
    ending.die();
    done
}

/// Returns the TLS of the built-in server, and of the connections.
fn security(options: &Load) -> Result<(Option<tls::Server>, Option<tls::Client>), Failure> {
    let (client, alpn) = (&options.tls_client, &options.alpn);
    if options.endpoint.is_some() || !options.tls {
        return Ok((None, tls::Client::parse("--tls", options.tls, client, alpn)?));
    }
    tls::refuse_client_options("an ENDPOINT", client, alpn)?;
    let (server, client) = tls::within_this_process()?;
    Ok((Some(server), Some(client)))
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A connection sends the next request when an answer has arrived.
    Closed,
    /// Requests are sent at fixed times.
    Open,
    /// Each request has its own connection.
    Connects,
    Idle,
}

impl Mode {
    fn of(options: &Load) -> Self {
        match (options.rate, options.connect_rate, options.idle) {
            (Some(_), ..) => Self::Open,
            (_, Some(_), _) => Self::Connects,
            (_, _, true) => Self::Idle,
            _ => Self::Closed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Measuring,
    /// No more requests are sent, but answers are outstanding.
    Ending,
    Over,
}

struct Run {
    options: Load,
    mode: Mode,
    place: Place,
    tls: Option<tls::Client>,
    pattern: Pattern,
    progress: Progress,
    connections: RefCell<Vec<Rc<Connection>>>,
    connecting: Cell<usize>,
    /// The number of connections that were begun, including failed ones.
    opened: Cell<u64>,
    /// The time when measuring began.
    began: Cell<Option<Instant>>,
    phase: Cell<Phase>,
    /// The index of the connection that sends the next request.
    next: Cell<usize>,
    /// The number of requests, including those that wait to be sent.
    sent: Cell<u64>,
    results: RefCell<Results>,
    /// The due times of connections that wait until others have ended.
    queued: RefCell<VecDeque<Instant>>,
    /// The error of the first connection that could not be established.
    unreachable: RefCell<Option<Error>>,
    schedule: RefCell<Option<Schedule>>,
}

impl Run {
    /// Opens connections, up to the requested number and the limit on connects at a time.
    fn open_more(self: &Rc<Self>) {
        if self.mode == Mode::Connects {
            return self.begin();
        }
        while self.phase.get() == Phase::Connecting
            && self.connecting.get() < CONNECTING_MAX
            && self.opened.get() < self.options.connections
        {
            self.open(None);
        }
        if self.connecting.get() == 0 && self.phase.get() == Phase::Connecting {
            self.begin();
        }
    }

    /// Opens one connection. `due` is the due time of its first request.
    fn open(self: &Rc<Self>, due: Option<Instant>) {
        self.connecting.set(self.connecting.get() + 1);
        self.opened.set(self.opened.get() + 1);
        let opened = Connection::open(self, self.opened.get(), due);
        match opened {
            Ok(connection) => self.connections.borrow_mut().push(connection),
            Err(failure) => {
                self.connecting.set(self.connecting.get() - 1);
                self.results.borrow_mut().fail(&failure.to_string());
            }
        }
    }

    /// Called when a connection is established or has failed to connect.
    fn connected(self: &Rc<Self>, error: Option<&Error>) {
        self.connecting.set(self.connecting.get() - 1);
        match error {
            None => self.results.borrow_mut().connections += 1,
            Some(error) => {
                self.results.borrow_mut().fail(error.code().as_str());
                self.unreachable.borrow_mut().get_or_insert_with(|| error.clone());
            }
        }
        if self.mode != Mode::Connects {
            self.open_more();
        }
    }

    fn over(&self) {
        if self.phase.get() == Phase::Measuring {
            self.results.borrow_mut().took(self.elapsed());
        }
        self.phase.set(Phase::Over);
    }

    fn elapsed(&self) -> Duration {
        self.began.get().map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Starts a timer that checks for answers that take too long and updates the progress bar.
    fn watch_the_time(self: &Rc<Self>) -> Result<(), Failure> {
        let same = Rc::clone(self);
        let look = move || {
            same.progress.tick(same.elapsed());
            let now = Instant::now();
            let late = |connection: &&Rc<Connection>| {
                connection.waits_since().is_some_and(|due| now > due + same.options.timeout)
            };
            let connections = same.connections.borrow();
            let late: Vec<_> = connections.iter().filter(late).cloned().collect();
            drop(connections);
            late.iter().for_each(|connection| connection.give_up("timeout"));
        };
        timer::set_interval(LOOK_PERIOD, look)?.unref_loop();
        Ok(())
    }

    fn report(&self, output: &Output, files: Files) -> Result<(), Failure> {
        let mut results = self.results.borrow_mut();
        let open = self.connections.borrow();
        results.unanswered += open.iter().map(|connection| connection.waiting()).sum::<u64>();
        results.unanswered += u64::try_from(self.queued.borrow().len()).unwrap_or(u64::MAX);
        let none = results.connections == 0;
        if let Some(error) = self.unreachable.borrow().as_ref().filter(|_| none) {
            return Err(Failure::Unreachable(error.clone()));
        }
        let kept = if self.mode == Mode::Idle { Some(open.len()) } else { None };
        output.write(results.print(&self.options, &self.place, kept).as_bytes());
        // The files come first, so that they are written even if printing fails.
        results.write_files(&self.options, files)?;
        output.result()?;
        results.verdict()
    }
}
