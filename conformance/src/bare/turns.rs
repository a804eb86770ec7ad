//! The turns of a loop for all sides, and the server's part in them.

use std::io::ErrorKind::{ConnectionRefused, NotFound};
use std::rc::Rc;
use std::time::Duration;

use super::bench::{End, Side};
use super::sides::Watch;
use super::{Actor, Bare};
use crate::scenario::Occurrence;

/// After this many turns the scenario does not make progress.
const TURNS_MAX: usize = 100_000;

impl Bare {
    pub(super) fn turn_until(self: &Rc<Self>, limit: Duration) {
        for _ in 0..TURNS_MAX {
            let before = self.inputs();
            let ran = self.run_timers();
            self.each(|_, side| side.turn());
            self.accept();
            self.close_server();
            let ran = ran | self.run_immediates();
            self.settle();
            if ran || before != self.inputs() || !self.is_quiet() {
                continue;
            }
            // Nothing happens until time passes.
            let due = self.timers.borrow().keys().next().map(|(at, _)| *at);
            let mut deadline = due;
            let timed = self.timers.borrow().values().any(|(holds, _)| *holds);
            let mut holds = timed || self.listens.get() && self.referred.get();
            self.each(|_, side| {
                deadline = deadline.into_iter().chain(side.deadline()).min();
                holds |= side.machine.holds();
            });
            let Some(deadline) = deadline.filter(|at| holds && *at <= limit) else { return };
            self.now.set(deadline);
            self.each(|_, side| side.now = deadline);
        }
        panic!("{} makes no progress", self.scenario.name);
    }

    fn inputs(&self) -> u64 {
        let mut inputs = 0;
        self.each(|_, side| inputs += side.inputs);
        inputs
    }

    fn is_quiet(&self) -> bool {
        let mut quiet = true;
        self.each(|_, side| quiet &= side.is_quiet() && side.dialled.is_none());
        quiet
    }

    fn settle(&self) {
        self.each(|_, side| side.settle());
    }

    fn run_timers(self: &Rc<Self>) -> bool {
        let mut ran = false;
        loop {
            let due = self.timers.borrow().keys().next().copied();
            let Some(due) = due.filter(|(at, _)| *at <= self.now.get()) else { return ran };
            let job = self.timers.borrow_mut().remove(&due);
            job.into_iter().for_each(|(_, job)| job(self));
            self.settle();
            ran = true;
        }
    }

    fn run_immediates(self: &Rc<Self>) -> bool {
        let jobs = self.immediates.take();
        let ran = !jobs.is_empty();
        for job in jobs {
            job(self);
            self.settle();
        }
        ran
    }

    /// The attempts to connect succeed, in order.
    fn accept(self: &Rc<Self>) {
        let actors = self.actors.borrow().clone();
        for actor in &actors {
            let Some(client) = &actor.side else { continue };
            if client.borrow().dialled.is_none() {
                continue;
            }
            if !self.listens.get() {
                let kind = if self.unix { NotFound } else { ConnectionRefused };
                client.borrow_mut().refuse(kind.into());
                continue;
            }
            let [ours, theirs] = End::pair().map(|mut end| {
                end.unix = self.unix;
                end
            });
            client.borrow_mut().establish(ours);
            let spec = &self.scenario.servers[0];
            let number = self.find("S0").map_or(0, |server| server.count("connection")) as usize;
            let mut side = self.side(&spec.options, format!("S0.{number}"));
            side.accept(theirs);
            let name = format!("S0.{number}");
            let accepted = self.add(Actor::new(name, spec.socket(number), Some(side)));
            let Some(side) = &accepted.side else { continue };
            let mut side = side.borrow_mut();
            let paused = spec.options.flag("pauseOnConnect");
            if paused {
                side.change().read.pause();
            }
            self.attach(&accepted, &mut side);
            self.server_event_with("connection", &mut Some(&mut side));
            self.note_open(&accepted);
            self.begin(&accepted, &mut side);
            if !paused {
                side.step(|machine, _, fx| machine.start_receiving(fx));
            }
            side.settle();
        }
    }

    /// The server closes when its connections have closed.
    fn close_server(self: &Rc<Self>) {
        let mut lives = false;
        self.each(|_, side| lives |= side.machine.accepted && !side.machine.destroyed());
        if self.closes.get() && !lives {
            self.closes.set(false);
            self.server_event("close");
        }
    }

    pub(super) fn server_event(self: &Rc<Self>, name: &str) {
        self.server_event_with(name, &mut None);
    }

    fn server_event_with(self: &Rc<Self>, name: &str, own: &mut Option<&mut Side<Watch>>) {
        let Some(server) = self.find("S0") else { return };
        let count = server.count_one(name);
        let occurrence = Occurrence { count, received_before: 0, received: 0, label: None };
        if let Some(list) = server.spec.script.on.get(name) {
            for operation in list.iter().filter(|operation| operation.applies(occurrence)) {
                self.run(operation, Some(&server), own, None);
            }
        }
        self.look_around();
    }
}
