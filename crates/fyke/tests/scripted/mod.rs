//! Plays scripts on sockets: any sequence of calls may only cause what the model of
//! [`lives`](crate::lives) allows. Random scripts are played by `tests/model.rs` and
//! `tests/model_memory.rs`, and those of the fuzzer by `fuzz/fuzz_targets/socket.rs`.

mod performing;
mod player;
mod witness;

pub(crate) use player::{Setting, play};
