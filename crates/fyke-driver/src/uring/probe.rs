//! Whether io_uring may be used here, asked once per process.
//!
//! It may be missing (a kernel before 6.1, another system), switched off
//! (`kernel.io_uring_disabled`), forbidden (seccomp, as containers do), or without memory (a limit on
//! locked memory counts on some kernels). All of that is found by doing what a loop does: a ring
//! with our flags, a pool, and a byte through a pair of sockets.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
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
///
/// A failure for a lack of descriptors or memory is not kept: the next loop asks again.
pub(super) fn probed() -> io::Result<Abilities> {
    static PROBED: OnceLock<Result<Abilities, String>> = OnceLock::new();
    if let Some(known) = PROBED.get() {
        return known.clone().map_err(io::Error::other);
    }
    let found = try_all();
    if let Err(error) = &found {
        // Nothing is locked here: the subscriber may make a loop itself.
        #[cfg(feature = "tracing")]
        tracing::info!(target: "fyke", reason = %error, "io_uring cannot be used here: readiness is used");
        if is_lack(error) {
            return found;
        }
    }
    // Another thread may have been faster, with the same answer.
    let _ = PROBED.set(found.as_ref().copied().map_err(ToString::to_string));
    found
}

/// The best that works. A lack of descriptors says nothing about what would work.
fn try_all() -> io::Result<Abilities> {
    match try_out(Abilities { capped_receive: true }) {
        Err(error) if !is_lack(&error) => try_out(Abilities { capped_receive: false }),
        found => found,
    }
}

/// Whether an error says that the process or the machine lacks something at the moment.
fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
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
