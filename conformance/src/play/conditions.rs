//! Gates, and clients that wait for something (FORMAT.md 5).

use std::rc::Rc;

use fyke::timer;

use super::Play;
use crate::ports::Blackhole;
use crate::scenario::{Condition, Fields};

impl Play {
    /// Opens the gates and starts the clients whose conditions are met. Called after every event that a
    /// condition may refer to.
    pub(crate) fn look_around(self: &Rc<Self>) {
        for (index, gate) in self.scenario.gates.iter().enumerate() {
            if self.gates_open.borrow()[index] || !self.all_hold(&gate.when) {
                continue;
            }
            self.gates_open.borrow_mut()[index] = true;
            let (play, body) = (Rc::clone(self), Rc::clone(&gate.body));
            self.later(gate.delay_ms, move || play.run_all(&body, None));
        }
        for (index, client) in self.scenario.clients.iter().enumerate() {
            let Some(when) = &client.when else { continue };
            let waits = !self.clients_called.borrow()[index];
            if !waits || !self.stage_is_set() || !self.all_hold(when) {
                continue;
            }
            self.clients_called.borrow_mut()[index] = true;
            let play = Rc::clone(self);
            self.later(client.delay_ms, move || play.start_client(index));
        }
    }

    /// In a later turn, or after a time if there is one.
    pub(crate) fn later(&self, delay_ms: f64, f: impl FnOnce() + 'static) {
        let set = match delay_ms > 0.0 {
            true => timer::set_timeout(self.time(delay_ms), f).map(drop),
            false => timer::set_immediate(f),
        };
        set.expect("a scenario is played inside a loop");
    }

    fn all_hold(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| self.holds(condition))
    }

    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Mark(name) => self.marks.borrow().contains(name),
            Condition::Received { actor, bytes } => {
                self.find(actor).is_some_and(|actor| actor.received.get() >= *bytes)
            }
            Condition::Event { actor, event, times } => {
                self.find(actor).is_some_and(|actor| actor.count(event) >= *times)
            }
        }
    }

    /// Whether the servers are listening, or never will, and the black holes exist.
    fn stage_is_set(&self) -> bool {
        let is_settled = |(index, server): (usize, &crate::scenario::ServerSpec)| {
            server.listen.is_none()
                || self.find(&format!("S{index}")).is_some_and(|actor| {
                    let answered = actor.count("listening") > 0 || actor.count("error") > 0;
                    answered || actor.log.borrow().has_thrown()
                })
        };
        if !self.scenario.servers.iter().enumerate().all(is_settled) {
            return false;
        }
        if !self.blackholes_made.replace(true) {
            self.scenario.blackholes.iter().for_each(|spec| self.make_blackhole(spec));
        }
        true
    }

    fn make_blackhole(&self, spec: &Fields) {
        let host = spec.text("host").and_then(|host| host.parse::<std::net::IpAddr>().ok());
        let (Some(host), Some(port)) = (host, self.port(spec, "port")) else {
            return self.problem("a black hole needs an address and a port");
        };
        match Blackhole::open((host, port).into()) {
            Ok(hole) => self.blackholes.borrow_mut().push(hole),
            Err(error) => self.problem(format!("blackhole: {error}")),
        }
    }
}
