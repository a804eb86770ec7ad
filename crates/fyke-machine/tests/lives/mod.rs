//! Scripts of calls on the ends of connections, and a naive model of a connection: any sequence of
//! calls may only cause what the model allows. The same scripts and rules are used for sockets
//! (`crates/fyke/tests/scripted` plays them on a loop) and for the bare machine
//! (`crates/fyke-machine/tests/play`).

#![allow(dead_code, unused_imports, reason = "each test that plays scripts uses its part")]
#![allow(clippy::disallowed_types, reason = "the machine has no cells, but its user may")]

mod bytes;
mod calls;
mod life;
mod observer;
mod rules;
mod stage;

pub(crate) use calls::{EndAsked, WriteAsked};
pub(crate) use life::Life;
pub(crate) use observer::{Facts, Observer};
pub(crate) use rules::check_end;
pub(crate) use stage::{Event, Stage, What};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A socket of a script: a client, or the latest socket that was accepted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) pair: usize,
    pub(crate) side: Side,
}

/// A call on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `write_then`, with this many bytes.
    WriteThen(usize),
    /// `write` of borrowed bytes.
    Write(usize),
    /// This many writes of one owned byte, each in a separate immediate.
    Trickle(usize),
    Cork,
    Uncork,
    End,
    EndThen,
    EndWithThen(usize),
    Pause,
    Resume,
    /// `unshift` of this many of the last delivered bytes.
    Unshift(usize),
    /// `read_exact`.
    ReadExact(usize),
    /// `pipe` to another socket, unless bytes could circulate.
    Pipe(Place),
    UnpipeAll,
    /// `set_timeout` with this many milliseconds, or `None`.
    Timeout(u64),
    AllowHalfOpen(bool),
    Unref,
    Refer,
    Destroy,
    DestroyWith,
    DestroySoon,
    Reset,
    /// `connect` of a client, in any state.
    Connect,
}

impl Operation {
    /// Whether it may prevent a connection from ending.
    pub(crate) fn holds_up(self) -> bool {
        matches!(self, Self::Cork | Self::Pause | Self::Unref | Self::Pipe(_) | Self::Trickle(_))
    }

    /// Whether it may lose bytes.
    pub(crate) fn is_abrupt(self) -> bool {
        matches!(self, Self::Destroy | Self::DestroySoon | Self::DestroyWith | Self::Reset)
    }
}

/// The delay after the previous step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// In the same callback.
    Now,
    Tick,
    Immediate,
    /// A timer of a millisecond.
    Later,
}

/// An event of a socket, at which a call can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The server's `connection`.
    Connection,
    Attempt,
    Connect,
    /// The callback of `connect`.
    Connected,
    Ready,
    Data,
    End,
    Drain,
    Finish,
    Timeout,
    Error,
    Close,
    /// The callback of a write.
    Written,
    /// The callback of an end.
    Ended,
}

impl Moment {
    pub(crate) const ALL: [Self; 14] = [
        Self::Connection,
        Self::Attempt,
        Self::Connect,
        Self::Connected,
        Self::Ready,
        Self::Data,
        Self::End,
        Self::Drain,
        Self::Finish,
        Self::Timeout,
        Self::Error,
        Self::Close,
        Self::Written,
        Self::Ended,
    ];
}

/// How the bytes of a socket are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// `on_data`.
    Data,
    /// `on_readable` and `read`.
    Readable,
    /// `on_readable` and `read_exact`, with this many bytes.
    Exact(usize),
    /// `read_buffer`, with this many bytes.
    Buffer(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) when: When,
    pub(crate) place: Place,
    pub(crate) operation: Operation,
}

/// The call that is made the first time that an event occurs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaction {
    pub(crate) place: Place,
    pub(crate) moment: Moment,
    pub(crate) operation: Operation,
}

/// A client and its peer. The arrays have the client first.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) allow_half_open: [bool; 2],
    pub(crate) high_water_mark: [usize; 2],
    pub(crate) reading: [Reading; 2],
    pub(crate) pause_on_connect: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Played with `policy::NODE_EXACT`.
    pub(crate) node_exact: bool,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) steps: Vec<Step>,
    pub(crate) reactions: Vec<Reaction>,
}

impl Script {
    /// The same with writes of at most `max` bytes, because more would take long through a narrow
    /// network.
    pub(crate) fn with_writes_up_to(mut self, max: usize) -> Self {
        let steps = self.steps.iter_mut().map(|step| &mut step.operation);
        let reactions = self.reactions.iter_mut().map(|reaction| &mut reaction.operation);
        for operation in steps.chain(reactions) {
            if let Operation::WriteThen(len)
            | Operation::Write(len)
            | Operation::EndWithThen(len)
            | Operation::Trickle(len) = operation
            {
                *len = max.min(*len);
            }
        }
        self
    }
}
