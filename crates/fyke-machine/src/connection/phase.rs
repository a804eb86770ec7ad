//! Where a connection is in its life.

/// The phases. What leads from one to another:
///
/// | from | to | by |
/// |---|---|---|
/// | `Fresh`, `Closed` | `Connecting` | connect |
/// | `Fresh` | `Open` | accepted, or a descriptor from outside |
/// | `Connecting` | `Open` | an attempt has won |
/// | `Connecting` | `Failing` and back | the only attempt has failed, and its listeners run; `Destroyed` follows |
/// | `Failing`, `Open` | `Reopening` | connect again (policy `tries_to_connect_again`) |
/// | `Reopening`, `Connecting` | `Open` | the system took the second connect, or refused it |
/// | any but `Destroyed` and `Closed` | `Destroyed` | destroy |
/// | `Destroyed` | `Connecting` | connect (policy `connects_before_close`) |
/// | `Destroyed` | `Closed` | `close` is emitted |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Never connected.
    Fresh,
    /// A connect is under way.
    Connecting,
    /// For a moment neither connecting nor destroyed (BEHAVIOUR 0.5).
    Failing,
    /// Connected.
    Open,
    /// Connected, and connecting again.
    Reopening,
    /// Destroyed; `close` is still to come.
    Destroyed,
    /// `close` was emitted. May connect again.
    Closed,
}
