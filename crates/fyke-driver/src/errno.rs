//! Names of the system's error numbers, as Node prints them.

use std::io;

/// The name of an error, such as `ECONNREFUSED`. Errors without a number, as the simulated network
/// makes them, are named by their kind.
pub fn errno_name(error: &io::Error) -> &'static str {
    error.raw_os_error().and_then(name_of_number).unwrap_or_else(|| name_of_kind(error.kind()))
}

fn name_of_kind(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => "ECONNREFUSED",
        io::ErrorKind::ConnectionReset => "ECONNRESET",
        io::ErrorKind::ConnectionAborted => "ECONNABORTED",
        io::ErrorKind::HostUnreachable => "EHOSTUNREACH",
        io::ErrorKind::NetworkUnreachable => "ENETUNREACH",
        io::ErrorKind::NotConnected => "ENOTCONN",
        io::ErrorKind::AddrInUse => "EADDRINUSE",
        io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        io::ErrorKind::BrokenPipe => "EPIPE",
        io::ErrorKind::AlreadyExists => "EEXIST",
        io::ErrorKind::NotFound => "ENOENT",
        io::ErrorKind::PermissionDenied => "EACCES",
        io::ErrorKind::InvalidInput => "EINVAL",
        io::ErrorKind::TimedOut => "ETIMEDOUT",
        io::ErrorKind::OutOfMemory => "ENOMEM",
        io::ErrorKind::Unsupported => "ENOTSUP",
        io::ErrorKind::WouldBlock => "EAGAIN",
        io::ErrorKind::Interrupted => "EINTR",
        _ => "UNKNOWN",
    }
}

#[cfg(not(any(unix, windows)))]
fn name_of_number(_: i32) -> Option<&'static str> {
    None
}

/// The names that libuv gives to the codes of Windows, and those of Winsock that it does not know. A broken pipe
/// is the end of the stream (`EOF`).
#[cfg(windows)]
fn name_of_number(number: i32) -> Option<&'static str> {
    use windows_sys::Win32::Foundation::*;
    use windows_sys::Win32::Networking::WinSock::*;

    let name = match number {
        WSAEACCES => "EACCES",
        WSAEADDRINUSE => "EADDRINUSE",
        WSAEADDRNOTAVAIL => "EADDRNOTAVAIL",
        WSAEAFNOSUPPORT => "EAFNOSUPPORT",
        WSAEALREADY => "EALREADY",
        WSAEBADF => "EBADF",
        WSAECONNABORTED => "ECONNABORTED",
        WSAECONNREFUSED => "ECONNREFUSED",
        WSAECONNRESET => "ECONNRESET",
        WSAEDESTADDRREQ => "EDESTADDRREQ",
        WSAEFAULT => "EFAULT",
        WSAEHOSTDOWN => "EHOSTDOWN",
        WSAEHOSTUNREACH => "EHOSTUNREACH",
        WSAEINPROGRESS => "EINPROGRESS",
        WSAEINTR => "ECANCELED",
        WSAEINVAL | WSAEPFNOSUPPORT => "EINVAL",
        WSAEISCONN => "EISCONN",
        WSAEMFILE => "EMFILE",
        WSAEMSGSIZE => "EMSGSIZE",
        WSAENETDOWN => "ENETDOWN",
        WSAENETRESET => "ENETRESET",
        WSAENETUNREACH => "ENETUNREACH",
        WSAENOBUFS => "ENOBUFS",
        WSAENOPROTOOPT => "ENOPROTOOPT",
        WSAENOTCONN => "ENOTCONN",
        WSAENOTSOCK => "ENOTSOCK",
        WSAEOPNOTSUPP => "ENOTSUP",
        WSAEPROTONOSUPPORT => "EPROTONOSUPPORT",
        WSAEPROTOTYPE => "EPROTOTYPE",
        WSAESHUTDOWN => "EPIPE",
        WSAESOCKTNOSUPPORT => "ESOCKTNOSUPPORT",
        WSAETIMEDOUT => "ETIMEDOUT",
        WSAEWOULDBLOCK => "EAGAIN",
        WSAHOST_NOT_FOUND | WSANO_DATA => "ENOENT",
        _ => match number.cast_unsigned() {
            ERROR_META_EXPANSION_TOO_LONG => "E2BIG",
            ERROR_ACCESS_DENIED
            | ERROR_CANT_ACCESS_FILE
            | ERROR_ELEVATION_REQUIRED
            | ERROR_NOACCESS => "EACCES",
            ERROR_ADDRESS_ALREADY_ASSOCIATED => "EADDRINUSE",
            ERROR_INVALID_FLAGS | ERROR_INVALID_HANDLE => "EBADF",
            ERROR_LOCK_VIOLATION | ERROR_PIPE_BUSY | ERROR_SHARING_VIOLATION => "EBUSY",
            ERROR_OPERATION_ABORTED => "ECANCELED",
            ERROR_NO_UNICODE_TRANSLATION => "ECHARSET",
            ERROR_CONNECTION_ABORTED => "ECONNABORTED",
            ERROR_CONNECTION_REFUSED => "ECONNREFUSED",
            ERROR_NETNAME_DELETED => "ECONNRESET",
            ERROR_ALREADY_EXISTS | ERROR_FILE_EXISTS => "EEXIST",
            ERROR_BUFFER_OVERFLOW => "EFAULT",
            ERROR_HOST_UNREACHABLE => "EHOSTUNREACH",
            ERROR_INSUFFICIENT_BUFFER
            | ERROR_INVALID_DATA
            | ERROR_INVALID_PARAMETER
            | ERROR_SYMLINK_NOT_SUPPORTED => "EINVAL",
            ERROR_CRC | ERROR_GEN_FAILURE | ERROR_IO_DEVICE | ERROR_OPEN_FAILED
            | ERROR_DISK_CORRUPT | ERROR_NO_SIGNAL_SENT | ERROR_SIGNAL_REFUSED => "EIO",
            ERROR_INVALID_FUNCTION => "EISDIR",
            ERROR_CANT_RESOLVE_FILENAME => "ELOOP",
            ERROR_TOO_MANY_OPEN_FILES => "EMFILE",
            ERROR_FILENAME_EXCED_RANGE => "ENAMETOOLONG",
            ERROR_NETWORK_UNREACHABLE => "ENETUNREACH",
            ERROR_BAD_PATHNAME
            | ERROR_DIRECTORY
            | ERROR_ENVVAR_NOT_FOUND
            | ERROR_FILE_NOT_FOUND
            | ERROR_INVALID_DRIVE
            | ERROR_INVALID_NAME
            | ERROR_INVALID_REPARSE_DATA
            | ERROR_MOD_NOT_FOUND
            | ERROR_PATH_NOT_FOUND => "ENOENT",
            ERROR_NOT_ENOUGH_MEMORY | ERROR_OUTOFMEMORY => "ENOMEM",
            ERROR_CANNOT_MAKE | ERROR_DISK_FULL | ERROR_HANDLE_DISK_FULL => "ENOSPC",
            ERROR_NOT_CONNECTED => "ENOTCONN",
            ERROR_DIR_NOT_EMPTY => "ENOTEMPTY",
            ERROR_NOT_SUPPORTED => "ENOTSUP",
            ERROR_BROKEN_PIPE => "EOF",
            ERROR_PRIVILEGE_NOT_HELD => "EPERM",
            ERROR_BAD_PIPE | ERROR_NO_DATA | ERROR_PIPE_NOT_CONNECTED => "EPIPE",
            ERROR_WRITE_PROTECT => "EROFS",
            ERROR_SEM_TIMEOUT => "ETIMEDOUT",
            ERROR_NOT_SAME_DEVICE => "EXDEV",
            _ => return None,
        },
    };
    Some(name)
}

/// The numbers differ between systems but the names do not, so the table uses names.
#[cfg(unix)]
macro_rules! names {
    ($number:expr, $($errno:ident => $name:literal),* $(,)?) => {
        $(if $number == rustix::io::Errno::$errno.raw_os_error() { return Some($name); })*
    };
}

#[cfg(unix)]
fn name_of_number(number: i32) -> Option<&'static str> {
    names!(number,
        CONNRESET => "ECONNRESET", PIPE => "EPIPE", CONNREFUSED => "ECONNREFUSED",
        ADDRINUSE => "EADDRINUSE", ADDRNOTAVAIL => "EADDRNOTAVAIL", TIMEDOUT => "ETIMEDOUT",
        HOSTUNREACH => "EHOSTUNREACH", NETUNREACH => "ENETUNREACH", ACCESS => "EACCES",
        PERM => "EPERM", NOENT => "ENOENT", INVAL => "EINVAL", NOTSOCK => "ENOTSOCK",
        NOTCONN => "ENOTCONN", ISCONN => "EISCONN", ALREADY => "EALREADY",
        INPROGRESS => "EINPROGRESS", CONNABORTED => "ECONNABORTED", CANCELED => "ECANCELED",
        MFILE => "EMFILE", NFILE => "ENFILE", NOBUFS => "ENOBUFS", NOMEM => "ENOMEM",
        BADF => "EBADF", INTR => "EINTR", AGAIN => "EAGAIN", IO => "EIO", FAULT => "EFAULT",
        AFNOSUPPORT => "EAFNOSUPPORT", PROTO => "EPROTO", PROTONOSUPPORT => "EPROTONOSUPPORT",
        PROTOTYPE => "EPROTOTYPE", NOPROTOOPT => "ENOPROTOOPT", OPNOTSUPP => "ENOTSUP",
        DESTADDRREQ => "EDESTADDRREQ", MSGSIZE => "EMSGSIZE", NETDOWN => "ENETDOWN",
        NETRESET => "ENETRESET", HOSTDOWN => "EHOSTDOWN", SHUTDOWN => "ESHUTDOWN",
        EXIST => "EEXIST", ISDIR => "EISDIR", NOTDIR => "ENOTDIR", LOOP => "ELOOP",
        NAMETOOLONG => "ENAMETOOLONG", ROFS => "EROFS", NOSPC => "ENOSPC", NOSYS => "ENOSYS",
        NODEV => "ENODEV", NXIO => "ENXIO", RANGE => "ERANGE", NOTTY => "ENOTTY",
        BUSY => "EBUSY", DQUOT => "EDQUOT", TXTBSY => "ETXTBSY", XDEV => "EXDEV",
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_named_by_number_or_else_by_kind() {
        assert_eq!(errno_name(&io::ErrorKind::ConnectionRefused.into()), "ECONNREFUSED");
        #[cfg(target_os = "linux")]
        assert_eq!(errno_name(&io::Error::from_raw_os_error(98)), "EADDRINUSE");
        assert_eq!(errno_name(&io::Error::other("no number")), "UNKNOWN");
    }

    #[test]
    #[cfg(windows)]
    fn codes_of_windows_have_the_names_of_node() {
        let cases = [
            (10061, "ECONNREFUSED"),  // WSAECONNREFUSED
            (10054, "ECONNRESET"),    // WSAECONNRESET
            (10053, "ECONNABORTED"),  // WSAECONNABORTED
            (10048, "EADDRINUSE"),    // WSAEADDRINUSE
            (10049, "EADDRNOTAVAIL"), // WSAEADDRNOTAVAIL
            (10060, "ETIMEDOUT"),     // WSAETIMEDOUT
            (10058, "EPIPE"),         // WSAESHUTDOWN
            (10035, "EAGAIN"),        // WSAEWOULDBLOCK
            (10013, "EACCES"),        // WSAEACCES
            (11001, "ENOENT"),        // WSAHOST_NOT_FOUND
            (2, "ENOENT"),            // ERROR_FILE_NOT_FOUND
            (5, "EACCES"),            // ERROR_ACCESS_DENIED
            (50, "ENOTSUP"),          // ERROR_NOT_SUPPORTED
            (64, "ECONNRESET"),       // ERROR_NETNAME_DELETED
            (109, "EOF"),             // ERROR_BROKEN_PIPE
            (121, "ETIMEDOUT"),       // ERROR_SEM_TIMEOUT
            (231, "EBUSY"),           // ERROR_PIPE_BUSY
            (232, "EPIPE"),           // ERROR_NO_DATA
            (233, "EPIPE"),           // ERROR_PIPE_NOT_CONNECTED
            (995, "ECANCELED"),       // ERROR_OPERATION_ABORTED
            (1225, "ECONNREFUSED"),   // ERROR_CONNECTION_REFUSED
        ];
        for (code, name) in cases {
            assert_eq!(errno_name(&io::Error::from_raw_os_error(code)), name, "{code}");
        }
        assert_eq!(errno_name(&io::Error::from_raw_os_error(87_654)), "UNKNOWN");
    }
}
