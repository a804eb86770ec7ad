//! Options of an existing socket, see [`Driver::set_option`](crate::Driver::set_option).

use std::time::Duration;

/// A socket option with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// TCP_NODELAY.
    NoDelay(bool),
    /// The type-of-service byte of IPv4, the traffic class of IPv6.
    TypeOfService(u8),
    /// SO_KEEPALIVE off; the times are unchanged.
    KeepAliveOff,
    /// SO_KEEPALIVE on; with an initial delay of a second or more also TCP_KEEPIDLE, TCP_KEEPINTVL and
    /// TCP_KEEPCNT, in whole seconds. With a shorter delay the times are unchanged. If a value is
    /// refused, nothing changes.
    // TMO-15.
    KeepAlive(KeepAliveProbes),
    /// TCP_USER_TIMEOUT, in whole milliseconds; `None` is the system's own time. Linux only.
    UserTimeout(Option<Duration>),
    /// SO_SNDBUF, in bytes. The system may round it and reduce it to its limits.
    SendBuffer(usize),
    /// SO_RCVBUF, in bytes. The system may round it and reduce it to its limits.
    ReceiveBuffer(usize),
}

/// How an idle connection is probed, so that a vanished peer is detected.
///
/// Node's `{ initialDelay, interval, count }`, with its defaults. Times are in whole seconds: fractions
/// are cut off.
///
/// ```
/// use std::time::Duration;
/// use fyke_driver::KeepAliveProbes;
///
/// let minute = Duration::from_secs(60);
/// let probes = KeepAliveProbes::new(minute).interval(Duration::from_secs(5)).count(4);
/// assert_eq!((probes.initial_delay, probes.count), (minute, 4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeepAliveProbes {
    /// How long the connection must be idle before the first probe. Below one second none of the three
    /// is set: the system's times, or those of an earlier call, are unchanged.
    pub initial_delay: Duration,
    /// The time between two probes. Default 1 second.
    pub interval: Duration,
    /// How many consecutive probes may stay unanswered before the connection fails with `ETIMEDOUT`.
    /// Default 10.
    pub count: u32,
}

impl KeepAliveProbes {
    /// Probes after this much idle time, a second apart, ten times: what libuv sets.
    // TMO-15.
    pub const fn new(initial_delay: Duration) -> Self {
        Self { initial_delay, interval: Duration::from_secs(1), count: 10 }
    }

    /// Sets the time between two probes.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use std::time::Duration;
    /// use fyke::KeepAliveProbes;
    ///
    /// let probes = KeepAliveProbes::new(Duration::from_secs(60));
    /// assert_eq!(probes.interval, Duration::from_secs(1));
    /// assert_eq!(probes.interval(Duration::from_secs(5)).interval, Duration::from_secs(5));
    /// ```
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the number of probes.
    #[must_use]
    pub const fn count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }
}
