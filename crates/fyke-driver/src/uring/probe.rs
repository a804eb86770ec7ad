//! Whether io_uring may be used here, asked once per process.
//!
//! It may be missing (a kernel before 6.1, another system), switched off
//! (`kernel.io_uring_disabled`), forbidden (seccomp, as containers do), or without memory (a limit on
//! locked memory counts on some kernels). All of that is found by doing what a loop does: a ring
//! with our flags, a pool, and a byte through a pair of sockets.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::Uring;
use crate::{Batch, Chunk, Completion};

/// Long enough for any machine: a pair of sockets waits for nobody.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the kernel can that not every kernel can.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abilities {
    /// The length of a multishot receive limits each of its completions (6.17): then the kernel
    /// reads in the same steps as readiness does, which a peer can notice by its window.
    pub(super) capped_receive: bool,
}

/// What can be used here, or why io_uring cannot.
pub(super) fn probed() -> Result<Abilities, &'static str> {
    static PROBED: OnceLock<Result<Abilities, String>> = OnceLock::new();
    let probed = PROBED.get_or_init(|| {
        let best = Abilities { capped_receive: true };
        let older = Abilities { capped_receive: false };
        let found = try_out(best).or_else(|_| try_out(older)).map_err(|error| error.to_string());
        #[cfg(feature = "tracing")]
        if let Err(reason) = &found {
            tracing::info!(target: "fyke", reason, "io_uring cannot be used here: readiness is used");
        }
        found
    });
    probed.as_ref().copied().map_err(String::as_str)
}

fn try_out(abilities: Abilities) -> io::Result<Abilities> {
    let driver = Uring::with_abilities(abilities)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let (near, _) = driver.adopt(near)?;
    let (far, _) = driver.adopt(far)?;
    driver.receive_start(near)?;
    let mut seen = Vec::new();
    driver.turn(Some(Duration::ZERO), &mut |completion| seen.push(format!("{completion:?}")))?;
    driver.send(far, Batch::one(Chunk::Buffer(vec![7])))?;
    let mut received = false;
    driver.turn(Some(PATIENCE), &mut |completion| match completion {
        Completion::Received { socket, bytes } if socket == near => received = bytes == [7],
        other => seen.push(format!("{other:?}")),
    })?;
    if received && seen.is_empty() {
        return Ok(abilities);
    }
    Err(io::Error::other(format!("it does not receive as expected: {seen:?}")))
}
