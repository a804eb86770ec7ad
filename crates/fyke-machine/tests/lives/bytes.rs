//! Scripts made from bytes, for fuzzers and seeds: seven bytes choose the network and the connections,
//! then four make a step, or a reaction to an event.

use super::{Moment, Operation, Pair, Place, Reaction, Reading, Script, Side, Step, When};

/// More steps would only be slow.
const STEPS_MAX: usize = 64;

const MARKS: [usize; 4] = [65_536, 0, 1, 1000];

/// The choices of the first bytes that are not part of the script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    pub(crate) seed: u8,
    flags: u8,
    marks: u8,
    pub(crate) latency: usize,
    pub(crate) window: usize,
    pub(crate) piece: usize,
}

impl Choices {
    /// One of eight flags; 2 to 4 are those of the script.
    pub(crate) fn flag(self, bit: u8) -> bool {
        self.flags >> bit & 1 == 1
    }
}

impl Script {
    /// Reads a script, if there are enough bytes for one.
    pub(crate) fn from_bytes(input: &[u8]) -> Option<(Choices, Self)> {
        let (head, rest) = input.split_first_chunk::<7>()?;
        let [seed, flags, marks, latency, window, piece, shape] = *head;
        let [latency, window, piece] = [latency, window, piece].map(usize::from);
        let choices = Choices { seed, flags, marks, latency, window, piece };
        let mut script = Self {
            node_exact: shape >> 2 & 1 == 1,
            pairs: vec![pair(choices); usize::from(shape % 4).clamp(1, 3)],
            steps: Vec::new(),
            reactions: Vec::new(),
        };
        for bytes in rest.chunks_exact(4).take(STEPS_MAX) {
            let [what, at, when, len] = [bytes[0], bytes[1], bytes[2], bytes[3]];
            let place = place(at);
            let operation = operation(what, len);
            match when {
                0..128 => {
                    let all = [When::Now, When::Tick, When::Immediate, When::Later];
                    let when = all[usize::from(when) % all.len()];
                    script.steps.push(Step { when, place, operation });
                }
                _ => {
                    let moment = Moment::ALL[usize::from(when - 128) % Moment::ALL.len()];
                    script.reactions.push(Reaction { place, moment, operation });
                }
            }
        }
        Some((choices, script))
    }
}

fn pair(choices: Choices) -> Pair {
    let Choices { marks, .. } = choices;
    let mark = |bits: u8| MARKS[usize::from(bits % 4)];
    Pair {
        allow_half_open: [choices.flag(2), choices.flag(3)],
        high_water_mark: [mark(marks), mark(marks >> 2)],
        reading: [reading(marks >> 4), reading(marks >> 6)],
        pause_on_connect: choices.flag(4),
    }
}

/// If the script has fewer connections, a place on a missing one means no operation.
fn place(at: u8) -> Place {
    Place { pair: usize::from(at >> 1) % 3, side: Side::BOTH[usize::from(at & 1)] }
}

fn reading(bits: u8) -> Reading {
    [Reading::Data, Reading::Readable, Reading::Buffer(10), Reading::Exact(100)]
        [usize::from(bits % 4)]
}

fn operation(choice: u8, len: u8) -> Operation {
    // From 0 to 260,100 bytes, with small steps around small numbers.
    let bytes = usize::from(len) * usize::from(len) * 4;
    match choice % 24 {
        0 => Operation::WriteThen(bytes),
        1 => Operation::Write(bytes),
        2 => Operation::Cork,
        3 => Operation::Uncork,
        4 => Operation::End,
        5 => Operation::EndThen,
        6 => Operation::EndWithThen(bytes),
        7 => Operation::Pause,
        8 => Operation::Resume,
        9 => Operation::AllowHalfOpen(len % 2 == 1),
        10 => Operation::Unref,
        11 => Operation::Refer,
        12 => Operation::Destroy,
        13 => Operation::DestroyWith,
        14 => Operation::DestroySoon,
        15 => Operation::Reset,
        16 => Operation::Unshift(bytes),
        17 => Operation::Trickle(bytes / 4),
        18 => Operation::ReadExact(bytes.max(1)),
        19 => Operation::Pipe(place(len)),
        20 => Operation::UnpipeAll,
        21 => Operation::Timeout(u64::from(len % 8)),
        _ => Operation::Connect,
    }
}
