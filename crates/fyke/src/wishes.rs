//! Kernel options of a socket, in the form in which they were last requested. They are applied when
//! there is a connection.

use std::time::Duration;

use fyke_driver::{Driver, KeepAliveProbes, Open, SocketId, SocketOption};

use crate::{Error, ErrorCode, Result};

/// The largest values that Linux accepts for the delay of the first probe, for the interval (both
/// in seconds) and for the number of probes: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and
/// MAX_TCP_KEEPCNT of include/net/tcp.h.
const KEEP_ALIVE_SECONDS_MAX: u64 = 32_767;
const KEEP_ALIVE_COUNT_MAX: u32 = 127;

/// The last requested value of each option, or `None` if it was never requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) keep_alive: Option<KeepAliveWish>,
    pub(crate) type_of_service: Option<u8>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) send_buffer_bytes: Option<usize>,
    pub(crate) receive_buffer_bytes: Option<usize>,
}

/// Times are in whole seconds, so that requests between which the system makes no difference are
/// equal.
// TMO-13
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepAliveWish {
    pub(crate) enable: bool,
    pub(crate) probes: KeepAliveProbes,
}

impl KeepAliveWish {
    pub(crate) fn new(enable: bool, probes: KeepAliveProbes) -> Self {
        let whole = |time: Duration| Duration::from_secs(time.as_secs());
        let probes = KeepAliveProbes::new(whole(probes.initial_delay))
            .interval(whole(probes.interval))
            .count(probes.count);
        Self { enable, probes }
    }

    /// Returns an error for values that Linux does not accept.
    // TMO-17
    pub(crate) fn check(&self) -> Result<()> {
        let KeepAliveProbes { initial_delay, interval, count, .. } = self.probes;
        let out_of_range = |what: &str, min: u32, max: u64, unit: &str, value: u64| {
            let message =
                format!("{what} of keep-alive must be from {min} to {max}{unit}, not {value}");
            Err(Error::new(ErrorCode::ERR_OUT_OF_RANGE, message))
        };
        if initial_delay.as_secs() > KEEP_ALIVE_SECONDS_MAX {
            let value = initial_delay.as_secs();
            return out_of_range("the initial delay", 0, KEEP_ALIVE_SECONDS_MAX, " seconds", value);
        }
        if !(1..=KEEP_ALIVE_SECONDS_MAX).contains(&interval.as_secs()) {
            let value = interval.as_secs();
            return out_of_range("the interval", 1, KEEP_ALIVE_SECONDS_MAX, " seconds", value);
        }
        if !(1..=KEEP_ALIVE_COUNT_MAX).contains(&count) {
            return out_of_range("the count", 1, KEEP_ALIVE_COUNT_MAX.into(), "", count.into());
        }
        Ok(())
    }

    pub(crate) fn option(self) -> SocketOption {
        match self.enable {
            true => SocketOption::KeepAlive(self.probes),
            false => SocketOption::KeepAliveOff,
        }
    }
}

impl Wishes {
    /// Returns the error of a value that was set by a builder and is not valid.
    pub(crate) fn check(&self) -> Result<()> {
        self.keep_alive.map_or(Ok(()), |wish| wish.check())
    }

    /// Adds the buffer sizes to a request to open a socket: they must be set before anything else.
    pub(crate) fn size_buffers(&self, request: &mut Open) {
        request.send_buffer_bytes = self.send_buffer_bytes;
        request.receive_buffer_bytes = self.receive_buffer_bytes;
    }

    /// The options that an accepted connection inherits from its listener on some systems.
    pub(crate) fn inherited(&self, no_delay: bool) -> impl Iterator<Item = SocketOption> + use<> {
        let keep_alive = self.keep_alive.filter(|wish| wish.enable);
        let options = [
            no_delay.then_some(SocketOption::NoDelay(true)),
            keep_alive.map(KeepAliveWish::option),
            self.user_timeout.map(|timeout| SocketOption::UserTimeout(Some(timeout))),
        ];
        options.into_iter().flatten()
    }

    /// Sets the buffer sizes of a socket that already exists. If the system refuses a size, its own
    /// size stays in use.
    pub(crate) fn size_buffers_of(&self, driver: &Driver, id: SocketId) {
        let send = self.send_buffer_bytes.map(SocketOption::SendBuffer);
        let receive = self.receive_buffer_bytes.map(SocketOption::ReceiveBuffer);
        for option in [send, receive].into_iter().flatten() {
            let _ = driver.set_option(id, option);
        }
    }

    /// Sets on a listener the options that all of its connections need, so that they need not be
    /// set on each connection. Returns whether connections inherit them: Linux copies these options
    /// when it makes the connection's socket (`inet_csk_clone_lock` and `tcp_create_openreq_child`,
    /// which copy the whole listener).
    pub(crate) fn set_on_listener(
        self,
        no_delay: bool,
        driver: &Driver,
        listener: SocketId,
    ) -> bool {
        let mut options = self.inherited(no_delay);
        cfg!(target_os = "linux")
            && options.all(|option| driver.set_option(listener, option).is_ok())
    }
}
