//! The standard streams. They are shared with other processes: each may be blocked, closed, or
//! switched between blocking and non-blocking at any time (`O_NONBLOCK` is a flag of the shared
//! open file). fyke never sets that flag and does not depend on it.

mod queue;
mod writer;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

pub(crate) use writer::{Patience, Writer, flush};

/// A stream that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Errors,
}

impl Stream {
    /// Writes all bytes, and waits without a time limit.
    pub(crate) fn write_all(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Output => write_all(io::stdout().as_fd(), bytes, |_| {}),
            Self::Errors => write_all(io::stderr().as_fd(), bytes, |_| {}),
        }
    }

    /// Writes as many bytes as possible without waiting, whatever the flags of the stream. Returns
    /// 0 if the system does not support that for this kind of file, or if the write fails.
    #[cfg(target_os = "linux")]
    fn write_now(self, bytes: &[u8]) -> usize {
        use rustix::io::{IoSlice, ReadWriteFlags, pwritev2};

        // Like write(2), this writes at the current position.
        let (slices, position) = ([IoSlice::new(bytes)], u64::MAX);
        let written = match self {
            Self::Output => pwritev2(io::stdout(), &slices, position, ReadWriteFlags::NOWAIT),
            Self::Errors => pwritev2(io::stderr(), &slices, position, ReadWriteFlags::NOWAIT),
        };
        written.unwrap_or_default()
    }

    #[cfg(not(target_os = "linux"))]
    fn write_now(self, _: &[u8]) -> usize {
        0
    }

    /// Writes the bytes and calls `progress` with the number of bytes after each successful write.
    fn write_all_and_count(self, bytes: &[u8], progress: impl FnMut(usize)) -> io::Result<()> {
        match self {
            Self::Output => write_all(io::stdout().as_fd(), bytes, progress),
            Self::Errors => write_all(io::stderr().as_fd(), bytes, progress),
        }
    }

    /// Returns the width of the terminal, or `None` if the stream is not a terminal.
    pub(crate) fn columns(self) -> Option<usize> {
        let size = match self {
            Self::Output => rustix::termios::tcgetwinsize(io::stdout()),
            Self::Errors => rustix::termios::tcgetwinsize(io::stderr()),
        };
        // A terminal may not know its size.
        size.ok().map(|size| if size.ws_col == 0 { 80 } else { usize::from(size.ws_col) })
    }
}

/// Returns whether both descriptors refer to the same file, pipe, terminal or socket.
pub(crate) fn is_same_file(one: impl AsFd, other: impl AsFd) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// Waits until the descriptor is readable or writable.
pub(crate) fn wait_for(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    loop {
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None) {
            Err(Errno::INTR) => {}
            done => return done.map(drop).map_err(Into::into),
        }
    }
}

/// Limits the rate of a loop in which poll(2) reports a descriptor as ready and the operation then
/// fails with EAGAIN, because another process was faster or the device does not support poll(2).
#[derive(Default)]
pub(crate) struct Retries(u32);

impl Retries {
    const AT_ONCE: u32 = 3;
    const PAUSE: Duration = Duration::from_millis(5);

    pub(crate) fn wait(&mut self, fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
        self.0 += 1;
        if self.0 > Self::AT_ONCE {
            thread::sleep(Self::PAUSE);
        }
        wait_for(fd, flags)
    }

    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}

fn write_all(
    fd: BorrowedFd<'_>,
    mut bytes: &[u8],
    mut progress: impl FnMut(usize),
) -> io::Result<()> {
    let mut retries = Retries::default();
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                retries.reset();
                progress(count);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => retries.wait(fd, PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
