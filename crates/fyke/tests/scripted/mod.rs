//! Plays scripts on sockets: whatever is called, and whenever, what happens must be what the model of
//! [`lives`](crate::lives) allows. With random scripts in `tests/model.rs` and `tests/model_memory.rs`, and
//! with those of the fuzzer in `fuzz/fuzz_targets/socket.rs`.

mod performing;
mod player;
mod witness;

pub(crate) use player::{Setting, play};
