//! A connect in progress: its request and its state.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fyke_driver::{Address, Family};

use crate::error::MakeError;
use crate::planner::{FamilySelection, Race, Step};
use crate::{Error, ErrorCode, Moment, Result};

/// The first delay before a connect to a Unix server with a full queue is retried. It doubles up to the
/// maximum.
const FULL_FIRST_PAUSE: Duration = Duration::from_millis(1);
const FULL_PAUSE_MAX: Duration = Duration::from_millis(100);

/// The parameters of a connect.
#[derive(Clone, Debug)]
pub struct Request {
    /// The target.
    pub target: Target,
    /// How to try several addresses of a host. With `Off` only the first address is needed.
    pub selection: FamilySelection,
    /// How long [`FamilySelection::Sequential`] tries one address.
    pub attempt_timeout: Duration,
    /// The time limit of the lookup.
    pub lookup_timeout: Option<Duration>,
    /// The time limit of the whole connect.
    pub connect_timeout: Option<Duration>,
    /// A user-defined hook looks up the name.
    pub has_hook: bool,
    /// The local address.
    pub local: Local,
}

/// The target of a connect.
#[derive(Clone, Debug)]
pub enum Target {
    /// A Unix socket.
    Unix(Address),
    /// An IP address, which needs no lookup.
    Ip(SocketAddr),
    /// A host name and the port.
    Host(String, u16),
}

/// The local address of a connection, as far as it is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local {
    /// The address to which the socket was bound before the connect.
    pub bound: Option<SocketAddr>,
    /// The address to bind an attempt to.
    pub address: Option<IpAddr>,
    /// The port to bind an attempt to; with 0 the system chooses it.
    pub port: u16,
}

impl Local {
    /// The address to bind an attempt of `family` to.
    fn of(&self, family: Family) -> Option<SocketAddr> {
        let any: IpAddr = match family {
            Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let given = self.address.is_some() || self.port != 0;
        given.then(|| (self.address.unwrap_or(any), self.port).into())
    }

    /// The local address to report in the error of an attempt at `target`: only if the port is known.
    // CON-12
    fn known(&self, target: SocketAddr) -> Option<SocketAddr> {
        let family = Family::of(&target);
        // The address of a socket that was bound before is reported only if its family is the problem
        // (BND-09).
        let mismatch = self.bound.filter(|bound| Family::of(bound) != family);
        mismatch.or_else(|| self.of(family).filter(|local| local.port() != 0))
    }
}

/// Identifies an attempt among all attempts of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number of the connect that it belongs to.
    pub(crate) round: u32,
    number: u32,
}

/// A connect in progress. It is freed when the connection is established or destroyed.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(crate) request: Request,
    pub(crate) stage: Stage,
    round: u32,
    /// The number of attempts that have begun.
    begun: u32,
    /// The attempts that are running.
    running: Vec<(Attempt, Address)>,
    /// The deadline of the whole connect.
    deadline: Option<Moment>,
    /// The target of another connect to a path that was called in the meantime (policy
    /// `tries_to_connect_again`).
    pub(crate) again: Option<Address>,
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// Its tick has not run yet.
    Begun,
    /// The name is being resolved, at the latest until `deadline`.
    Resolving { deadline: Option<Moment> },
    /// The addresses are being reported one by one; `reported` is the number of those that were reported.
    Reporting { addresses: Vec<IpAddr>, reported: usize },
    /// The addresses are being tried.
    Racing(Race),
    /// A Unix socket is being tried. Its server's queue was full `full_count` times; the next retry is at
    /// `retry`.
    Unix { full_count: u32, retry: Option<Moment> },
}

/// The next action.
pub(crate) enum Next {
    Open(Attempt),
    GiveUp(Attempt, SocketAddr),
    Wait,
    Fail(Error),
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failure {
    pub(crate) attempt: Attempt,
    pub(crate) target: Address,
    pub(crate) error: Error,
}

impl Connecting {
    pub(crate) fn new(request: Request, round: u32, now: Moment) -> Self {
        let deadline = request.connect_timeout.map(|timeout| now.saturating_add(timeout.into()));
        Self {
            request,
            stage: Stage::Begun,
            round,
            begun: 0,
            running: Vec::new(),
            deadline,
            again: None,
        }
    }

    /// Whether only the first address of a host is needed.
    pub(crate) fn wants_one(&self) -> bool {
        self.request.selection == FamilySelection::Off
    }

    /// The host to resolve; empty if the target is an address or a path.
    pub(crate) fn host(&self) -> &str {
        match &self.request.target {
            Target::Host(host, _) => host,
            Target::Unix(_) | Target::Ip(_) => "",
        }
    }

    pub(crate) fn begin_to_resolve(&mut self, now: Moment) {
        let timeout = self.request.lookup_timeout;
        let deadline = timeout.map(|timeout| now.saturating_add(timeout.into()));
        self.stage = Stage::Resolving { deadline };
    }

    /// Starts trying these addresses.
    pub(crate) fn race(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let Request { selection, attempt_timeout, .. } = self.request;
        self.stage = Stage::Racing(Race::new(addresses, selection, attempt_timeout));
    }

    /// Whether several addresses are tried.
    pub(crate) fn has_several(&self) -> bool {
        matches!(&self.stage, Stage::Racing(race) if race.several())
    }

    /// The next action for the remaining addresses.
    pub(crate) fn next(&mut self, now: Moment) -> Next {
        match &mut self.stage {
            Stage::Begun | Stage::Resolving { .. } | Stage::Reporting { .. } => Next::Wait,
            Stage::Unix { .. } => match &self.request.target {
                Target::Unix(address) if self.begun == 0 => {
                    let address = address.clone();
                    Next::Open(self.begin(address))
                }
                _ => Next::Wait,
            },
            Stage::Racing(race) => match race.step(now.into()) {
                Step::Begin(address) => Next::Open(self.begin(Address::Ip(address))),
                Step::GiveUp(address) => {
                    let target = Address::Ip(address);
                    let index = self.running.iter().position(|(_, running)| *running == target);
                    index.map_or(Next::Wait, |index| {
                        Next::GiveUp(self.running.swap_remove(index).0, address)
                    })
                }
                Step::Wait => Next::Wait,
                Step::Fail(error) => Next::Fail(error),
            },
        }
    }

    fn begin(&mut self, target: Address) -> Attempt {
        let attempt = Attempt { round: self.round, number: self.begun };
        self.begun = self.begun.wrapping_add(1);
        self.running.push((attempt, target));
        attempt
    }

    /// The attempts that are running.
    pub(crate) fn running(&self) -> &[(Attempt, Address)] {
        &self.running
    }

    /// The target of a running attempt, and its local address.
    pub(crate) fn target(&self, attempt: Attempt) -> Option<(&Address, Option<SocketAddr>)> {
        let (_, target) = self.running.iter().find(|(running, _)| *running == attempt)?;
        let local = target.ip().and_then(|address| self.request.local.of(Family::of(&address)));
        Some((target, local))
    }

    /// Removes an attempt that is no longer running.
    pub(crate) fn forget(&mut self, attempt: Attempt) {
        self.running.retain(|(running, _)| *running != attempt);
    }

    /// Records that an attempt at an IP address has failed.
    pub(crate) fn failed(&mut self, address: SocketAddr, error: Error, now: Moment) {
        if let Stage::Racing(race) = &mut self.stage {
            race.failed(address, error, now.into());
        }
    }

    /// Adds the target and the local address to the error of an attempt.
    pub(crate) fn complete(&self, error: Error, target: Address, worded_as_node: bool) -> Error {
        let local = target.ip().and_then(|address| self.request.local.known(address));
        error.at(target, worded_as_node).with_local(local)
    }

    /// Schedules a retry because the queue of the Unix server is full.
    pub(crate) fn try_again_later(&mut self, now: Moment) {
        if let Stage::Unix { full_count, retry } = &mut self.stage {
            let pause = FULL_FIRST_PAUSE * 2_u32.pow((*full_count).min(7));
            *full_count = full_count.saturating_add(1);
            *retry = Some(now.saturating_add(pause.min(FULL_PAUSE_MAX).into()));
        }
    }

    /// The next time at which a step is due without an event.
    pub(crate) fn wake(&self) -> Option<Moment> {
        let stage = match &self.stage {
            Stage::Begun | Stage::Reporting { .. } => None,
            Stage::Resolving { deadline } => *deadline,
            Stage::Racing(race) => race.deadline().map(Moment::from),
            Stage::Unix { retry, .. } => *retry,
        };
        stage.into_iter().chain(self.deadline).min()
    }

    /// The error of the whole connect, if its time limit has passed.
    pub(crate) fn is_over(&self, now: Moment, worded_as_node: bool) -> Option<Error> {
        self.deadline.filter(|deadline| *deadline <= now)?;
        let error = Error::named(ErrorCode::ETIMEDOUT, "connect");
        Some(match &self.request.target {
            Target::Unix(address) => error.at(address.clone(), worded_as_node),
            Target::Ip(address) => error.at(Address::Ip(*address), worded_as_node),
            Target::Host(host, _) => error.with_host(host.clone()),
        })
    }
}

/// The result of a lookup. A `lookup` listener is called once for each address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LookupEvent {
    /// The host as it was passed to the connect.
    pub host: String,
    /// One of its addresses, or the error if there are none.
    pub address: Result<IpAddr>,
}

/// An event of a connection attempt.
#[derive(Clone, Debug)]
pub enum AttemptEvent {
    /// The attempt begins.
    Begins(Address),
    /// The attempt begins on the existing connection (policy `tries_to_connect_again`).
    BeginsAgain(Address),
    /// The attempt has failed.
    Failed(Address, Error),
    /// The attempt takes too long and is abandoned.
    TimedOut(Address),
}

/// The reason why an attempt cannot be made.
#[derive(Debug)]
pub enum Refusal {
    /// A block list contains the address.
    Blocked,
    /// No descriptor could be opened.
    Open(std::io::Error),
    /// The descriptor could not be bound to the local address.
    Bind(std::io::Error),
}

/// Another connect on a socket that already has a descriptor.
#[derive(Debug)]
pub struct Again {
    pub(crate) target: Address,
    /// The first connect is still in progress.
    pub(crate) was_connecting: bool,
}
