//! Names of sockets that cannot be mistaken for a later one.

slotmap::new_key_type! {
    /// Names one socket of one driver: an index and a generation, so that an id which outlived
    /// its socket never means another one.
    pub struct SocketId;
}
