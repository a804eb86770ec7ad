//! Identifiers of sockets that never match a later socket.

slotmap::new_key_type! {
    /// Identifies one socket of one driver: an index and a generation, so that an id that outlives its
    /// socket never matches another one.
    pub struct SocketId;
}
