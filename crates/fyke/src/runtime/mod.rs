//! The internals of the loop: turns, deferred work, timers, and the dispatch of events to the owners of
//! sockets.
//!
//! The runtime calls sockets and servers only through the trait [`Actor`]. Actors defer values of the type
//! `T`, which `wiring.rs` chooses.

mod actor;
mod actors;
mod budget;
mod clock;
mod core;
mod deadlines;
mod idle_list;
mod made;
mod posted;
mod remotes;
mod spawn;
mod tasks;
mod timers;
mod turn;
mod watch;
mod work;

pub(crate) use self::core::{Core, Deferred};
pub(crate) use actor::{Actor, Wired};
pub(crate) use posted::Posted;
pub(crate) use remotes::Remote;
pub(crate) use spawn::Outcome;
pub(crate) use tasks::TaskKey;
pub(crate) use timers::{TimerCallback, TimerId};
pub(crate) use turn::{finish, run, turn};
