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

/// What went wrong: a [code](Self::code) to match on, the system call, and the address.
///
/// Where Node *throws* an error, fyke returns an `Err` at once; where Node *emits* `error`, fyke calls
/// `on_error`. One failure is never reported in both ways. An `Error` is `Send` and cheap to clone.
///
/// The text is one line for people. It may change in any release; the code and the fields are stable. It
/// shows an IPv6 address with a port in brackets (`connect ECONNREFUSED [::1]:80`). On loops made with
/// `node_exact` it is Node's text, without brackets (`connect ECONNREFUSED ::1:80`).
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
    /// Addresses are written as in Node: without brackets.
    worded_as_node: bool,
}

/// What went wrong, as one word: a system error name (`ECONNREFUSED`) or one of Node's codes (`ERR_…`).
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

            /// The corresponding kind of the standard library.
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
    /// Permission denied, or the directory of a Unix socket does not exist.
    EACCES => PermissionDenied,
    /// The address is already in use.
    EADDRINUSE => AddrInUse,
    /// The address does not belong to this machine.
    EADDRNOTAVAIL => AddrNotAvailable,
    /// `connect` was called on a socket that is already connecting.
    EALREADY => ResourceBusy,
    /// The descriptor is not open.
    EBADF => InvalidInput,
    /// The name servers do not respond, or too many lookups are waiting. A retry later may succeed.
    EAI_AGAIN => TimedOut,
    /// The connection was refused: no server listens on the address.
    ECONNREFUSED => ConnectionRefused,
    /// The peer reset the connection.
    ECONNRESET => ConnectionReset,
    /// There is no route to the host.
    EHOSTUNREACH => HostUnreachable,
    /// An argument is not valid, for example a path that is too long or contains a NUL byte.
    EINVAL => InvalidInput,
    /// The descriptor already belongs to another socket of this loop, or was already taken.
    EEXIST => AlreadyExists,
    /// `connect` was called on a socket that is connected.
    EISCONN => ResourceBusy,
    /// The process has reached its limit of open descriptors.
    EMFILE => QuotaExceeded,
    /// There is no route to the network.
    ENETUNREACH => NetworkUnreachable,
    /// The file does not exist.
    ENOENT => NotFound,
    /// This system, or the simulated network, does not support the operation.
    ENOTSUP => Unsupported,
    /// The host name does not exist.
    ENOTFOUND => NotFound,
    /// The peer has ended its side, or closed the connection.
    EPIPE => BrokenPipe,
    /// The operation did not complete in time.
    ETIMEDOUT => TimedOut,
    /// A text is not an IP address of the expected family.
    ERR_INVALID_ADDRESS => InvalidInput,
    /// A value in a JSON text has the wrong type.
    ERR_INVALID_ARG_TYPE => InvalidInput,
    /// The value of an argument is not valid.
    ERR_INVALID_ARG_VALUE => InvalidInput,
    /// A number is out of range.
    ERR_OUT_OF_RANGE => InvalidInput,
    /// The descriptor is not of the expected kind.
    ERR_INVALID_FD_TYPE => InvalidInput,
    /// A socket of this kind does not support the operation.
    ERR_INVALID_HANDLE_TYPE => Unsupported,
    /// A lookup returned something that is not an IP address.
    ERR_INVALID_IP_ADDRESS => InvalidData,
    /// A `BlockList` contains the address.
    ERR_IP_BLOCKED => PermissionDenied,
    /// A port is not a number from 0 to 65535.
    ERR_SOCKET_BAD_PORT => InvalidInput,
    /// There is no connection.
    ERR_SOCKET_CLOSED => NotConnected,
    /// fyke's own code: the data of the socket, or the connections of the server, already have a consumer.
    ERR_HAS_CONSUMER => ResourceBusy,
    /// fyke's own code: the socket already has a layer, such as TLS.
    ERR_HAS_LAYER => ResourceBusy,
    /// The socket was closed before the connection was established.
    ERR_SOCKET_CLOSED_BEFORE_CONNECTION => ConnectionAborted,
    /// The server is already listening.
    ERR_SERVER_ALREADY_LISTEN => ResourceBusy,
    /// The server is not listening.
    ERR_SERVER_NOT_RUNNING => NotConnected,
    /// `end_then` was called on a socket that has already finished.
    ERR_STREAM_ALREADY_FINISHED => BrokenPipe,
    /// The socket was destroyed.
    ERR_STREAM_DESTROYED => BrokenPipe,
    /// A socket was closed before it had finished.
    ERR_STREAM_PREMATURE_CLOSE => UnexpectedEof,
    /// `unshift` was called after the `end` event.
    ERR_STREAM_UNSHIFT_AFTER_END_EVENT => UnexpectedEof,
    /// `write` was called after `end`.
    ERR_STREAM_WRITE_AFTER_END => BrokenPipe,
    /// A text is not the name of an `Encoding`.
    ERR_UNKNOWN_ENCODING => InvalidInput,
    /// The descriptor cannot be released, for example because bytes are queued or not yet read.
    ERR_WORKER_HANDLE_NOT_TRANSFERABLE => ResourceBusy,
    /// fyke's own code: a write on a queue that is longer than `write_queue_bytes_max`.
    ERR_WRITE_QUEUE_FULL => QuotaExceeded,
    /// fyke's own code: the peer accepted no bytes for `write_stall_timeout`.
    ERR_WRITE_STALLED => TimedOut,
    /// fyke's own code: there is no current event loop. Use `fyke::run` or `EventLoop::enter`.
    ERR_NO_EVENT_LOOP => NotFound,
    /// fyke's own code: the loop is already running; `turn` was called from one of its callbacks.
    ERR_EVENT_LOOP_BUSY => ResourceBusy,
    /// fyke's own code: a task panicked.
    ERR_TASK_PANICKED => ConnectionAborted,
    /// fyke's own code: the loop was dropped.
    ERR_EVENT_LOOP_CLOSED => NotConnected,
}

/// The kinds of `getaddrinfo` codes without a constant.
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
    /// Makes a code of your own, for [`Error::new`].
    ///
    /// ```
    /// # extern crate fyke_machine as fyke;
    /// use fyke::{Error, ErrorCode};
    ///
    /// const E_GREETING: ErrorCode = ErrorCode::from_static("E_GREETING");
    /// assert_eq!(Error::new(E_GREETING, "not a greeting").code(), E_GREETING);
    /// ```
    pub const fn from_static(code: &'static str) -> Self {
        Self(code)
    }

    /// Returns the code as text.
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
    /// The code of the error.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The system call that failed, under Node's name: `connect`, `listen`, `bind`, `read`, `write`,
    /// `shutdown` or `getaddrinfo`. `None` if no system call failed and, as in Node, for an error that
    /// combines several attempts: each attempt has its own.
    pub fn syscall(&self) -> Option<&'static str> {
        self.0.syscall
    }

    /// The description of an error that fyke or your program made. `None` if code, call and address
    /// describe the error completely. [`to_string`](ToString::to_string) returns the whole line.
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

    /// The address that the call used. Its port is 0 if no port was given.
    pub fn address(&self) -> Option<&Address> {
        self.0.address.as_ref()
    }

    /// The port of that address, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.address().and_then(Address::port).filter(|port| *port != 0)
    }

    /// The local address, for a connect that was bound to a known address and port.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.0.local // CON-12
    }

    /// The host name that could not be resolved, or that could not be connected to within
    /// `connect_timeout`.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// The error of each address, in the order of the attempts, if several addresses were tried. Otherwise
    /// empty.
    pub fn attempts(&self) -> &[Error] {
        &self.0.attempts
    }

    /// Makes an error of your own, for `destroy_with`.
    ///
    /// ```
    /// # extern crate fyke_machine as fyke;
    /// use fyke::{Error, ErrorCode};
    ///
    /// let error = Error::new(ErrorCode::ETIMEDOUT, "no answer for a minute");
    /// assert_eq!(error.to_string(), "ETIMEDOUT: no answer for a minute");
    /// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::TimedOut);
    /// ```
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { message: Some(message.into()), ..Inner::of(code) }))
    }
}

/// Makes and completes errors. Separate from [`Error`], so that it is not part of `fyke`'s public API.
pub trait MakeError: Sized {
    /// Makes an error from a failed system call.
    fn system(syscall: &'static str, source: io::Error) -> Self;

    /// Makes an error that was detected without a system call, and therefore has no source.
    fn named(code: ErrorCode, syscall: &'static str) -> Self;

    /// Makes an error from a failed lookup.
    fn lookup(code: &'static str, host: &str, source: Option<io::Error>) -> Self;

    /// Combines the errors of all attempts. The result has the code of the first one.
    fn aggregate(attempts: Vec<Error>) -> Self; // HE-15

    /// Adds the address, and whether the text is worded as Node's. Only for a new error that is not yet
    /// shared.
    #[must_use]
    fn at(self, address: Address, worded_as_node: bool) -> Self;

    /// Adds the host name. Only for a new error that is not yet shared.
    #[must_use]
    fn with_host(self, host: String) -> Self;

    /// Adds the local address. Only for a new error that is not yet shared.
    #[must_use]
    fn with_local(self, local: Option<SocketAddr>) -> Self;

    /// Replaces the code, where Node reports a different one.
    #[must_use]
    fn with_code(self, code: ErrorCode) -> Self; // IPC-06
}

impl MakeError for Error {
    fn system(syscall: &'static str, source: io::Error) -> Self {
        if source.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<Self>) {
            return source.into();
        }
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

/// Examples: `connect ECONNREFUSED 127.0.0.1:8888`,
/// `listen EADDRINUSE: address already in use 127.0.0.1:8888`, `getaddrinfo ENOTFOUND nowhere.example`, `read ECONNRESET`.
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
        // As in Node, only an error of `listen` also describes the code in words.
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

/// Shows all fields of the error. `main` prints an error that it returns with `Debug`.
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

/// The source is the system's error. If all of several addresses failed, the source is the error of the
/// first attempt, which also has the same code.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let inner = &*self.0;
        match &inner.source {
            Some(source) => Some(source),
            None => inner.attempts.first().map(|attempt| attempt as &(dyn StdError + 'static)),
        }
    }
}
