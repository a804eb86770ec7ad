//! The one error type, and its codes.

mod conversions;
#[cfg(test)]
mod tests;
mod words;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use fyke_driver::{Address, errno_name};

/// `Result` with fyke's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: a [code](Self::code) to match on, the system call, the address.
///
/// What Node *throws* is an `Err` at once; what Node *emits* as `error` goes to `on_error`; never
/// both. Cheap to clone, and `Send`.
///
/// The text is one line for people, and not a contract: it may change in any release. The code and
/// the fields are. Text gives an IPv6 address with a port in brackets (`connect ECONNREFUSED
/// [::1]:80`); on loops made with `node_exact` it is Node's text,
/// which has no brackets (`connect ECONNREFUSED ::1:80`).
///
/// ```
/// # extern crate fyke_machine as fyke;
/// use fyke::{Error, ErrorCode};
///
/// fn is_worth_another_try(error: &Error) -> bool {
///     matches!(error.code(), ErrorCode::ECONNREFUSED | ErrorCode::ETIMEDOUT)
/// }
/// # assert!(is_worth_another_try(&Error::new(ErrorCode::ETIMEDOUT, "late")));
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    code: ErrorCode,
    syscall: Option<&'static str>,
    address: Option<Address>,
    local: Option<SocketAddr>,
    host: Option<String>,
    message: Option<String>,
    attempts: Vec<Error>,
    source: Option<io::Error>,
    /// Addresses are written as Node writes them: without brackets.
    worded_as_node: bool,
}

/// What went wrong, as one word: the system's name (`ECONNREFUSED`) or Node's (`ERR_…`).
///
/// ```
/// # extern crate fyke_machine as fyke;
/// use fyke::ErrorCode;
///
/// assert_eq!(ErrorCode::ECONNRESET.as_str(), "ECONNRESET");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(&'static str);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $kind:ident,)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self(stringify!($name));)*

            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the standard library calls it.
            fn kind(self) -> Option<io::ErrorKind> {
                $(if self == Self::$name { return Some(io::ErrorKind::$kind); })*
                kind_of_lookup(self.0)
            }
        }
    };
}

codes! {
    /// An `AbortSignal` was aborted.
    ABORT_ERR => ConnectionAborted,
    /// The operation was cancelled because its socket was destroyed.
    ECANCELED => ConnectionAborted,
    /// Permission denied; also the directory of a Unix socket is missing.
    EACCES => PermissionDenied,
    /// The address is in use.
    EADDRINUSE => AddrInUse,
    /// The address is not one of this machine.
    EADDRNOTAVAIL => AddrNotAvailable,
    /// `connect` on a socket that is connecting.
    EALREADY => ResourceBusy,
    /// There is no such descriptor.
    EBADF => InvalidInput,
    /// The name servers do not answer; later they may.
    EAI_AGAIN => TimedOut,
    /// Nothing listens there.
    ECONNREFUSED => ConnectionRefused,
    /// The peer reset the connection.
    ECONNRESET => ConnectionReset,
    /// There is no way to that host.
    EHOSTUNREACH => HostUnreachable,
    /// An argument that the system does not take: a path too long, or with a NUL byte.
    EINVAL => InvalidInput,
    /// The descriptor belongs to another socket of this loop.
    EEXIST => AlreadyExists,
    /// `connect` on a socket that is connected.
    EISCONN => ResourceBusy,
    /// The process has as many descriptors as it may.
    EMFILE => QuotaExceeded,
    /// There is no way to that network.
    ENETUNREACH => NetworkUnreachable,
    /// There is no such file.
    ENOENT => NotFound,
    /// This system, or the simulated network, cannot do that.
    ENOTSUP => Unsupported,
    /// The host name is not known.
    ENOTFOUND => NotFound,
    /// The other side has ended, or is gone.
    EPIPE => BrokenPipe,
    /// No answer in time.
    ETIMEDOUT => TimedOut,
    /// A text that is no IP address of the family it should be of.
    ERR_INVALID_ADDRESS => InvalidInput,
    /// A value of another type than it should be, in a JSON text.
    ERR_INVALID_ARG_TYPE => InvalidInput,
    /// An argument has a value that makes no sense.
    ERR_INVALID_ARG_VALUE => InvalidInput,
    /// A number outside of its range.
    ERR_OUT_OF_RANGE => InvalidInput,
    /// The descriptor is not what was asked for.
    ERR_INVALID_FD_TYPE => InvalidInput,
    /// The socket is of a kind that cannot do this.
    ERR_INVALID_HANDLE_TYPE => Unsupported,
    /// A lookup gave something that is no IP address.
    ERR_INVALID_IP_ADDRESS => InvalidData,
    /// The address is in the `BlockList`.
    ERR_IP_BLOCKED => PermissionDenied,
    /// A port that is not a number from 0 to 65535.
    ERR_SOCKET_BAD_PORT => InvalidInput,
    /// There is no connection.
    ERR_SOCKET_CLOSED => NotConnected,
    /// The socket was closed before the connection was established.
    ERR_SOCKET_CLOSED_BEFORE_CONNECTION => ConnectionAborted,
    /// The server listens already.
    ERR_SERVER_ALREADY_LISTEN => ResourceBusy,
    /// The server does not listen.
    ERR_SERVER_NOT_RUNNING => NotConnected,
    /// `end_then` on a socket that has finished.
    ERR_STREAM_ALREADY_FINISHED => BrokenPipe,
    /// The socket was destroyed.
    ERR_STREAM_DESTROYED => BrokenPipe,
    /// A socket was closed before it was done.
    ERR_STREAM_PREMATURE_CLOSE => UnexpectedEof,
    /// `unshift` after `end`.
    ERR_STREAM_UNSHIFT_AFTER_END_EVENT => UnexpectedEof,
    /// A write after `end`.
    ERR_STREAM_WRITE_AFTER_END => BrokenPipe,
    /// A name that is none of an `Encoding`.
    ERR_UNKNOWN_ENCODING => InvalidInput,
    /// The descriptor cannot be given out: bytes are queued, or were received and not taken.
    ERR_WORKER_HANDLE_NOT_TRANSFERABLE => ResourceBusy,
    /// fyke's own: a write on a queue that is longer than `write_queue_bytes_max`.
    ERR_WRITE_QUEUE_FULL => QuotaExceeded,
    /// fyke's own: the peer took nothing for as long as `write_stall_timeout`.
    ERR_WRITE_STALLED => TimedOut,
    /// fyke's own: there is no event loop here. Call this inside `fyke::run` or `EventLoop::enter`.
    ERR_NO_EVENT_LOOP => NotFound,
    /// fyke's own: the loop is turning already; `turn` was called from one of its callbacks.
    ERR_EVENT_LOOP_BUSY => ResourceBusy,
    /// fyke's own: the loop is gone.
    ERR_EVENT_LOOP_CLOSED => NotConnected,
}

/// The kinds of `getaddrinfo`'s codes that have no constant.
fn kind_of_lookup(code: &str) -> Option<io::ErrorKind> {
    match code {
        "EAI_FAIL" => Some(io::ErrorKind::NotFound),
        "EAI_MEMORY" => Some(io::ErrorKind::OutOfMemory),
        "EAI_BADFLAGS" | "EAI_FAMILY" | "EAI_SERVICE" | "EAI_SOCKTYPE" => {
            Some(io::ErrorKind::InvalidInput)
        }
        _ => None,
    }
}

impl ErrorCode {
    /// A code of your own, for [`Error::new`].
    pub const fn from_static(code: &'static str) -> Self {
        Self(code)
    }

    /// The code as text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error {
    /// What went wrong.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The system call that failed, as Node names it: `connect`, `listen`, `bind`, `read`,
    /// `write`, `shutdown`, `getaddrinfo`. None for errors that no call made, and, as in Node, for
    /// the one that stands for several attempts: each of these has its own.
    pub fn syscall(&self) -> Option<&'static str> {
        self.0.syscall
    }

    /// What is said beside the code: the words of an error that fyke or you made. None where code,
    /// call and address say it all; the whole line is what [`to_string`](ToString::to_string)
    /// gives.
    ///
    /// ```
    /// # extern crate fyke_machine as fyke;
    /// use fyke::{Error, ErrorCode};
    ///
    /// let error = Error::new(ErrorCode::from_static("E_MINE"), "not today");
    /// assert_eq!(error.message(), Some("not today"));
    /// assert_eq!(error.to_string(), "E_MINE: not today");
    /// ```
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The address that the call was about. The port is 0 when none was given.
    pub fn address(&self) -> Option<&Address> {
        self.0.address.as_ref()
    }

    /// The port of that address, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.address().and_then(Address::port).filter(|port| *port != 0)
    }

    /// Our own end, for a connect that was bound to a known address and port.
    // CON-12.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// The host name that could not be resolved, or, when a
    /// `connect_timeout` was over, connected to.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// When several addresses were tried: the error of each, in the order of the attempts.
    pub fn attempts(&self) -> &[Error] {
        &self.0.attempts
    }

    /// An error of your own, for `destroy_with`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { message: Some(message.into()), ..Inner::of(code) }))
    }
}

/// Makes and completes errors. Apart from [`Error`]'s own methods, so that they are not part of `fyke`'s
/// interface.
pub trait MakeError: Sized {
    /// A failure of a system call.
    fn system(syscall: &'static str, source: io::Error) -> Self;

    /// A failure of the system that was found out without a call, and so has no source.
    fn named(code: ErrorCode, syscall: &'static str) -> Self;

    /// A failure of a lookup.
    fn lookup(code: &'static str, host: &str, source: Option<io::Error>) -> Self;

    /// All attempts failed: the code is the first one's.
    // HE-15.
    fn aggregate(attempts: Vec<Error>) -> Self;

    /// Adds the address, and whether the text is to be Node's. Only for an error just made, which is
    /// not shared.
    #[must_use]
    fn at(self, address: Address, worded_as_node: bool) -> Self;

    /// Adds the host name. Only for an error just made.
    #[must_use]
    fn with_host(self, host: String) -> Self;

    /// Adds our own end. Only for an error just made.
    #[must_use]
    fn with_local(self, local: Option<SocketAddr>) -> Self;

    /// Turns one code into another, where Node does.
    // IPC-06.
    #[must_use]
    fn with_code(self, code: ErrorCode) -> Self;
}

impl MakeError for Error {
    fn system(syscall: &'static str, source: io::Error) -> Self {
        let code = ErrorCode(errno_name(&source));
        let inner = Inner { syscall: Some(syscall), source: Some(source), ..Inner::of(code) };
        Self(Arc::new(inner))
    }

    fn named(code: ErrorCode, syscall: &'static str) -> Self {
        Self(Arc::new(Inner { syscall: Some(syscall), ..Inner::of(code) }))
    }

    fn lookup(code: &'static str, host: &str, source: Option<io::Error>) -> Self {
        Self(Arc::new(Inner {
            syscall: Some("getaddrinfo"),
            host: Some(host.to_owned()),
            source,
            ..Inner::of(ErrorCode(code))
        }))
    }

    fn aggregate(attempts: Vec<Error>) -> Self {
        let code = attempts.first().map_or(ErrorCode::ENOTFOUND, Error::code);
        Self(Arc::new(Inner { attempts, ..Inner::of(code) }))
    }

    fn at(mut self, address: Address, worded_as_node: bool) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.address = Some(address);
            inner.worded_as_node = worded_as_node;
        }
        self
    }

    fn with_host(mut self, host: String) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.host = Some(host);
        }
        self
    }

    fn with_local(mut self, local: Option<SocketAddr>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.local = local;
        }
        self
    }

    fn with_code(mut self, code: ErrorCode) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.code = code;
        }
        self
    }
}

impl Inner {
    fn of(code: ErrorCode) -> Self {
        Self {
            code,
            syscall: None,
            address: None,
            local: None,
            host: None,
            message: None,
            attempts: Vec::new(),
            source: None,
            worded_as_node: false,
        }
    }

    fn write_address(&self, f: &mut fmt::Formatter<'_>, address: SocketAddr) -> fmt::Result {
        match address.port() {
            0 => write!(f, "{}", address.ip()),
            port if self.worded_as_node => write!(f, "{}:{port}", address.ip()),
            _ => write!(f, "{address}"),
        }
    }
}

/// `connect ECONNREFUSED 127.0.0.1:8888`,
/// `listen EADDRINUSE: address already in use 127.0.0.1:8888`,
/// `getaddrinfo ENOTFOUND nowhere.example`, `read ECONNRESET`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if !inner.attempts.is_empty() {
            f.write_str("all addresses failed")?;
            for (index, attempt) in inner.attempts.iter().enumerate() {
                write!(f, "{} {attempt}", if index == 0 { ":" } else { "," })?;
            }
            return Ok(());
        }
        if let Some(syscall) = inner.syscall {
            write!(f, "{syscall} ")?;
        }
        write!(f, "{}", inner.code)?;
        if let Some(message) = &inner.message {
            write!(f, ": {message}")?;
        }
        // Only a listen says it in words too, as Node does.
        if let (Some("listen"), Some(source)) = (inner.syscall, &inner.source) {
            write!(f, ": {}", words::of(inner.code.as_str(), source))?;
        }
        match &inner.address {
            Some(Address::Ip(address)) => {
                f.write_str(" ")?;
                inner.write_address(f, *address)?;
            }
            Some(address) => write!(f, " {address}")?,
            None => {}
        }
        if let Some(host) = &inner.host {
            write!(f, " {host}")?;
        }
        match inner.local {
            Some(local) => {
                f.write_str(" - Local (")?;
                inner.write_address(f, local)?;
                f.write_str(")")
            }
            None => Ok(()),
        }
    }
}

/// All that is known, field by field: `main` prints an error that it returns with `Debug`.
///
/// ```text
/// Error { code: ECONNREFUSED, syscall: "connect", address: 127.0.0.1:8888, source: Os { code: 111, … } }
/// ```
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut fields = f.debug_struct("Error");
        fields.field("code", &inner.code);
        if let Some(syscall) = &inner.syscall {
            fields.field("syscall", syscall);
        }
        if let Some(address) = &inner.address {
            fields.field("address", &format_args!("{address}"));
        }
        if let Some(local) = &inner.local {
            fields.field("local_address", local);
        }
        if let Some(host) = &inner.host {
            fields.field("host", host);
        }
        if let Some(message) = &inner.message {
            fields.field("message", message);
        }
        if let Some(source) = &inner.source {
            fields.field("source", source);
        }
        if !inner.attempts.is_empty() {
            fields.field("attempts", &inner.attempts);
        }
        fields.finish()
    }
}

/// The source is the system's error. If all of several addresses failed, it is the error of the
/// first attempt, whose code the whole has too.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let inner = &*self.0;
        match &inner.source {
            Some(source) => Some(source),
            None => inner.attempts.first().map(|attempt| attempt as &(dyn StdError + 'static)),
        }
    }
}
