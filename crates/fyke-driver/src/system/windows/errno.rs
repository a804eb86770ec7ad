//! Error codes of Windows.

use std::fmt;
use std::io;

use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::Networking::WinSock as winsock;

/// An error code of Winsock or of another part of the system; they have one numbering.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(i32);

impl Errno {
    pub(crate) const AGAIN: Self = Self(winsock::WSAEWOULDBLOCK);
    /// A socket that connects does not return this, see [`connect`](super::connect).
    pub(crate) const INPROGRESS: Self = Self(winsock::WSAEINPROGRESS);
    pub(crate) const INVAL: Self = Self(winsock::WSAEINVAL);
    pub(crate) const NOTSOCK: Self = Self(winsock::WSAENOTSOCK);
    pub(crate) const NOTCONN: Self = Self(winsock::WSAENOTCONN);
    pub(crate) const ACCESS: Self = Self(winsock::WSAEACCES);
    pub(crate) const ADDRINUSE: Self = Self(winsock::WSAEADDRINUSE);
    pub(crate) const SHUTDOWN: Self = Self(winsock::WSAESHUTDOWN);
    pub(crate) const PIPE: Self = Self(codes::ERROR_NO_DATA as i32);
    pub(crate) const CONNRESET: Self = Self(winsock::WSAECONNRESET);
    /// `ERROR_NOT_SUPPORTED` and not `WSAEOPNOTSUPP`, as libuv returns it (ENOTSUP).
    pub(crate) const OPNOTSUPP: Self = Self(codes::ERROR_NOT_SUPPORTED as i32);

    pub(super) const fn code(self) -> u32 {
        self.0.cast_unsigned()
    }

    /// The error of the call that failed last on this thread.
    pub(super) fn last() -> Self {
        io::Error::last_os_error().into()
    }
}

impl From<u32> for Errno {
    fn from(code: u32) -> Self {
        Self(code.cast_signed())
    }
}

/// mio and the standard library return some errors without a code.
impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        match (error.raw_os_error(), error.kind()) {
            (Some(code), _) => Self(code),
            (None, io::ErrorKind::WouldBlock) => Self::AGAIN,
            (None, io::ErrorKind::NotFound) => Self::NOTCONN,
            _ => Self::INVAL,
        }
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from(*self))
    }
}
