#![doc = include_str!("../README.md")]
//!
//! # Features
//!
//! | feature | default | what it adds | dependencies |
//! |---|---|---|---|
//! | `tracing` | yes | log events by `tracing`, at WARN (target `fyke`) an error of a connection that has no listener, connections refused because descriptors ran out, and listeners that are added again and again; at TRACE (target `fyke::step`) each step that opens, connects or closes something | `tracing` |
//! | `serde` | no | `Serialize` and `Deserialize` for [`BlockList`] and [`SocketAddress`]; `BlockList::to_json` and `add_json` | `serde`, `serde_json` |
//!
//! Without `tracing` an error that has no listener leaves no trace, except where [`run`] returns it. Features
//! only add: one crate's choice changes nothing for another.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
// A library that must not take its user's process down has no business unwrapping; where a value
// cannot be absent, `expect` says why.
#![warn(clippy::unwrap_used)]

mod abort;
mod address;
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
mod runtime;
mod server;
mod socket;
mod socket_options;
#[cfg(unix)]
pub mod systemd;
mod text;
pub mod timer;
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
    ListenOptions, RefusedConnection, Server, ServerOptions, ServerRef, ShutdownOutcome, StaleFile,
    create_server,
};
pub use socket::{LookupEvent, ReadyState, Socket, SocketRef, connect, connect_then, pipeline};
pub use socket_options::SocketOptions;
pub use text::{Decoder, Encoding};

// The documents compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/LOOP.md")]
#[expect(dead_code, reason = "carries the examples of a document")]
struct LoopDocument;
