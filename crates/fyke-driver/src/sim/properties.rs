//! The properties and options of simulated sockets.

use std::io;
use std::time::Duration;

use super::Sim;
use super::settings::Settings;
use crate::backend::Properties;
use crate::{Address, KeepAliveProbes, SocketId, SocketOption, Transport};

impl Properties for Sim {
    fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        self.network.borrow().local_address(socket)
    }

    fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        self.network.borrow().peer_address(socket)
    }

    /// Unix sockets refuse the options of TCP, as in Linux.
    fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        let slot = network.socket_mut(socket)?;
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

    /// Always 0: a reset arrives after everything that was sent, so it loses nothing.
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

#[cfg(test)]
mod tests {
    use super::super::testing::{Seen, World};
    use super::*;
    use crate::backend::Backend;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn tcp_sockets_accept_tcp_options_and_unix_sockets_refuse_them() {
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
    fn an_accepted_socket_inherits_the_options_of_its_listener() {
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
