//! `fyke load`: requests to an echo server, and how long the answers take.

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
use connection::Connection;
use pattern::Pattern;
use progress::Progress;
use results::{Files, Results};
use schedule::Schedule;

/// So many connections are being made at a time, so that no server's backlog overflows.
const CONNECTING_MAX: usize = 100;
/// How often it is looked for answers that take too long.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

pub(crate) fn load(options: Load) -> Result<(), Failure> {
    let files = Files::create(&options)?;
    let place = match &options.endpoint {
        Some(text) => Place::parse(text)?,
        None => Place::Endpoint(echo::start()?),
    };
    if options.rate.is_some() && options.count.is_none() && options.duration.is_zero() {
        return Err(Failure::Usage(String::from("--rate needs a duration or a count")));
    }
    descriptors::allow_many();
    let event_loop = EventLoop::new()?;
    let run = Rc::new(Run {
        mode: Mode::of(&options),
        place,
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
    let done = run.tell(&Output::open(event_loop.handle()), files);
    ending.die();
    done
}

/// What is done with the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The next request when an answer has come.
    Closed,
    /// Requests at their time.
    Open,
    /// A connection for each request.
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
    /// No more requests; the answers that are still to come.
    Ending,
    Over,
}

struct Run {
    options: Load,
    mode: Mode,
    place: Place,
    pattern: Pattern,
    progress: Progress,
    connections: RefCell<Vec<Rc<Connection>>>,
    connecting: Cell<usize>,
    /// Connections that were begun, also those that failed.
    opened: Cell<u64>,
    /// When measuring began.
    began: Cell<Option<Instant>>,
    phase: Cell<Phase>,
    /// Whose turn it is.
    next: Cell<usize>,
    /// Requests, also those that wait to be sent.
    sent: Cell<u64>,
    results: RefCell<Results>,
    /// When connections were due that wait for others to end.
    queued: RefCell<VecDeque<Instant>>,
    /// The first connection that could not be made.
    unreachable: RefCell<Option<Error>>,
    schedule: RefCell<Option<Schedule>>,
}

impl Run {
    /// Connections until there are as many as asked for, or too many at a time.
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

    /// One connection; with a time, its first request was due then.
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

    /// A connection stands, or could not be made.
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

    /// Regularly looks for answers that take too long, and moves the bar.
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

    fn tell(&self, output: &Output, files: Files) -> Result<(), Failure> {
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
        // First, so that they are written even if printing fails.
        results.write_files(&self.options, files)?;
        output.result()?;
        results.verdict()
    }
}
