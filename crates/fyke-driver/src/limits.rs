//! All limits of the drivers, with their units in the names.

use std::time::Duration;

/// Size of the read buffer that all sockets of a readiness loop share, and so of the largest
/// [`Received`](crate::Completion::Received). Node also reads up to 64 KiB at once.
// RD-02.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Maximum of one receiving call on a bulk sender's socket; two of them fill the read buffer. While one
/// call copies, the kernel queues arriving data, and our process does the protocol work for it when the
/// call ends; with shorter calls the sender does more of it.
pub const READ_CALL_BYTES: usize = 32 * 1024;

/// Turns whose reads a socket must have used up to count as a bulk sender, with nothing large sent in
/// between: 1 MiB. Shorter data is delivered in the pieces in which one large call finds it, as in
/// Node.
pub const TURNS_TO_BULK: u8 = 8;

/// Reads of one socket in one turn, before the other sockets get theirs (contract rule 6): one slice.
/// libuv allows 32: beside a flooding peer, each other message then waits until 2 MiB are read and
/// answered. An additional turn costs less than a hundredth of reading that much.
pub const READS_PER_TURN_MAX: usize = 2;

/// Consecutive slices of a socket while others that used up their reads wait: 8 MiB. This should be
/// enough to read all that the kernel holds for a socket.
pub const SLICES_IN_A_ROW_MAX: usize = 64;

/// Events of a turn for which it has one more slice for sockets that used up their reads, at most one
/// for each of these sockets. A slice takes about as long as this many small messages.
pub const EVENTS_PER_SLICE: usize = 4;

/// System calls of one [`send`](crate::Driver::send) before the rest is left for the next turn.
pub const SENDS_PER_CALL_MAX: usize = 32;

/// Connections accepted from one listener in one turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;

/// Consecutive turns in which a listener uses up [`ACCEPTS_PER_TURN_MAX`] on vanished connections,
/// before it is paused for [`ACCEPT_RETRY_DELAY`]: 1,024 failures without a success.
pub const ACCEPT_FAILED_ROUNDS_MAX: u8 = 16;

/// Events fetched from the kernel in one turn.
pub const EVENTS_PER_TURN_MAX: usize = 1024;

/// Pieces gathered in one system call. Linux allows 1024 (UIO_MAXIOV); beyond a few dozen the array
/// costs more than the call that it saves.
pub const PIECES_PER_SEND_MAX: usize = 64;

/// Pause of a listener that can neither accept nor refuse connections.
pub const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Buffers for small writes that are kept for reuse.
pub const POOL_BUFFERS_MAX: usize = 64;

/// A buffer that has grown beyond this size is freed instead of kept.
pub const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Longest wait of one turn. epoll uses milliseconds in a C int. A turn that returns early does no
/// harm.
pub const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
