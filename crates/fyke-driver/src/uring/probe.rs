//! Probes whether io_uring can be used, once per process.
//!
//! io_uring may be missing (Linux before 6.1, another system), switched off (`kernel.io_uring_disabled`)
//! or forbidden (seccomp, as containers do), or memory may be exhausted (some kernels count a ring
//! against the limit on locked memory). The probe finds all of this by doing what a loop does: it makes a
//! ring with the driver's flags and a pool, and sends a byte through a pair of sockets.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::Uring;
use super::buffers::Buffers;
use super::ring::Ring;
use crate::backend::Backend;
use crate::{Batch, Chunk, Completion, Moment};

/// Long enough for any machine: a pair of sockets delivers at once.
const PATIENCE: Duration = Duration::from_secs(1);

impl Uring {
    /// # Errors
    /// Fails if the system refuses io_uring, or if descriptors or memory are exhausted.
    pub(crate) fn new() -> io::Result<Self> {
        Self::with(probed()?)
    }

    fn with(capped_receive: bool) -> io::Result<Self> {
        let ring = Ring::new()?;
        let buffers = Buffers::new(&ring)?;
        Self::from_parts(ring, buffers, capped_receive)
    }
}

/// Returns whether the kernel caps the completions of a receive (see [`Uring::capped_receive`]). Fails
/// with the reason why io_uring cannot be used.
///
/// A failure because descriptors or memory are exhausted is not cached: the next loop probes again.
pub(super) fn probed() -> io::Result<bool> {
    static PROBED: OnceLock<Result<bool, String>> = OnceLock::new();
    if let Some(known) = PROBED.get() {
        return known.clone().map_err(io::Error::other);
    }
    // Try the capped receive first. A lack of descriptors does not show whether a kernel supports it.
    let found = match try_out(true) {
        Err(error) if !is_lack(&error) => try_out(false),
        found => found,
    };
    if let Err(error) = &found {
        // Nothing is locked here, because the subscriber may create a loop itself.
        #[cfg(feature = "tracing")]
        tracing::info!(target: "fyke", reason = %error, "io_uring is not available: the readiness driver is used");
        if is_lack(error) {
            return found;
        }
    }
    // Another thread may have stored the same result first.
    let _ = PROBED.set(found.as_ref().copied().map_err(ToString::to_string));
    found
}

/// Whether an error means that descriptors or memory are exhausted at the moment.
fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

fn try_out(capped_receive: bool) -> io::Result<bool> {
    let driver = Uring::with(capped_receive)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let (near, _) = driver.adopt(near)?;
    let (far, _) = driver.adopt(far)?;
    driver.receive_start(near)?;
    let mut seen = Vec::new();
    driver.turn(Some(Moment::ZERO), &mut |completion| seen.push(format!("{completion:?}")))?;
    driver.send(far, Batch::one(Chunk::Buffer(vec![7])))?;
    let mut received = false;
    driver.turn(Some(driver.now() + PATIENCE), &mut |completion| match completion {
        Completion::Received { socket, bytes } if socket == near => received = bytes == [7],
        other => seen.push(format!("{other:?}")),
    })?;
    if received && seen.is_empty() {
        return Ok(capped_receive);
    }
    Err(io::Error::other(format!("the test receive did not complete as expected: {seen:?}")))
}
