//! How fyke can play a scenario: in two modes, on several drivers.

use fyke::{DriverKind, EventLoop};

/// How the loop is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Exactly as Node: `EventLoop::builder().node_exact(true)`.
    Node,
    /// fyke's defaults; `adapted/` has the traces that differ.
    Default,
}

impl Mode {
    /// The argument that selects the second.
    pub(crate) const OPTION: &str = "--default";

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Node => "as Node",
            Self::Default => "by default",
        }
    }
}

/// The drivers with real sockets: `FYKE_DRIVER`, if it is set, selects one.
pub(crate) fn drivers() -> Vec<String> {
    if let Ok(name) = std::env::var("FYKE_DRIVER") {
        return vec![name];
    }
    let uring = EventLoop::builder().driver(DriverKind::Uring).build();
    let mut names = vec![String::from("ready")];
    // It falls back to readiness where the system does not allow io_uring.
    names.extend(uring.iter().map(|uring| uring.driver_name().to_owned()).filter(|n| n == "uring"));
    names
}
