//! When events happen (FORMAT.md 5).

use std::rc::Rc;

use super::bench::Side;
use super::sides::Watch;
use super::{Actor, Bare, Job, Ticked, time};
use crate::scenario::{Condition, Delayed, Operations};

impl Bare {
    pub(super) fn look_around(self: &Rc<Self>) {
        for (index, gate) in self.scenario.gates.iter().enumerate() {
            if self.gates_open.borrow()[index] || !self.all_hold(&gate.when) {
                continue;
            }
            self.gates_open.borrow_mut()[index] = true;
            let body = Rc::clone(&gate.body);
            self.later(gate.delay_ms, Box::new(move |bare| bare.run_all(&body, None, &mut None)));
        }
        let is_set = self.find("S0").is_some_and(|server| server.count("listening") > 0);
        for (index, client) in self.scenario.clients.iter().enumerate() {
            let Some(when) = &client.when else { continue };
            if self.clients_called.borrow()[index] || !is_set || !self.all_hold(when) {
                continue;
            }
            self.clients_called.borrow_mut()[index] = true;
            self.later(client.delay_ms, Box::new(move |bare| bare.start_client(index)));
        }
    }

    fn all_hold(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| match condition {
            Condition::Mark(name) => self.marks.borrow().contains(name),
            Condition::Received { actor, bytes } => {
                self.find(actor).is_some_and(|actor| actor.received.get() >= *bytes)
            }
            Condition::Event { actor, event, times } => {
                self.find(actor).is_some_and(|actor| actor.count(event) >= *times)
            }
        })
    }

    /// In a later turn, or after a time if there is one.
    pub(super) fn later(&self, delay_ms: f64, job: Job) {
        match delay_ms > 0.0 {
            true => self.after(delay_ms, true, job),
            false => self.immediates.borrow_mut().push_back(job),
        }
    }

    pub(super) fn after(&self, delay_ms: f64, holds: bool, job: Job) {
        let number = self.timers_set.get();
        self.timers_set.set(number + 1);
        self.timers.borrow_mut().insert((self.now.get() + time(delay_ms), number), (holds, job));
    }

    /// Stores an action for a tick. Returns its number.
    pub(super) fn on_tick(&self, job: Ticked) -> usize {
        let mut ticks = self.ticks.borrow_mut();
        ticks.push(Some(job));
        ticks.len() - 1
    }

    pub(super) fn run_tick(self: &Rc<Self>, number: usize, side: Option<&mut Side<Watch>>) {
        let job = self.ticks.borrow_mut()[number].take();
        let mut own = side;
        job.into_iter().for_each(|job| job(self, &mut own));
    }

    /// The timers of an `after` list form a chain.
    pub(super) fn start_timer(self: &Rc<Self>, actor: &Rc<Actor>, index: usize, before_ms: f64) {
        let Some(Delayed { ms, body, unref }) = actor.spec.script.after.get(index).cloned() else {
            return;
        };
        let owner = Rc::clone(actor);
        let job = move |bare: &Rc<Self>| {
            bare.run_all(&body, Some(&owner), &mut None);
            bare.start_timer(&owner, index + 1, ms);
        };
        self.after(ms - before_ms, !unref, Box::new(job));
    }

    pub(super) fn run_all(
        self: &Rc<Self>,
        list: &Operations,
        actor: Option<&Rc<Actor>>,
        own: &mut Option<&mut Side<Watch>>,
    ) {
        for operation in list.iter() {
            self.run(operation, actor, own, None);
        }
    }
}
