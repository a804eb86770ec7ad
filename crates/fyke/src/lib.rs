//! Node.js's `net` module as a Rust library: event-driven TCP and Unix-socket servers and clients, with
//! Node's events, half-close, backpressure and timeouts, on its own event loop, with callbacks or `async`.
//!
//! # What fyke is for
//!
//! - You know Node's `net`, or you port a program that uses it, and want the same events in the same order.
//! - You write a server, client, proxy or test tool on TCP or Unix sockets, and one thread, or one loop per
//!   core, is enough.
//! - You write `async` code for one thread, without `Send`, and want to choose the driver when the program runs:
//!   readiness, io_uring, or the simulated network. hyper, tungstenite, rustls and other crates run on fyke's
//!   sockets: see [Async](guide::async_await).
//! - You already have a loop, for example of a game, an interpreter or a GUI, and want sockets in it.
//! - You want to test network code without ports and without waiting: [`sim`] is a simulated network in
//!   memory with its own clock.
//!
//! # What fyke is not for
//!
//! - UDP. TLS comes from [fyke-tls](https://docs.rs/fyke-tls), HTTP from other crates, such as hyper.
//! - Spreading one loop's connections over a pool of threads: tokio does that.
//! - Systems that must be proven: Linux is tested, Windows only under Wine; macOS and the BSDs are compiled but have
//!   not been run, see [PLATFORM.md](https://github.com/fyke-rs/fyke/blob/main/docs/PLATFORM.md).
//!
//! # A server
//!
//! ```no_run
//! fn main() -> fyke::Result<()> {
//!     fyke::run(|| {
//!         let server = fyke::create_server(|socket| {
//!             socket.on_text(|_, text| println!("client sent: {text}"));
//!             let _ = socket.write("hello client");
//!         });
//!         server.listen_then(("127.0.0.1", 8888), |server| {
//!             println!("listening on {}", server.address().unwrap());
//!         })
//!     })
//! }
//! ```
//!
//! # A client
//!
//! ```no_run
//! fn main() -> fyke::Result<()> {
//!     fyke::run(|| {
//!         let client = fyke::connect_then(("127.0.0.1", 8888), |client| {
//!             let _ = client.write("hello server!");
//!         })?;
//!         client.on_data(|client, data| {
//!             println!("server sent: {}", String::from_utf8_lossy(data));
//!             client.end();
//!         });
//!         client.on_end(|_| println!("disconnected from server"));
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # The rules in short
//!
//! - [`run`] makes a loop on this thread, calls the closure, and returns when nothing is left to wait for: no
//!   listening server, open socket or timer. [`EventLoop`] is for programs that drive the loop themselves.
//! - Handles are cheap clones of one object. Dropping a handle closes nothing.
//! - Callbacks run on the loop's thread, one at a time, and never inside a call that you make. They
//!   can therefore share state in an `Rc<RefCell<…>>` and call any function of fyke.
//! - [`Socket::write`] never blocks. If it returns false, continue in [`Socket::on_drain`].
//! - Misuse returns an `Err` at once. Network failures are reported to [`Socket::on_error`]. A
//!   failed connection ends only itself.
//! - Other threads send work to a loop ([`LoopHandle`]), a socket ([`SocketRef`]) or a server
//!   ([`ServerRef`]). fyke starts no threads, except up to four DNS workers per loop on the first
//!   host-name lookup.
//! - Methods whose name ends in `_then` take one more argument: a callback that is called once.
//!
//! # Where to go next
//!
//! | if you want to | read |
//! |---|---|
//! | write a first program | [Echo to chat in ten minutes](guide::echo_to_chat) |
//! | use `.await`, hyper or tokio | [Async](guide::async_await) |
//! | know what `end`, `close` and `destroy` mean | [Half-close](guide::half_close) |
//! | send large amounts of data, or to slow peers | [Backpressure](guide::backpressure) |
//! | serve untrusted clients | [Timeouts and limits](guide::limits) |
//! | stop a server without losing responses | [Graceful shutdown](guide::graceful_shutdown) |
//! | handle errors and retry | [Errors](guide::errors) |
//! | serve local clients | [Unix sockets and permissions](guide::unix_sockets) |
//! | test your program | [The simulated network](guide::simulated_network) |
//! | run fyke in your own loop | [Embedding in a host's loop](guide::host_loop) |
//! | encrypt connections | the crate [`fyke-tls`](https://docs.rs/fyke-tls), which is a [`Layer`] |
//! | use threads or several cores | [Other threads](guide::other_threads) |
//! | build on what you know | [Coming from Node](guide::from_node), [Coming from tokio](guide::from_tokio) |
//!
//! The search of this documentation also finds Node's names, such as `createServer` or `writableLength`.
//! [crates/fyke/examples](https://github.com/fyke-rs/fyke/tree/main/crates/fyke/examples) contains small
//! complete programs.
//!
//! # Features
//!
//! | feature | default | what it adds | dependencies |
//! |---|---|---|---|
//! | `tracing` | yes | log events through `tracing`: at WARN (target `fyke`) connection errors without a listener, connections refused because descriptors ran out, listeners that are added again and again, tasks that do not wait for 100 milliseconds, and tasks and timers of hyper outside of a loop; at TRACE (target `fyke::step`) each step that opens, connects or closes something | `tracing` |
//! | `futures` | no | the traits of `futures-io` for [`SocketStream`] and its halves; `chunks`, [`Incoming`] and [`timer::Interval`] are `Stream`s | `futures-core`, `futures-io` |
//! | `hyper` | no | `hyper::rt::Read` and `Write` for [`SocketStream`]; the module `rt` with an executor and a timer | `hyper`, without its features |
//! | `tokio` | no | the traits of tokio for [`SocketStream`] and its halves, without its runtime | `tokio`, without its features |
//! | `tokio-runtime` | no | `EventLoop::drive`, which runs a loop as a task of tokio; streams take part in tokio's cooperative budget | `tokio` with its runtime |
//! | `serde` | no | `Serialize` and `Deserialize` for [`BlockList`] and [`SocketAddress`]; `BlockList::to_json` and `add_json` | `serde`, `serde_json` |
//!
//! Without `tracing`, an error without a listener is not reported, except where [`run`] returns it.
//! Features are additive: enabling one in one crate does not change the behaviour of another.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
// A library must not take its user's process down, so it does not unwrap. Where a value cannot be
// absent, `expect` says why.
#![warn(clippy::unwrap_used)]

mod abort;
mod address;
mod answer;
mod bound_socket;
mod connect;
mod endpoint;
mod event_loop;
mod few;
pub mod guide;
#[cfg(unix)]
mod inherited;
mod listeners;
mod lookup;
#[cfg(feature = "hyper")]
pub mod rt;
mod runtime;
mod server;
mod socket;
mod socket_options;
mod stream;
#[cfg(unix)]
pub mod systemd;
pub mod task;
mod text;
pub mod timer;
#[cfg(all(feature = "tokio-runtime", unix))]
mod tokio_runtime;
mod wiring;
mod wishes;

pub use abort::{AbortController, AbortSignal};
pub use address::{BlockList, SocketAddress, ToIpAddr, is_ip, is_ipv4, is_ipv6};
pub use bound_socket::{BindOptions, BoundSocket, NotAdopted};
pub use bytes::Bytes;
pub use connect::{ConnectOptions, FamilySelection, LookupReply, LookupRequest, family_selection};
pub use endpoint::Endpoint;
pub use event_loop::{EventLoop, EventLoopBuilder, KeepAlive, LoopHandle, run};
pub use fyke_driver::{
    Address, DriverKind, Family, KeepAliveProbes, PeerCredentials, return_unused_memory, sim,
};
pub use fyke_machine::{Error, ErrorCode, Payload, Result};
#[cfg(unix)]
pub use inherited::inherited_fd;
pub use listeners::ListenerId;
pub use lookup::LookupHints;
pub use server::{
    Incoming, ListenOptions, RefusedConnection, Server, ServerOptions, ServerRef, ShutdownOutcome,
    StaleFile, create_server,
};
pub use socket::{
    Layer, LayerOutput, LayerStep, LookupEvent, ReadyState, Socket, SocketRef, connect,
    connect_then, pipeline,
};
pub use socket_options::SocketOptions;
pub use stream::{ReadHalf, SocketStream, WriteHalf};
pub use task::{block_on, spawn_local};
pub use text::{Decoder, Encoding};

// The documents compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[expect(dead_code, reason = "carries the examples of a document")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/LOOP.md")]
#[expect(dead_code, reason = "carries the examples of a document")]
struct LoopDocument;
