//! Where a socket is in its life.

/// Node's `readyState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadyState {
    /// Connecting.
    Opening,
    /// Both directions are open; also a socket that was never connected.
    Open,
    /// Our side is ended.
    ReadOnly,
    /// The peer has ended its side.
    WriteOnly,
    /// Neither direction is open.
    Closed,
}

/// Where a socket is in its life. `connecting` is beside it: a socket that fails to connect is for
/// a moment neither connecting nor destroyed (BEHAVIOUR 0.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Never connected.
    Fresh,
    /// Connecting or connected.
    Live,
    /// Destroyed; `close` is still to come.
    Destroyed,
    /// `close` was emitted. May connect again (CON-16).
    Closed,
}
