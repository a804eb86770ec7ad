//! Socket drivers for [fyke](https://docs.rs/fyke). This crate makes all system calls on sockets, and is the
//! only one with unsafe code; it is a separate crate so that this boundary can be checked. Use `fyke` itself.
//! This crate does not resolve host names: `fyke` does that with the system's `getaddrinfo`, on separate
//! threads.
//!
//! # What a backend owes
//!
//! A backend turns *operations* into *completions*. An operation is a call on [`Driver`] that returns at
//! once. A completion is passed to the callback of [`Driver::turn`], and only to that. io_uring and IOCP work
//! like this. With readiness (epoll, kqueue), the driver makes the system call when the kernel reports that
//! it may succeed.
//!
//! | operation | completions | remarks |
//! |---|---|---|
//! | [`open`](Driver::open) | none; the result is the return value | creates a socket, sets options, binds it |
//! | [`listen`](Driver::listen) | none | |
//! | [`accept_start`](Driver::accept_start) … [`accept_stop`](Driver::accept_stop) | [`Accepted`](Completion::Accepted), any number; [`Shed`](Completion::Shed); `Failed` at most once | continues until stopped, closed or failed |
//! | [`connect`](Driver::connect) | [`Connected`](Completion::Connected) or [`Failed`](Completion::Failed) | never completes inside the call |
//! | [`receive_start`](Driver::receive_start) … [`receive_stop`](Driver::receive_stop) | [`Received`](Completion::Received), any number; then [`EndOfStream`](Completion::EndOfStream) or `Failed` | continues until stopped |
//! | [`readable_start`](Driver::readable_start) … [`receive_stop`](Driver::receive_stop) | [`Readable`](Completion::Readable), once | this and `receive_start` replace each other |
//! | [`read_into`](Driver::read_into), [`read_append`](Driver::read_append), [`peek_into`](Driver::peek_into) | none; the result is the return value | reads into the caller's memory |
//! | [`send`](Driver::send) | [`Sent`](Completion::Sent), until all of the batch is sent, or `Failed` | the bytes that the kernel accepts at once are the return value instead |
//! | [`send_at_once`](Driver::send_at_once), [`send_vectored_at_once`](Driver::send_vectored_at_once) | none; the result is the return value | bytes that the kernel does not accept stay with the caller |
//! | [`writable_start`](Driver::writable_start) | [`Writable`](Completion::Writable), once | only with no batch in flight; a following `send` replaces it |
//! | [`shutdown`](Driver::shutdown) | [`ShutDown`](Completion::ShutDown) or `Failed` | never completes inside the call; only with no batch in flight |
//! | `adopt`, `detach`, `duplicate` | none | take over, release or copy a descriptor |
//! | [`close`](Driver::close) | none: from now on the id is dead | |
//! | [`Waker::wake`] | [`Woken`](Completion::Woken) | from any thread; several calls may cause one completion |
//!
//! The rules:
//!
//! 1. **Ids.** Every socket has a [`SocketId`] with a generation. A call with a dead id is harmless. No
//!    completion is ever reported for a dead id, even if the socket was closed in the callback of an earlier
//!    completion of the same turn.
//! 2. **Re-entry.** The callback of `turn` may call every operation, on every socket. A call of `turn` from
//!    it fails.
//! 3. **Lent bytes.** The bytes of `Received` are valid only during the callback. An idle socket holds no
//!    buffer: the readiness driver has one read buffer for all sockets, a ring has a pool of buffers.
//! 4. **Kernel memory.** Memory that the kernel may access, and the descriptor that is used with it, belong
//!    to the driver from the operation until the kernel no longer uses them, even if the socket is closed,
//!    the driver is dropped, or the callback panics. Therefore `send` takes its [`Batch`] by value. Memory
//!    that is passed to `read_into` is filled inside the call, and not accessed after it.
//! 5. **One batch.** At most one batch is in flight per socket.
//! 6. **Fairness.** A socket gets a bounded number of reads, and a listener a bounded number of accepts, per
//!    turn ([`limits`]). The rest is handled in the next turn, which does not wait. A caller of `read_into`
//!    has its own budget, and requests `Readable` when it is used up.
//! 7. **Nothing lost.** Bytes that were received before `receive_stop` was called are delivered after the
//!    next `receive_start`, even if the peer has ended or reset the connection meanwhile. Bytes are delivered
//!    in order, however calls of `receive_start` and `read_into` alternate. `Readable` and `Writable` are
//!    also reported if the socket was readable or writable before the request.
//! 8. **Out of descriptors.** If `accept` fails because descriptors or memory are exhausted, the loop does
//!    not spin, and the listener does not stall: a waiting connection is accepted with a spare descriptor,
//!    closed, and counted in [`Completion::Shed`]. If that is not possible either, the listener is retried
//!    after [`limits::ACCEPT_RETRY_DELAY`]. A permanent error, such as EINVAL from a listener that was shut
//!    down, ends accepting, and `Failed` is reported once. No error makes a loop spin.
//! 9. **Panics.** A panic of the callback passes through `turn`. The driver stays usable. Completions that
//!    were not reported yet are reported in the next turn, unless their socket is closed.
//! 10. **No signals.** Sending to a closed peer is an error (EPIPE), never SIGPIPE. An adopted pipe is the
//!     exception: the process must ignore the signal, as Rust programs do.
//! 11. **Time.** [`Driver::now`] is the only clock. The simulated network advances it.
//!
//! Backends: [`ready`](DriverKind::Ready) (mio: epoll, kqueue, IOCP), [`uring`](DriverKind::Uring) (io_uring)
//! and [`sim`] (in memory, seeded, virtual clock). Each implements the trait in `backend.rs`. `driver/mod.rs`
//! selects the one that runs.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
// A library must not panic in the process that uses it. If a value cannot be absent, `expect` states why.
#![warn(clippy::unwrap_used)]

mod address;
mod backend;
mod batch;
mod coarse;
mod completion;
mod driver;
mod errno;
#[cfg(unix)]
mod faults;
mod id;
#[cfg(unix)]
mod inherited;
pub mod limits;
mod memory;
mod moment;
mod open;
mod options;
mod pool;
#[cfg(any(unix, windows))]
mod reading;
#[cfg(any(unix, windows))]
mod ready;
pub mod sim;
#[cfg(any(unix, windows))]
mod system;
#[cfg(any(unix, windows))]
mod table;
#[cfg(all(feature = "tokio-runtime", unix))]
mod tokio_watch;
mod trace;
pub mod uninit;
#[cfg(uring)]
mod uring;
mod waker;
mod zone;

pub use address::{Address, Family, PeerCredentials};
pub use batch::{Batch, Chunk};
pub use coarse::coarse_time;
pub use completion::{Completion, Operation};
pub use driver::{Driver, DriverKind};
pub use errno::errno_name;
pub use id::SocketId;
#[cfg(unix)]
pub use inherited::{take_inherited, take_inherited_fd};
pub use memory::return_unused_memory;
pub use moment::Moment;
pub use open::{Adopted, Open, OpenError, Transport};
pub use options::{KeepAliveProbes, SocketOption};
#[cfg(all(feature = "tokio-runtime", unix))]
pub use tokio_watch::watch_with_tokio;
pub use waker::Waker;
pub use zone::scope_id;
