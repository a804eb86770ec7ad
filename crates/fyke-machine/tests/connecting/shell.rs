//! The work of a loop and a driver, in memory: a shell in which descriptors are only names.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fyke_driver::Address;
use fyke_machine::connection::{
    Attempt, AttemptEvent, Connection, Context, Effect, Effects, Heard, Local, Refusal, Request,
    Settings, Target, Tick, When,
};
use fyke_machine::planner::FamilySelection;
use fyke_machine::transitions::Flushed;
use fyke_machine::{Error, Policy, policy};

pub(crate) type Machine = Connection<u32>;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A machine and its environment.
pub(crate) struct Shell {
    pub(crate) machine: Machine,
    pub(crate) policy: Policy,
    pub(crate) now: Duration,
    pub(crate) log: Vec<String>,
    pub(crate) ticks: VecDeque<Tick>,
    pub(crate) next_turn: VecDeque<Tick>,
    pub(crate) closing: Option<Option<Error>>,
    /// The descriptors that are open.
    pub(crate) open: Vec<Attempt>,
    /// The target of each attempt that was started.
    pub(crate) dialled: Vec<(Attempt, Address)>,
    /// The errors of the next descriptors.
    pub(crate) refusals: VecDeque<Refusal>,
    /// The attempts that the system would report as connected.
    pub(crate) is_connected: bool,
    /// A listener destroys the socket at the first log entry that starts with this text.
    pub(crate) destroys_at: Option<&'static str>,
}

impl Shell {
    pub(crate) fn new(policy: Policy) -> Self {
        let machine = Machine::new(&Settings {
            half_open: false,
            high_water_mark_bytes: 16,
            write_queue_bytes_max: u32::MAX,
            readable: true,
            writable: true,
        });
        Self {
            machine,
            policy,
            now: Duration::ZERO,
            log: Vec::new(),
            ticks: VecDeque::new(),
            next_turn: VecDeque::new(),
            closing: None,
            open: Vec::new(),
            dialled: Vec::new(),
            refusals: VecDeque::new(),
            is_connected: false,
            destroys_at: None,
        }
    }

    pub(crate) fn step<R>(
        &mut self,
        transition: impl FnOnce(&mut Machine, &Context<'_>, &mut Effects<u32>) -> R,
    ) -> R {
        let mut effects = Effects::default();
        let cx =
            Context { now: self.now.into(), turn: 1, policy: &self.policy, heard: Heard(u32::MAX) };
        let result = transition(&mut self.machine, &cx, &mut effects);
        while let Some(effect) = effects.take_next() {
            self.execute(effect);
        }
        self.machine.tidy();
        result
    }

    pub(crate) fn execute(&mut self, effect: Effect<u32>) {
        match effect {
            Effect::Then(then) => self.step(|machine, cx, fx| machine.then(then, cx, fx)),
            Effect::Emit(event) => self.notify(format!("{event:?}").to_lowercase()),
            Effect::Lookup(lookup) => match lookup.address {
                Ok(ip) => self.notify(format!("lookup {ip}")),
                Err(error) => self.notify(format!("lookup {}", error.code())),
            },
            Effect::Attempt(event) => self.emit_attempt_event(&event),
            Effect::Error(error) => self.notify(format!("error {}", error.code())),
            Effect::Close { had_error } => self.notify(format!("close {had_error}")),
            Effect::CloseBefore { had_error } => self.notify(format!("close before {had_error}")),
            Effect::Call(call) => self.notify(format!("callback {}", call.result.is_ok())),
            Effect::Resolve { host, all } => self.log.push(format!("resolve {host} {all}")),
            Effect::HasSeveralAddresses => self.log.push("several".into()),
            Effect::Open(attempt) => {
                let opened = self.refusals.pop_front().map_or(Ok(()), Err);
                if opened.is_ok() {
                    self.open.push(attempt);
                }
                self.step(|machine, cx, fx| machine.opened(attempt, opened, cx, fx));
            }
            Effect::Dial(attempt) => {
                let (target, _) = self.machine.attempt_target(attempt).unwrap();
                assert!(self.open.contains(&attempt), "{attempt:?} has no descriptor");
                self.log.push(format!("dial {}", name(&target)));
                self.dialled.push((attempt, target));
            }
            Effect::HangUp(attempt) => self.open.retain(|open| *open != attempt),
            Effect::Probe(attempt) if self.is_connected => {
                self.step(|machine, _, fx| machine.probed(attempt, fx));
            }
            Effect::Take(attempt) => assert!(self.open.contains(&attempt), "it is closed"),
            Effect::Release { .. } => self.open.clear(),
            Effect::Defer(When::NextTurn, tick) => self.next_turn.push_back(tick),
            Effect::Defer(_, tick) => self.ticks.push_back(tick),
            Effect::CloseLater { cancelled } => self.closing = Some(cancelled),
            Effect::FlushFirst => {
                let batch = self.machine.write.submit().unwrap();
                self.log.push(format!("sent {}", batch.to_vec().len()));
                self.machine.write.sent(batch.to_vec().len());
                let reported = Flushed::Written(self.machine.write.in_flight_number());
                self.step(|machine, _, fx| machine.flushed_first(reported, fx));
            }
            _ => {}
        }
    }

    pub(crate) fn emit_attempt_event(&mut self, event: &AttemptEvent) {
        let phase = self.machine.phase;
        self.notify(match event {
            AttemptEvent::Begins(target) => format!("attempt {}", name(target)),
            AttemptEvent::BeginsAgain(target) => format!("attempt again {}", name(target)),
            AttemptEvent::TimedOut(target) => format!("timeout {}", name(target)),
            AttemptEvent::Failed(target, error) => {
                format!("failed {} {} {phase:?}", name(target), error.code())
            }
        });
    }

    /// What listeners receive and do.
    pub(crate) fn notify(&mut self, entry: String) {
        let destroys = self.destroys_at.take_if(|at| entry.starts_with(*at)).is_some();
        self.log.push(entry);
        if destroys {
            self.destroy();
        }
    }

    pub(crate) fn destroy(&mut self) {
        self.step(|machine, cx, fx| machine.destroy(None, false, cx, fx));
    }

    pub(crate) fn connect(&mut self, request: Request) {
        self.step(|machine, cx, fx| machine.connect(request, false, false, cx, fx));
    }

    /// The ticks, and then the close phase.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(tick) = self.ticks.pop_front() {
                self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
            }
            let Some(cancelled) = self.closing.take() else { return };
            self.step(|machine, _, fx| machine.close(cancelled, fx));
        }
    }

    pub(crate) fn turn(&mut self) {
        for tick in std::mem::take(&mut self.next_turn) {
            self.step(|machine, cx, fx| machine.tick(tick, cx, fx));
            self.settle();
        }
    }

    /// The lookup of the current connect is answered.
    pub(crate) fn answer(&mut self, result: Result<&[&str], Error>) {
        let round = self.machine.round();
        self.answer_to(round, result);
    }

    pub(crate) fn answer_to(&mut self, round: u32, result: Result<&[&str], Error>) {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let result: Result<Vec<IpAddr>, Error> = result.map(ips);
        self.step(|machine, cx, fx| machine.lookup_answered(round, result, false, cx, fx));
        self.settle();
    }

    pub(crate) fn attempt_at(&self, target: &str) -> Attempt {
        let found = self.dialled.iter().rev().find(|(_, dialled)| name(dialled) == target);
        found.unwrap_or_else(|| panic!("{target} was not dialled: {:?}", self.log)).0
    }

    pub(crate) fn fail(&mut self, target: &str, kind: io::ErrorKind) {
        let attempt = self.attempt_at(target);
        self.step(|machine, cx, fx| machine.connect_failed(attempt, kind.into(), cx, fx));
        self.settle();
    }

    pub(crate) fn refuse(&mut self, target: &str) {
        self.fail(target, io::ErrorKind::ConnectionRefused);
    }

    pub(crate) fn succeed(&mut self, target: &str) {
        let attempt = self.attempt_at(target);
        self.step(|machine, _, fx| machine.connected(attempt, fx));
        self.settle();
    }

    /// Advances the time to the machine's deadline, which must be this far away.
    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now += duration;
        assert_eq!(self.machine.wake(), Some(self.now.into()));
        self.step(Machine::expire);
        self.settle();
    }

    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

pub(crate) fn name(target: &Address) -> String {
    target.ip().map_or_else(|| target.to_string(), |address| address.ip().to_string())
}

pub(crate) fn ip(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), 80)
}

pub(crate) fn to(target: Target) -> Request {
    Request {
        target,
        selection: FamilySelection::Race,
        attempt_timeout: 500 * MS,
        lookup_timeout: None,
        connect_timeout: None,
        has_hook: false,
        local: Local::default(),
    }
}

pub(crate) fn to_ip() -> Request {
    to(Target::Ip(ip("10.0.0.1")))
}

pub(crate) fn to_host() -> Request {
    to(Target::Host("a.test".into(), 80))
}

pub(crate) fn unix(path: &str) -> Address {
    Address::Path(path.into())
}

/// A shell that tries the addresses of a host.
pub(crate) fn trying(selection: FamilySelection, addresses: &[&str]) -> Shell {
    let mut shell = Shell::new(policy::DEFAULT);
    shell.connect(Request { selection, ..to_host() });
    shell.settle();
    shell.answer(Ok(addresses));
    shell
}

/// A shell that is connected to an address.
pub(crate) fn connected(policy: Policy) -> Shell {
    let mut shell = Shell::new(policy);
    shell.connect(to_ip());
    shell.settle();
    shell.succeed("10.0.0.1");
    shell.take();
    shell
}

pub(crate) const A: &str = "10.0.0.1";
pub(crate) const B: &str = "10.0.0.2";
pub(crate) const C: &str = "10.0.0.3";
