#![doc = include_str!("../README.md")]
//!
//! # How it is used
//!
//! A program with its own event loop holds a [`Connection`](connection::Connection) for each stream. Its
//! shell around the connection does the following:
//!
//! 1. It calls a transition for each event: [`connect`](connection::Connection::connect),
//!    [`connected`](connection::Connection::connected), [`write`](connection::Connection::write),
//!    [`end`](connection::Connection::end), [`receive`](connection::Connection::receive),
//!    [`sent`](connection::Connection::sent) and others.
//! 2. It performs the [`Effect`](connection::Effect)s that the transition pushed, in order, while nothing
//!    of the machine is borrowed: listeners and callbacks may call the machine again.
//! 3. For [`Effect::Then`](connection::Effect::Then) it calls the machine to continue, and performs the
//!    resulting effects before the rest of the list.
//! 4. It stores [deferred](connection::Effect::Defer) steps in queues, and calls the machine again when
//!    they are due.
//! 5. After each transition it checks whether the machine [holds](connection::Connection::holds) the loop,
//!    and when it must [wake](connection::Connection::wake) the machine.
//!
//! A [`Machine`] is a connection whose frequent steps need no effects: bytes received for a listener, small
//! writes, and the completion of these writes. It uses such a *plain lane* automatically where the result
//! is the same.
//!
//! The table at [`Phase`](connection::Phase) lists the phases of a connection and the transitions between
//! them. An [`Acceptor`](acceptor::Acceptor) decides which connections a server accepts, and when its
//! `close` is due. [`Policy`] has a field for each place where fyke's default differs from Node.
//!
//! An example: two connected machines, with a shell of about a hundred lines:
//!
#![doc = concat!("```no_run\n", include_str!("../examples/two_machines.rs"), "```")]
#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod acceptor;
pub mod connection;
pub mod error;
pub mod idle;
mod machine;
mod payload;
pub mod planner;
pub mod policy;
pub mod reading;
pub mod transitions;
pub mod writing;

pub use error::{Error, ErrorCode, Result};
pub use fyke_driver::Moment;
pub use machine::{Change, Lane, Lanes, Machine, PlainWrite};
pub use payload::Payload;
pub use policy::Policy;
