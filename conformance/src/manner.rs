//! The two manners in which fyke can play a scenario.

/// How the loop is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As Node to the last event: `EventLoop::builder().node_exact(true)`.
    Node,
    /// As fyke by default; `adapted/` has the traces that differ.
    Default,
}

impl Manner {
    /// The argument that asks for the second.
    pub(crate) const OPTION: &str = "--default";

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Node => "as Node",
            Self::Default => "by default",
        }
    }
}
