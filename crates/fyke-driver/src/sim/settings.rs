//! The options of simulated sockets: stored with Linux's defaults and limits, and reported. They do not
//! change the behaviour of the network.

use std::io;
use std::time::Duration;

use crate::{KeepAliveProbes, Open, SocketOption};

/// The defaults of net.core.wmem_max and rmem_max in the kernel (socket(7)).
const BUFFER_BYTES_MAX: usize = 212_992;

/// The options that were set, or Linux's defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) no_delay: bool,
    pub(super) keep_alive: bool,
    pub(super) probes: KeepAliveProbes,
    pub(super) type_of_service: u8,
    pub(super) user_timeout: Option<Duration>,
    pub(super) send_buffer_bytes: usize,
    pub(super) receive_buffer_bytes: usize,
}

impl Default for Settings {
    /// The defaults of tcp(7): two hours, 75 seconds and 9 probes for keep-alive. The buffers are the
    /// middle values of tcp_wmem and tcp_rmem.
    fn default() -> Self {
        let probes = KeepAliveProbes::new(Duration::from_secs(7200));
        Self {
            no_delay: false,
            keep_alive: false,
            probes: probes.interval(Duration::from_secs(75)).count(9),
            type_of_service: 0,
            user_timeout: None,
            send_buffer_bytes: 16_384,
            receive_buffer_bytes: 131_072,
        }
    }
}

impl Settings {
    pub(super) fn asked_for(request: &Open) -> Self {
        let mut settings = Self::default();
        if let Some(bytes) = request.send_buffer_bytes {
            settings.send_buffer_bytes = send_buffer(bytes);
        }
        if let Some(bytes) = request.receive_buffer_bytes {
            settings.receive_buffer_bytes = receive_buffer(bytes);
        }
        settings
    }

    pub(super) fn set(&mut self, option: SocketOption) -> io::Result<()> {
        match option {
            SocketOption::NoDelay(on) => self.no_delay = on,
            // On TCP the kernel controls the two bits of congestion notification itself.
            SocketOption::TypeOfService(value) => self.type_of_service = value & !0b11,
            SocketOption::KeepAliveOff => self.keep_alive = false,
            SocketOption::KeepAlive(wanted) => {
                if wanted.initial_delay.as_secs() > 0 {
                    self.probes = checked(wanted)?;
                }
                self.keep_alive = true;
            }
            SocketOption::UserTimeout(timeout) => self.user_timeout = timeout.map(milliseconds),
            SocketOption::SendBuffer(bytes) => self.send_buffer_bytes = send_buffer(bytes),
            SocketOption::ReceiveBuffer(bytes) => self.receive_buffer_bytes = receive_buffer(bytes),
        }
        Ok(())
    }
}

/// The ranges of include/net/tcp.h: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT.
fn checked(wanted: KeepAliveProbes) -> io::Result<KeepAliveProbes> {
    let (delay, interval) = (wanted.initial_delay.as_secs(), wanted.interval.as_secs());
    let fits = delay <= 32_767 && (1..=32_767).contains(&interval);
    if !fits || !(1..=127).contains(&wanted.count) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let probes = KeepAliveProbes::new(Duration::from_secs(delay));
    Ok(probes.interval(Duration::from_secs(interval)).count(wanted.count))
}

fn milliseconds(time: Duration) -> Duration {
    let whole = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(whole.max(1))
}

/// The size of a send buffer: doubled for the kernel's own use of it, and at least SOCK_MIN_SNDBUF
/// (socket(7)).
fn send_buffer(bytes: usize) -> usize {
    (bytes.min(BUFFER_BYTES_MAX) * 2).max(4608)
}

/// The size of a receive buffer: doubled for the kernel's own use of it, and at least SOCK_MIN_RCVBUF
/// (socket(7)).
fn receive_buffer(bytes: usize) -> usize {
    (bytes.min(BUFFER_BYTES_MAX) * 2).max(2304)
}
