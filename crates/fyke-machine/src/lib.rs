#![doc = include_str!("../README.md")]
//!
//! # How it is used
//!
//! A program with an event loop of its own holds a [`Connection`](connection::Connection) for each stream, and
//! a shell around it that
//!
//! 1. calls a transition for whatever happens: [`connect`](connection::Connection::connect),
//!    [`connected`](connection::Connection::connected), [`write`](connection::Connection::write),
//!    [`end`](connection::Connection::end), [`receive`](connection::Connection::receive),
//!    [`sent`](connection::Connection::sent) …;
//! 2. does the [`Effect`](connection::Effect)s that it pushed, in order, with nothing of the machine borrowed:
//!    listeners and callbacks may call the machine again;
//! 3. for [`Effect::Then`](connection::Effect::Then) asks the machine to go on, and does what follows from
//!    that before the rest of the list;
//! 4. keeps what is [deferred](connection::Effect::Defer) in queues, and asks again when their time has come;
//! 5. looks after each transition at what the machine wants: whether it [holds](connection::Connection::holds)
//!    the loop, and when to [wake](connection::Connection::wake) it.
//!
//! The phases of a connection, and what leads from one to another, are a table at
//! [`Phase`](connection::Phase). What a server takes, and when its `close` is due, is an
//! [`Acceptor`](acceptor::Acceptor). Where fyke does otherwise than Node, [`Policy`] has a field.
//!
//! Two machines that are joined, with a shell of a hundred lines:
//!
#![doc = concat!("```no_run\n", include_str!("../examples/two_machines.rs"), "```")]
#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod acceptor;
pub mod connection;
pub mod error;
pub mod idle;
mod payload;
pub mod planner;
pub mod policy;
pub mod reading;
pub mod transitions;
pub mod writing;

pub use error::{Error, ErrorCode, Result};
pub use fyke_driver::Moment;
pub use payload::Payload;
pub use policy::Policy;
