//! Socket drivers for [fyke](https://docs.rs/fyke): the crate that makes all system calls
//! on sockets, and the only one with unsafe code. It is a separate crate so that this border can be
//! checked; use `fyke` itself. It does not resolve host names: `fyke` does, with the system's
//! `getaddrinfo`, on its own threads.
//!
//! # What a backend owes
//!
//! A backend turns *operations* into *completions*. An operation is a call on [`Driver`] that
//! returns at once; a completion is passed to the callback of [`Driver::turn`], and only there.
//! io_uring and IOCP work like this by nature; with readiness (epoll, kqueue) the driver makes the
//! system call when the kernel reports that it may succeed.
//!
//! | operation | completions | remarks |
//! |---|---|---|
//! | [`open`](Driver::open) | none, the answer is the return value | creates a socket, sets options, binds it |
//! | [`listen`](Driver::listen) | none | |
//! | [`accept_start`](Driver::accept_start) … [`accept_stop`](Driver::accept_stop) | [`Accepted`](Completion::Accepted), any number; [`Shed`](Completion::Shed); `Failed` at most once | stays on until stopped, closed or failed |
//! | [`connect`](Driver::connect) | [`Connected`](Completion::Connected) or [`Failed`](Completion::Failed) | never completes inside the call |
//! | [`receive_start`](Driver::receive_start) … [`receive_stop`](Driver::receive_stop) | [`Received`](Completion::Received), any number; then [`EndOfStream`](Completion::EndOfStream) or `Failed` | stays on until stopped |
//! | [`readable_start`](Driver::readable_start) … [`receive_stop`](Driver::receive_stop) | [`Readable`](Completion::Readable), once | replaces `receive_start`, which replaces it |
//! | [`read_into`](Driver::read_into), [`read_append`](Driver::read_append), [`peek_into`](Driver::peek_into) | none, the answer is the return value | into memory of the caller |
//! | [`send`](Driver::send) | [`Sent`](Completion::Sent), until all of the batch is sent, or `Failed` | what the kernel took inside the call is the return value instead |
//! | [`send_at_once`](Driver::send_at_once), [`send_vectored_at_once`](Driver::send_vectored_at_once) | none, the answer is the return value | what the kernel does not take stays with the caller |
//! | [`writable_start`](Driver::writable_start) | [`Writable`](Completion::Writable), once | only with nothing in flight; a `send` that follows replaces it |
//! | [`shutdown`](Driver::shutdown) | [`ShutDown`](Completion::ShutDown) or `Failed` | never completes inside the call; only with nothing in flight |
//! | `adopt`, `detach`, `duplicate` | none | descriptors that come from outside, or go there |
//! | [`close`](Driver::close) | none: from here on the id is dead | |
//! | [`Waker::wake`] | [`Woken`](Completion::Woken) | from any thread; several wakes may become one |
//!
//! The rules:
//!
//! 1. **Ids.** Every socket has a [`SocketId`] with a generation. A call with a dead id is
//!    harmless. No completion is ever given for a dead id, even if the id died inside the callback of
//!    an earlier completion of the same turn.
//! 2. **Re-entry.** The callback of `turn` may call every operation, on every socket. It may not
//!    call `turn`, which then fails.
//! 3. **Lent bytes.** The bytes of `Received` are valid during the callback only. A socket that is
//!    idle holds no buffer: readiness has one read buffer for all sockets, a ring has a pool.
//! 4. **Kernel memory.** Memory that the kernel may touch, and the descriptor that it is used
//!    with, belong to the driver from the operation until the kernel is done with them: also if
//!    the socket is closed, the driver is dropped, or the callback panics. That is why `send`
//!    takes its [`Batch`] by value.
//!    Memory that is passed to `read_into` is filled inside the call, and never touched after it.
//! 5. **One batch.** At most one batch is in flight per socket.
//! 6. **Fairness.** A socket gets a bounded number of reads, and a listener a bounded number of
//!    accepts, per turn ([`limits`]). What is left over is done in the next turn, which does not
//!    wait. A caller of `read_into` has its own budget, and asks for `Readable` when it is used up.
//! 7. **Nothing lost.** Bytes that were received before `receive_stop` was called are delivered
//!    after the next `receive_start`, also if the peer has ended or reset the connection meanwhile. However
//!    `receive_start` and `read_into` take turns, the bytes come in order. `Readable` and `Writable` are also
//!    given if what they report was there before they were asked for.
//! 8. **Out of descriptors.** If `accept` fails because descriptors or memory are exhausted, the loop
//!    does not spin, and the listener does not stall: waiting connections are accepted and closed with a
//!    spare descriptor and counted in [`Completion::Shed`]. If that is not possible either, the listener is
//!    tried again after [`limits::ACCEPT_RETRY_DELAY`]. A permanent error, such as EINVAL of
//!    a listener that was shut down, ends accepting: `Failed`, once. No error makes a loop spin.
//! 9. **Panics.** A panic of the callback passes through `turn`. The driver stays usable, and
//!    completions that were not given yet are given in the next turn or belong to closed sockets.
//! 10. **No signals.** Sending to a closed peer is an error (EPIPE), never SIGPIPE. A pipe that was
//!     adopted is the exception: there the process must ignore the signal, as Rust programs do.
//! 11. **Time.** [`Driver::now`] is the only clock. The simulated network advances it.
//!
//! Backends: [`ready`](DriverKind::Ready) (mio: epoll, kqueue), [`uring`](DriverKind::Uring)
//! (io_uring) and [`sim`] (in memory, seeded, virtual clock). Each implements the trait in `backend.rs`;
//! which of them runs is decided in `driver.rs`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
// A library must not panic in its user's process. Where a value cannot be absent, `expect` tells why.
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
#[cfg(unix)]
mod reading;
#[cfg(unix)]
mod ready;
pub mod sim;
#[cfg(unix)]
mod system;
#[cfg(unix)]
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
