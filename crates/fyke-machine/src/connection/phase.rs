//! The phases of a connection.

/// The phases of a connection, with these transitions:
///
/// | from | to | by |
/// |---|---|---|
/// | `Fresh`, `Closed` | `Connecting` | connect |
/// | `Fresh` | `Open` | accepted, or a descriptor from outside |
/// | `Connecting` | `Open` | an attempt has won |
/// | `Connecting` | `Failing` and back | the only attempt has failed, and its listeners are running; `Destroyed` follows |
/// | `Failing`, `Open` | `Reopening` | connect again (policy `tries_to_connect_again`) |
/// | `Reopening`, `Connecting` | `Open` | the system accepted the second connect, or refused it |
/// | any but `Destroyed` and `Closed` | `Destroyed` | destroy |
/// | `Destroyed` | `Connecting` | connect (policy `connects_before_close`) |
/// | `Destroyed` | `Closed` | `close` is emitted |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Never connected.
    Fresh,
    /// A connect is in progress.
    Connecting,
    /// Temporarily neither connecting nor destroyed (BEHAVIOUR 0.5).
    Failing,
    /// Connected.
    Open,
    /// Connected, and connecting again.
    Reopening,
    /// Destroyed. `close` is still to be emitted.
    Destroyed,
    /// `close` was emitted. The socket may connect again.
    Closed,
}
