//! The options of simulated sockets: remembered with Linux's defaults and limits, and told again.
//! They change nothing of what the network does.

use std::io;
use std::time::Duration;

use super::Sim;
use super::network::Network;
use crate::backend::Properties;
use crate::{Address, KeepAliveProbes, Open, SocketId, SocketOption, Transport};

/// net.core.wmem_max and rmem_max as a kernel sets them by itself (socket(7)).
const BUFFER_BYTES_MAX: usize = 212_992;

/// What was set, or Linux's defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    no_delay: bool,
    keep_alive: bool,
    probes: KeepAliveProbes,
    type_of_service: u8,
    user_timeout: Option<Duration>,
    send_buffer_bytes: usize,
    receive_buffer_bytes: usize,
}

impl Default for Settings {
    /// tcp(7): two hours, 75 seconds, 9 probes; the buffers are the middle values of tcp_wmem
    /// and tcp_rmem.
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

    fn set(&mut self, option: SocketOption) -> io::Result<()> {
        match option {
            SocketOption::NoDelay(on) => self.no_delay = on,
            // The two bits of congestion notification are the system's own on TCP.
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

/// Doubled, for the kernel's own use of it, and at least SOCK_MIN_SNDBUF (socket(7)).
fn send_buffer(bytes: usize) -> usize {
    (bytes.min(BUFFER_BYTES_MAX) * 2).max(4608)
}

/// The same with SOCK_MIN_RCVBUF.
fn receive_buffer(bytes: usize) -> usize {
    (bytes.min(BUFFER_BYTES_MAX) * 2).max(2304)
}

impl Properties for Sim {
    fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        self.network.borrow().local_address(socket)
    }

    fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        self.network.borrow().peer_address(socket)
    }

    fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        self.network.borrow_mut().set_option(socket, option)
    }

    fn no_delay(&self, socket: SocketId) -> io::Result<bool> {
        Ok(self.tcp_settings(socket)?.no_delay)
    }

    fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>> {
        let settings = self.tcp_settings(socket)?;
        Ok(settings.keep_alive.then_some(settings.probes))
    }

    fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>> {
        Ok(self.tcp_settings(socket)?.user_timeout)
    }

    fn type_of_service(&self, socket: SocketId) -> io::Result<u8> {
        Ok(self.tcp_settings(socket)?.type_of_service)
    }

    fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)> {
        let network = self.network.borrow();
        let settings = &network.socket(socket)?.settings;
        Ok((settings.send_buffer_bytes, settings.receive_buffer_bytes))
    }

    /// None: nothing that was sent is lost to a reset, which arrives after it.
    fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize> {
        self.network.borrow().socket(socket).map(|_| 0)
    }
}

impl Sim {
    fn tcp_settings(&self, socket: SocketId) -> io::Result<Settings> {
        let network = self.network.borrow();
        let slot = network.socket(socket)?;
        match slot.transport {
            Transport::Tcp(_) => Ok(slot.settings),
            Transport::Unix => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Network {
    /// Unix sockets refuse the options of TCP, as in Linux.
    pub(super) fn set_option(&mut self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        let slot = self.socket_mut(socket)?;
        let general = matches!(
            option,
            SocketOption::KeepAliveOff
                | SocketOption::SendBuffer(_)
                | SocketOption::ReceiveBuffer(_)
        );
        if slot.transport == Transport::Unix && !general {
            return Err(io::ErrorKind::Unsupported.into());
        }
        slot.settings.set(option)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Seen, World};
    use super::*;
    use crate::backend::Backend;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn options_of_tcp_are_taken_and_unix_sockets_refuse_them() {
        let world = World::default();
        let tcp = world.open("127.0.0.1:0");
        let unix = world.open("abstract:x");
        let keep_alive = SocketOption::KeepAlive(KeepAliveProbes::new(SECOND));
        for option in [SocketOption::NoDelay(true), keep_alive] {
            assert!(world.sim.set_option(tcp, option).is_ok());
            assert!(world.sim.set_option(unix, option).is_err());
        }
        assert!(world.sim.set_option(unix, SocketOption::KeepAliveOff).is_ok());
        assert!(world.sim.set_option(unix, SocketOption::SendBuffer(1)).is_ok());
        assert!(world.sim.no_delay(unix).is_err());
    }

    #[test]
    fn refused_probes_change_nothing() {
        let world = World::default();
        let socket = world.open("127.0.0.1:0");
        let probes = KeepAliveProbes::new(9 * SECOND);
        for refused in [
            probes.count(0),
            probes.count(128),
            probes.interval(SECOND / 2),
            probes.interval(32_768 * SECOND),
            KeepAliveProbes::new(32_768 * SECOND),
        ] {
            let error = world.sim.set_option(socket, SocketOption::KeepAlive(refused)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(world.sim.keep_alive(socket).unwrap(), None);
        }
        let edge = KeepAliveProbes::new(32_767 * SECOND).interval(32_767 * SECOND).count(127);
        world.sim.set_option(socket, SocketOption::KeepAlive(edge)).unwrap();
        assert_eq!(world.sim.keep_alive(socket).unwrap(), Some(edge));
    }

    #[test]
    fn an_accepted_socket_has_what_its_listener_has() {
        let world = World::default();
        let listener = world.listener("127.0.0.1:80");
        world.sim.set_option(listener, SocketOption::SendBuffer(50_000)).unwrap();
        world.sim.set_option(listener, SocketOption::NoDelay(true)).unwrap();
        world.sim.accept_start(listener).unwrap();
        let client = world.connect("127.0.0.1:80");
        let seen = world.settle();
        let Some(Seen::Accepted(_, socket, _)) = seen.last() else { panic!("{seen:?}") };
        assert_eq!(world.sim.buffer_bytes(*socket).unwrap(), (100_000, 131_072));
        assert!(world.sim.no_delay(*socket).unwrap());
        assert!(!world.sim.no_delay(client).unwrap());
    }
}
