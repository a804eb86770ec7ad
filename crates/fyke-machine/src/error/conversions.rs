//! Conversions between fyke's errors and those of the standard library.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use fyke_driver::errno_name;

use super::{Error, ErrorCode, Inner, words};

impl Error {
    /// The kind of the error, as the standard library names it. The kind of your own code is
    /// [`Other`](io::ErrorKind::Other).
    ///
    /// ```
    /// # extern crate fyke_machine as fyke;
    /// use std::io::ErrorKind;
    /// use fyke::{Error, ErrorCode};
    ///
    /// assert_eq!(Error::new(ErrorCode::ECONNREFUSED, "refused").kind(), ErrorKind::ConnectionRefused);
    /// assert_eq!(Error::new(ErrorCode::ERR_WRITE_STALLED, "slow").kind(), ErrorKind::TimedOut);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        // The code decides: if it differs from the system's error, fyke changed it on purpose.
        let inner = &*self.0;
        let of_source = || inner.source.as_ref().map(io::Error::kind);
        let of_first = || inner.attempts.first().map(Self::kind);
        inner.code.kind().or_else(of_source).or_else(of_first).unwrap_or(io::ErrorKind::Other)
    }
}

/// The kind is derived from the code, and each [`ErrorCode`] of fyke has a kind: for example, `ETIMEDOUT`,
/// `EAI_AGAIN` and `ERR_WRITE_STALLED` are [`TimedOut`](io::ErrorKind::TimedOut). The kind of your own code
/// is [`Other`](io::ErrorKind::Other). [`get_ref`](io::Error::get_ref) returns the fyke error itself.
///
/// ```
/// # extern crate fyke_machine as fyke;
/// use std::io;
/// use fyke::{Error, ErrorCode};
///
/// let error = io::Error::from(Error::new(ErrorCode::EPIPE, "the peer is gone"));
/// assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
/// ```
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Allows `?` on errors of the standard library. The code is the system's name of the error (`ENOENT`), or
/// `UNKNOWN` if it has none. The [`source`](std::error::Error::source) is the original error, and the
/// syscall is `None`. A fyke error that was converted into an `io::Error` is restored unchanged.
///
/// ```
/// # extern crate fyke_machine as fyke;
/// use fyke::{Error, ErrorCode};
///
/// fn first_line(path: &str) -> fyke::Result<String> {
///     let text = std::fs::read_to_string(path)?;
///     Ok(text.lines().next().unwrap_or_default().to_owned())
/// }
///
/// let error = first_line("/does/not/exist").unwrap_err();
/// assert_eq!(error.code(), ErrorCode::ENOENT);
/// assert_eq!(error.to_string(), "ENOENT: no such file or directory");
/// ```
impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        source.downcast().unwrap_or_else(|source| {
            let code = ErrorCode(errno_name(&source));
            let message = match source.raw_os_error() {
                Some(_) => words::of(code.as_str(), &source).into_owned(),
                None => source.to_string(),
            };
            let inner = Inner { message: Some(message), source: Some(source), ..Inner::of(code) };
            Self(Arc::new(inner))
        })
    }
}

/// For generic code: the conversion into an `Endpoint` cannot fail for types that need no parsing.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
