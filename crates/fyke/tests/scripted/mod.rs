//! Two sockets and a script of calls on both: whatever is called, and whenever, what happens must be
//! what a naive model of a connection allows. Played with random scripts by `tests/model.rs`,
//! and with those of the fuzzer by `fuzz/fuzz_targets/socket.rs`.

mod player;
mod rules;
mod witness;

pub(crate) use player::play;

/// Whose socket.
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

/// A call on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `write_then`, of so many bytes.
    WriteThen(usize),
    /// `write`.
    Write(usize),
    Cork,
    Uncork,
    End,
    EndThen,
    EndWithThen(usize),
    Pause,
    Resume,
    /// `unshift`, of so many of the bytes that came last.
    Unshift(usize),
    AllowHalfOpen(bool),
    Unref,
    Refer,
    Destroy,
    DestroyWith,
    DestroySoon,
    Reset,
}

/// How long after the step before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// In the same callback.
    Now,
    Tick,
    Immediate,
    /// A timer of a millisecond.
    Later,
}

/// An event of a socket, at which something can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The server's `connection`.
    Connection,
    Connect,
    Ready,
    Data,
    End,
    Drain,
    Finish,
    Error,
    Close,
    /// The callback of a write.
    Written,
    /// The callback of an end.
    Ended,
}

/// How a socket's bytes are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// `on_data`.
    Data,
    /// `on_readable` and `read`.
    Readable,
    /// `read_buffer`, of so many bytes.
    Buffer(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) when: When,
    pub(crate) side: Side,
    pub(crate) operation: Operation,
}

/// What is called the first time that something happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaction {
    pub(crate) side: Side,
    pub(crate) moment: Moment,
    pub(crate) operation: Operation,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Of the client and the server.
    pub(crate) allow_half_open: [bool; 2],
    pub(crate) high_water_mark: [usize; 2],
    pub(crate) reading: [Reading; 2],
    pub(crate) pause_on_connect: bool,
    pub(crate) steps: Vec<Step>,
    pub(crate) reactions: Vec<Reaction>,
}

impl Script {
    /// With writes of at most so many bytes: through a narrow network they take long.
    pub(crate) fn with_writes_up_to(mut self, max: usize) -> Self {
        let steps = self.steps.iter_mut().map(|step| &mut step.operation);
        let reactions = self.reactions.iter_mut().map(|reaction| &mut reaction.operation);
        for operation in steps.chain(reactions) {
            if let Operation::WriteThen(len) | Operation::Write(len) | Operation::EndWithThen(len) =
                operation
            {
                *len = max.min(*len);
            }
        }
        self
    }
}
