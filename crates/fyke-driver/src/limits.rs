//! Every limit of the drivers, with its unit in its name.

use std::time::Duration;

/// Size of the read buffer that all sockets of a readiness loop share, and so the largest
/// [`Received`](crate::Completion::Received). Node reads 64 KiB at once too.
// RD-02.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Most bytes of one receiving call on a socket that is received in bulk; two of them fill the read
/// buffer. While one copies, the kernel puts what arrives aside, and we do the protocol's work for it when
/// the call ends; with shorter calls the sender does more of it itself.
pub const READ_CALL_BYTES: usize = 32 * 1024;

/// Turns whose reads a socket must have used up to be received in bulk, with nothing large sent in
/// between: so 1 MiB. What is shorter comes in the pieces in which one large call finds it, as in Node.
pub const TURNS_TO_BULK: u8 = 8;

/// Reads of one socket in one turn, before the others get theirs (contract rule 6): one slice. libuv
/// allows 32: beside a peer that floods, each other message then waits for 2 MiB to be read and answered.
/// A turn more costs less than a hundredth of reading so much.
pub const READS_PER_TURN_MAX: usize = 2;

/// Slices that a socket gets in a row while others that used up their reads wait: so 8 MiB. It should be
/// enough to read all that the kernel holds for a socket.
pub const SLICES_IN_A_ROW_MAX: usize = 64;

/// Events of a turn for which it has one more slice for sockets that used up their reads, at most one for
/// each of these sockets. A slice takes about as long as this many small messages.
pub const EVENTS_PER_SLICE: usize = 4;

/// System calls that one [`send`](crate::Driver::send) makes before it leaves the rest for the
/// next turn.
pub const SENDS_PER_CALL_MAX: usize = 32;

/// Connections taken from one listener in one turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;

/// Turns in a row in which a listener uses up [`ACCEPTS_PER_TURN_MAX`] on connections that are gone, before it
/// is left alone for [`ACCEPT_RETRY_DELAY`]: so 1,024 failures without a success.
pub const ACCEPT_FAILED_ROUNDS_MAX: u8 = 16;

/// Events taken from the kernel in one turn.
pub const EVENTS_PER_TURN_MAX: usize = 1024;

/// Pieces gathered in one system call. Linux takes 1024 (UIO_MAXIOV); beyond a few dozen the
/// array costs more than the call it saves.
pub const PIECES_PER_SEND_MAX: usize = 64;

/// How long a listener that can neither accept nor refuse connections is left alone.
pub const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Buffers for small writes that are kept for reuse.
pub const POOL_BUFFERS_MAX: usize = 64;

/// A buffer that grew beyond this is freed, not kept.
pub const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Longest wait of one turn. epoll takes milliseconds as a C int; a turn that returns early does no
/// harm.
pub const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
