//! The meaning of a failed accept.

use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::Networking::WinSock as winsock;

use super::{Borrowed, Errno};
use crate::system::Failure;

impl Failure {
    /// The table of accept's errors. An error that is not in it is an error of the listener.
    pub(crate) fn of(errno: Errno) -> Self {
        match (errno, errno.code()) {
            (Errno::AGAIN, _) => Self::Drained,
            // The client has vanished before it was accepted.
            (Errno::CONNRESET | Errno::NOTCONN, _)
            | (_, codes::ERROR_NO_DATA | codes::ERROR_BROKEN_PIPE) => Self::Next,
            (_, code) if code == winsock::WSAECONNABORTED.cast_unsigned() => Self::Next,
            (_, code) if code == winsock::WSAENETDOWN.cast_unsigned() => Self::Next,
            (_, code) if code == winsock::WSAEMFILE.cast_unsigned() => Self::Exhausted,
            (_, code) if code == winsock::WSAENOBUFS.cast_unsigned() => Self::Exhausted,
            (
                _,
                codes::ERROR_TOO_MANY_OPEN_FILES
                | codes::ERROR_NOT_ENOUGH_MEMORY
                | codes::ERROR_OUTOFMEMORY
                | codes::ERROR_NO_SYSTEM_RESOURCES,
            ) => Self::Exhausted,
            _ => Self::Dead,
        }
    }
}

/// Windows limits handles by memory only, so no handle is kept in reserve.
pub(crate) struct Spare;

impl Spare {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Nothing can be refused, so the listener is retried.
    pub(crate) fn shed(&self, _: Borrowed<'_>) -> Option<Result<(), Errno>> {
        None
    }
}
