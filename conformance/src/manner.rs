//! How fyke can play a scenario: in two manners, on several drivers.

use fyke::{DriverKind, EventLoop};

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

/// The drivers that have real sockets here: `FYKE_DRIVER`, if it is set, chooses one.
pub(crate) fn drivers() -> Vec<String> {
    if let Ok(name) = std::env::var("FYKE_DRIVER") {
        return vec![name];
    }
    let uring = EventLoop::builder().driver(DriverKind::Uring).build();
    let mut names = vec![String::from("ready")];
    // It steps back to the other where the system does not allow it.
    names.extend(uring.iter().map(|uring| uring.driver_name().to_owned()).filter(|n| n == "uring"));
    names
}
