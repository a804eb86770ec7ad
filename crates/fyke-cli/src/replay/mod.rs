//! `fyke replay`: plays a recording to a server or to clients.

mod player;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{EventLoop, Server, Socket, timer};

use crate::arguments::{Limits, Replay, Side};
use crate::descriptors;
use crate::failure::Failure;
use crate::gate;
use crate::log;
use crate::place::Place;
use crate::recording::{self, Entry, Event};
use player::Player;

pub(crate) fn replay(options: &Replay) -> Result<(), Failure> {
    let place = Place::parse(&options.endpoint)?;
    let scripts = connections(recording::read(&options.file)?);
    if scripts.is_empty() {
        return Err(Failure::Usage(String::from("the recording contains no connections")));
    }
    descriptors::allow_many();
    let event_loop = EventLoop::new()?;
    let stage = Rc::new(Stage {
        options: options.clone(),
        left: Cell::new(scripts.len()),
        differences: Cell::new(0),
        failure: RefCell::default(),
        heard_at: Cell::new(Instant::now()),
    });
    event_loop.enter(|| {
        stage.watch_the_time()?;
        match options.side {
            Side::Client => stage.call(&place, scripts),
            Side::Server => stage.serve(&place, scripts),
        }
    })?;
    while stage.left.get() > 0 && stage.failure.borrow().is_none() && event_loop.turn(None)? {}
    stage.result()
}

/// Splits the recording by connection, in the order in which the connections were opened.
fn connections(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut scripts: Vec<Vec<Entry>> = Vec::new();
    for entry in entries {
        let own = scripts.iter_mut().rev().find(|script| script[0].connection == entry.connection);
        match own {
            Some(script) => script.push(entry),
            None if entry.event == Event::Open => scripts.push(vec![entry]),
            // A client that left before it had a target.
            None => {}
        }
    }
    scripts
}

/// The state that all connections share.
struct Stage {
    options: Replay,
    /// The number of connections that are not finished.
    left: Cell<usize>,
    differences: Cell<u64>,
    failure: RefCell<Option<Failure>>,
    /// The time of the last event.
    heard_at: Cell<Instant>,
}

impl Stage {
    /// Plays the clients of the recording.
    fn call(self: &Rc<Self>, place: &Place, scripts: Vec<Vec<Entry>>) -> Result<(), Failure> {
        let first = scripts[0][0].at;
        for script in scripts {
            let pause = self.scaled(script[0].at.saturating_sub(first));
            let (stage, place, script) =
                (Rc::clone(self), place.clone(), RefCell::new(Some(script)));
            timer::set_timeout(pause, move || {
                let script = script.take().unwrap_or_default();
                if let Err(failure) = stage.call_one(&place, script) {
                    stage.fail(failure);
                }
            })?;
        }
        Ok(())
    }

    fn call_one(self: &Rc<Self>, place: &Place, script: Vec<Entry>) -> Result<(), Failure> {
        let timeout = self.options.timeout;
        let stage = Rc::clone(self);
        let socket = place.connect(
            None,
            |options| options.allow_half_open(true).connect_timeout(timeout),
            move |socket| Player::begin(&stage, socket, script),
        )?;
        let stage = Rc::clone(self);
        socket.on_error(move |socket, error| {
            if socket.bytes_read() + socket.bytes_written() == 0 {
                stage.fail(Failure::Unreachable(error.clone()));
            }
        });
        Ok(())
    }

    /// Plays the server: the n-th client gets the answers of the n-th client of the recording.
    fn serve(self: &Rc<Self>, place: &Place, scripts: Vec<Vec<Entry>>) -> Result<(), Failure> {
        let (stage, scripts) = (Rc::clone(self), RefCell::new(VecDeque::from(scripts)));
        let server = gate::server_options(&Limits::default()).allow_half_open(true).create_server(
            move |socket: &Socket| {
                let script = scripts.borrow_mut().pop_front();
                match script {
                    Some(script) => Player::begin(&stage, socket, script),
                    None => _ = socket.destroy(),
                }
            },
        );
        let stage = Rc::clone(self);
        server.on_error(move |_, error| stage.fail(error.clone().into()));
        let stage = Rc::clone(self);
        let spelled = place.to_string();
        place.listen(&server, &Limits::default(), move |server: &Server| {
            stage.heard();
            let address = server.address().map_or(spelled, |address| address.to_string());
            log::info(format_args!("listening on {address}"));
        })
    }

    /// Scales a time of the recording by the speed.
    fn scaled(&self, time: Duration) -> Duration {
        let speed = self.options.speed;
        if speed == 0.0 { Duration::ZERO } else { time.div_f64(speed.max(1e-6)) }
    }

    fn heard(&self) {
        self.heard_at.set(Instant::now());
    }

    fn over(&self) {
        self.left.set(self.left.get() - 1);
    }

    fn differs(&self, what: std::fmt::Arguments<'_>) {
        if !self.options.no_compare {
            self.differences.set(self.differences.get() + 1);
            log::note(what);
        }
    }

    fn fail(&self, failure: Failure) {
        self.failure.borrow_mut().get_or_insert(failure);
    }

    /// A server waits for its clients without a time limit.
    fn watch_the_time(self: &Rc<Self>) -> Result<(), Failure> {
        let stage = Rc::clone(self);
        if self.options.side == Side::Client {
            timer::set_interval(Duration::from_millis(100), move || {
                if stage.heard_at.get().elapsed() > stage.options.timeout {
                    stage.fail(Failure::Late(String::from(
                        "the other side sent nothing within the time of --timeout",
                    )));
                }
            })?;
        }
        Ok(())
    }

    fn result(&self) -> Result<(), Failure> {
        match (self.failure.take(), self.differences.get()) {
            (Some(failure), _) => Err(failure),
            (None, 0) => Ok(()),
            (None, 1) => Err(Failure::Bad(String::from("1 connection differs from the recording"))),
            (None, count) => {
                Err(Failure::Bad(format!("{count} connections differ from the recording")))
            }
        }
    }
}
