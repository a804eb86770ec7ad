//! Connecting.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::network::Network;
use super::place::{Place, loopback_like};
use super::schedule::Event;
use super::socket::{Role, Socket, Stream};
use crate::completion::Deferred;
use crate::{Address, Operation, SocketId};

impl Network {
    pub(super) fn connect(&mut self, socket: SocketId, target: &Address) {
        if !self.sockets.contains_key(socket) {
            return;
        }
        if let Err(error) = self.try_connect(socket, target) {
            self.fail(socket, Operation::Connect, error);
        }
    }

    fn try_connect(&mut self, client: SocketId, target: &Address) -> io::Result<()> {
        let slot = self.socket(client)?;
        if !matches!(slot.role, Role::Idle) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut target = Place::of(slot.transport, target)?;
        let mut answers = true;
        let source = match &mut target {
            Place::Ip(address) => {
                // The wildcard address reaches this machine, as in Linux.
                if address.ip().is_unspecified() {
                    address.set_ip(loopback_like(address.ip()));
                }
                answers = !self.options.silent.contains(&address.ip());
                if answers && !address.ip().is_loopback() {
                    return Err(io::ErrorKind::NetworkUnreachable.into());
                }
                Some(self.source_towards(client, address.ip())?)
            }
            Place::Path(_) | Place::Abstract(_) => slot.bound.clone(),
        };
        self.socket_mut(client)?.role = Role::Connecting { source, target };
        if answers {
            // The request and the answer each take the latency.
            let round_trip = self.options.latency.saturating_mul(2);
            let at = self.schedule.now().saturating_add(round_trip);
            self.schedule.add(at, Event::Answer { client });
        }
        Ok(())
    }

    /// The local address of a connection to `target`. An unbound socket gets a free port.
    fn source_towards(&mut self, client: SocketId, target: IpAddr) -> io::Result<Place> {
        let Socket { sharing, bound, .. } = self.socket(client)?;
        let sharing = *sharing;
        if sharing.ipv6_only && target.is_ipv4() {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        let ours = loopback_like(target);
        if let Some(Place::Ip(bound)) = bound {
            return if bound.ip().is_unspecified() {
                Ok(Place::Ip(SocketAddr::new(ours, bound.port())))
            } else if bound.is_ipv4() == target.is_ipv4() {
                Ok(Place::Ip(*bound))
            } else {
                Err(io::ErrorKind::NetworkUnreachable.into())
            };
        }
        let place = self
            .names
            .bind(client, Place::Ip(SocketAddr::new(ours, 0)), sharing)
            .map_err(|_| io::ErrorKind::AddrNotAvailable)?;
        self.socket_mut(client)?.bound = Some(place.clone());
        Ok(place)
    }

    /// Handles the answer to a connection request: from a listener, or a refusal because there is none.
    pub(super) fn answer(&mut self, client: SocketId) {
        let Some(slot) = self.sockets.get_mut(client) else {
            return;
        };
        let Role::Connecting { target, .. } = &slot.role else {
            return;
        };
        let listeners = match self.names.listeners_at(target) {
            Ok(listeners) => listeners,
            Err(error) => {
                slot.role = Role::Idle;
                self.fail(client, Operation::Connect, error);
                return;
            }
        };
        let chosen = if listeners.len() > 1 { self.random.up_to(listeners.len()) - 1 } else { 0 };
        let Some(listener) = self.listener_mut(listeners[chosen]) else {
            return;
        };
        if listener.queue.len() < listener.room {
            self.establish(client, listeners[chosen]);
        } else {
            listener.crowd.push_back(client);
        }
    }

    /// Connects a client with a new socket in the queue of the listener.
    pub(super) fn establish(&mut self, client: SocketId, listener: SocketId) {
        let Some(Socket { transport: server_transport, sharing, settings, .. }) =
            self.sockets.get(listener)
        else {
            return;
        };
        // The accepted socket inherits the options of the listener, as in Linux.
        let mut server_slot = Socket::new(*server_transport, *sharing, *settings);
        let Some(client_slot) = self.sockets.get(client) else {
            return;
        };
        let Role::Connecting { source, target } = &client_slot.role else {
            return;
        };
        let seen = |place| Place::seen_by(place, client_slot.transport);
        let (local, remote) = (seen(source.as_ref()), seen(Some(target)));
        let seen = |place| Place::seen_by(place, server_slot.transport);
        let server_stream = Stream::new(client, seen(Some(target)), seen(source.as_ref()));
        server_slot.role = Role::Stream(Box::new(server_stream));
        let server = self.sockets.insert(server_slot);
        self.sockets[client].role = Role::Stream(Box::new(Stream::new(server, local, remote)));
        self.complete(client, Deferred::Connected);
        self.line_up(client);
        if let Some(listener) = self.listener_mut(listener) {
            listener.queue.push_back(server);
        }
        self.line_up(listener);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::options::SimOptions;
    use super::super::testing::{Seen, World, address};
    use super::*;
    use crate::backend::{Backend, Properties};
    use crate::{Family, Open, Transport};

    fn outcome(world: &World, target: &str) -> io::ErrorKind {
        let client = world.connect(target);
        match world.settle().as_slice() {
            [Seen::Failed(socket, Operation::Connect, kind)] if *socket == client => *kind,
            seen => panic!("{seen:?}"),
        }
    }

    #[test]
    fn the_answer_takes_one_round_trip() {
        let latency = Duration::from_millis(3);
        let world = World::new(SimOptions { latency, ..Default::default() });
        world.listener("127.0.0.1:80");
        let client = world.connect("127.0.0.1:80");
        assert!(!world.sim.has_work());
        assert_eq!(world.sim.next_deadline(), Some((latency * 2).into()));
        assert_eq!(world.turn(), [Seen::Connected(client)]);
        assert_eq!(world.elapsed(), latency * 2);
    }

    #[test]
    fn a_connect_without_a_listener_is_refused() {
        let world = World::default();
        world.open("127.0.0.1:80");
        assert_eq!(outcome(&world, "127.0.0.1:80"), io::ErrorKind::ConnectionRefused);
        assert_eq!(outcome(&world, "[::1]:80"), io::ErrorKind::ConnectionRefused);
        assert_eq!(outcome(&world, "abstract:x"), io::ErrorKind::ConnectionRefused);
        assert_eq!(outcome(&world, "/run/x.sock"), io::ErrorKind::NotFound);
        let listener = world.listener("/run/x.sock");
        world.sim.close(listener);
        assert_eq!(outcome(&world, "/run/x.sock"), io::ErrorKind::NotFound);
    }

    #[test]
    fn after_a_failure_the_socket_may_try_again() {
        let world = World::default();
        let client = world.connect("127.0.0.1:80");
        world.settle();
        world.listener("127.0.0.1:80");
        world.sim.connect(client, &address("127.0.0.1:80"));
        assert_eq!(world.settle(), [Seen::Connected(client)]);
    }

    #[test]
    fn a_second_connect_fails_without_affecting_the_first() {
        let world = World::default();
        world.listener("127.0.0.1:80");
        let client = world.connect("127.0.0.1:80");
        world.sim.connect(client, &address("127.0.0.1:80"));
        let twice = Seen::Failed(client, Operation::Connect, io::ErrorKind::InvalidInput);
        assert_eq!(world.settle(), [twice, Seen::Connected(client)]);
    }

    #[test]
    fn the_wildcard_reaches_this_machine() {
        let world = World::default();
        world.listener("[::]:80");
        for (target, reached) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80")] {
            let client = world.connect(target);
            assert_eq!(world.settle(), [Seen::Connected(client)]);
            assert_eq!(world.sim.peer_address(client).unwrap(), address(reached));
        }
    }

    #[test]
    fn an_address_of_another_machine_is_unreachable_or_silent() {
        let silent = [IpAddr::from([192, 0, 2, 1])].into();
        let world = World::new(SimOptions { silent, ..Default::default() });
        assert_eq!(outcome(&world, "192.0.2.2:80"), io::ErrorKind::NetworkUnreachable);
        world.connect("192.0.2.1:80");
        assert!(world.settle().is_empty());
        assert_eq!(world.sim.next_deadline(), None);
    }

    #[test]
    fn a_bound_client_keeps_its_address() {
        let world = World::default();
        world.listener("127.0.0.1:80");
        for (bound, expected) in [("127.0.0.7:9", "127.0.0.7:9"), ("0.0.0.0:8", "127.0.0.1:8")] {
            let client = world.open(bound);
            world.sim.connect(client, &address("127.0.0.1:80"));
            assert_eq!(world.settle(), [Seen::Connected(client)]);
            assert_eq!(world.sim.local_address(client).unwrap(), address(expected));
        }
    }

    #[test]
    fn an_ipv6_client_sees_ipv4_addresses_in_mapped_form() {
        let world = World::default();
        world.listener("127.0.0.1:80");
        let mapped = address("[::ffff:127.0.0.1]:80");
        let client = world.sim.open(&Open::new(Transport::Tcp(Family::V6))).unwrap();
        world.sim.connect(client, &mapped);
        assert_eq!(world.settle(), [Seen::Connected(client)]);
        assert_eq!(world.sim.peer_address(client).unwrap(), mapped);
    }

    #[test]
    fn a_unix_connection_has_only_the_name_of_its_listener() {
        let world = World::default();
        let (client, server) = world.pair("/run/x.sock");
        assert_eq!(world.sim.local_address(client).unwrap(), Address::Unnamed);
        assert_eq!(world.sim.peer_address(client).unwrap(), address("/run/x.sock"));
        assert_eq!(world.sim.local_address(server).unwrap(), address("/run/x.sock"));
        assert_eq!(world.sim.peer_address(server).unwrap(), Address::Unnamed);
    }

    #[test]
    fn a_client_that_closes_while_connecting_is_forgotten() {
        let world = World::default();
        let listener = world.listener("127.0.0.1:80");
        world.sim.accept_start(listener).unwrap();
        world.sim.close(world.connect("127.0.0.1:80"));
        assert!(world.settle().is_empty());
    }
}
