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

#[cfg(not(unix))]
fn name_of_number(_: i32) -> Option<&'static str> {
    None
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
}
