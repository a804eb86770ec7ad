//! A connect that is under way: what was asked for, and how far it is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fyke_driver::{Address, Family};

use crate::error::MakeError;
use crate::planner::{FamilySelection, Race, Step};
use crate::{Error, ErrorCode, Moment, Result};

/// How soon a Unix server whose queue is full is tried again: the pause doubles up to the longest.
const FULL_FIRST_PAUSE: Duration = Duration::from_millis(1);
const FULL_PAUSE_MAX: Duration = Duration::from_millis(100);

/// What a connect is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to.
    pub target: Target,
    /// What to do with several addresses of a host. `Off`: only the first one is wanted.
    pub selection: FamilySelection,
    /// How long [`FamilySelection::Sequential`] tries one address.
    pub attempt_timeout: Duration,
    /// How long the lookup may take.
    pub lookup_timeout: Option<Duration>,
    /// How long the whole connect may take.
    pub connect_timeout: Option<Duration>,
    /// The name is looked up by code of the user's.
    pub has_hook: bool,
    /// Our own end.
    pub local: Local,
}

/// Where a connect goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// A Unix socket.
    Unix(Address),
    /// An address that needs no lookup.
    Ip(SocketAddr),
    /// A host with a name, and the port.
    Host(String, u16),
}

/// Our own end of a connection, as far as it is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local {
    /// Where the socket was bound before the connect.
    pub bound: Option<SocketAddr>,
    /// The address to bind an attempt to.
    pub address: Option<IpAddr>,
    /// The port to bind an attempt to; 0 is what the system chooses.
    pub port: u16,
}

impl Local {
    /// Where an attempt at an address of `family` is to be bound.
    fn of(&self, family: Family) -> Option<SocketAddr> {
        let any: IpAddr = match family {
            Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let given = self.address.is_some() || self.port != 0;
        given.then(|| (self.address.unwrap_or(any), self.port).into())
    }

    /// Our end as the error of an attempt at `target` tells it: only if the port is known (CON-12).
    fn known(&self, target: SocketAddr) -> Option<SocketAddr> {
        let family = Family::of(&target);
        // Of one that was bound before only if that is what is wrong (BND-09).
        let mismatch = self.bound.filter(|bound| Family::of(bound) != family);
        mismatch.or_else(|| self.of(family).filter(|local| local.port() != 0))
    }
}

/// The name of an attempt, among all that a socket ever makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which connect of the socket it belongs to.
    pub(crate) round: u32,
    number: u32,
}

/// A connect that is under way. Freed when the connection is established, or destroyed.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(crate) request: Request,
    pub(crate) stage: Stage,
    round: u32,
    /// How many attempts have begun.
    begun: u32,
    /// The attempts that are running.
    running: Vec<(Attempt, Address)>,
    /// When the whole connect has taken too long.
    deadline: Option<Moment>,
    /// Another connect to a path that came meanwhile (policy `tries_to_connect_again`).
    pub(crate) again: Option<Address>,
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// Its tick is still to come.
    Begun,
    /// The name is being resolved; it must be by `deadline`.
    Resolving { deadline: Option<Moment> },
    /// The addresses are told, one after the other; so many were.
    Telling { addresses: Vec<IpAddr>, told: usize },
    /// Addresses are tried.
    Racing(Race),
    /// A Unix socket is tried. Its server's queue was full so often, and is tried again at that time.
    Unix { full_count: u32, retry: Option<Moment> },
}

/// What to do next.
pub(crate) enum Next {
    Open(Attempt),
    GiveUp(Attempt, SocketAddr),
    Wait,
    Fail(Error),
}

/// An attempt that has failed.
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

    /// Whether only the first address of a host is wanted.
    pub(crate) fn wants_one(&self) -> bool {
        self.request.selection == FamilySelection::Off
    }

    /// The host to resolve; empty if there is none.
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

    /// From here on these addresses are tried.
    pub(crate) fn race(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let Request { selection, attempt_timeout, .. } = self.request;
        self.stage = Stage::Racing(Race::new(addresses, selection, attempt_timeout));
    }

    /// Whether several addresses are tried.
    pub(crate) fn has_several(&self) -> bool {
        matches!(&self.stage, Stage::Racing(race) if race.several())
    }

    /// What the addresses that there are want done now.
    pub(crate) fn next(&mut self, now: Moment) -> Next {
        match &mut self.stage {
            Stage::Begun | Stage::Resolving { .. } | Stage::Telling { .. } => Next::Wait,
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

    /// Where an attempt goes that is running, and where it is bound.
    pub(crate) fn target(&self, attempt: Attempt) -> Option<(&Address, Option<SocketAddr>)> {
        let (_, target) = self.running.iter().find(|(running, _)| *running == attempt)?;
        let local = target.ip().and_then(|address| self.request.local.of(Family::of(&address)));
        Some((target, local))
    }

    /// An attempt runs no longer.
    pub(crate) fn forget(&mut self, attempt: Attempt) {
        self.running.retain(|(running, _)| *running != attempt);
    }

    /// An attempt at an IP address has failed.
    pub(crate) fn failed(&mut self, address: SocketAddr, error: Error, now: Moment) {
        if let Stage::Racing(race) = &mut self.stage {
            race.failed(address, error, now.into());
        }
    }

    /// Adds to the error of an attempt what it was about.
    pub(crate) fn complete(&self, error: Error, target: Address, worded_as_node: bool) -> Error {
        let local = target.ip().and_then(|address| self.request.local.known(address));
        error.at(target, worded_as_node).with_local(local)
    }

    /// The queue of the Unix server is full.
    pub(crate) fn try_again_later(&mut self, now: Moment) {
        if let Stage::Unix { full_count, retry } = &mut self.stage {
            let pause = FULL_FIRST_PAUSE * 2_u32.pow((*full_count).min(7));
            *full_count = full_count.saturating_add(1);
            *retry = Some(now.saturating_add(pause.min(FULL_PAUSE_MAX).into()));
        }
    }

    /// The next time at which something is due by itself.
    pub(crate) fn wake(&self) -> Option<Moment> {
        let stage = match &self.stage {
            Stage::Begun | Stage::Telling { .. } => None,
            Stage::Resolving { deadline } => *deadline,
            Stage::Racing(race) => race.deadline().map(Moment::from),
            Stage::Unix { retry, .. } => *retry,
        };
        stage.into_iter().chain(self.deadline).min()
    }

    /// Why the whole connect is over, if its time is.
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

/// An answer to the question for a host's addresses: what a listener for `lookup` is told, once for
/// every address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LookupEvent {
    /// The host as it was given.
    pub host: String,
    /// One of its addresses, or why there are none.
    pub address: Result<IpAddr>,
}

/// What is told of an attempt.
#[derive(Clone, Debug)]
pub enum AttemptEvent {
    /// It begins.
    Begins(Address),
    /// It begins on the connection that there is (policy `tries_to_connect_again`).
    BeginsAgain(Address),
    /// It has failed.
    Failed(Address, Error),
    /// It takes too long, and is given up.
    TimedOut(Address),
}

/// Why an attempt cannot be made.
#[derive(Debug)]
pub enum Refusal {
    /// The address may not be connected to.
    Blocked,
    /// There is no descriptor for it.
    Open(std::io::Error),
    /// It cannot be bound to our own end.
    Bind(std::io::Error),
}

/// Another connect on a socket that has a descriptor already.
#[derive(Debug)]
pub struct Again {
    pub(crate) target: Address,
    /// The first one is still under way.
    pub(crate) was_connecting: bool,
}
