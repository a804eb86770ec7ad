//! Opening, binding, listening, accepting.

use std::io;
use std::net::SocketAddr;

use super::names::Sharing;
use super::network::Network;
use super::place::{Place, any};
use super::schedule::Event;
use super::settings::Settings;
use super::socket::{Listener, Role, Socket};
use crate::completion::Wanted;
use crate::{Address, Completion, Open, OpenError, Operation, SocketId, Transport};

/// The longest queue of a listener, whatever backlog is requested: Linux's `net.core.somaxconn`.
const BACKLOG_MAX: usize = 4096;

impl Network {
    pub(super) fn open(&mut self, request: &Open) -> Result<SocketId, OpenError> {
        let sharing = Sharing {
            reuse_address: request.reuse_address,
            reuse_port: request.reuse_port,
            ipv6_only: request.ipv6_only == Some(true),
        };
        let settings = Settings::asked_for(request);
        let socket = self.sockets.insert(Socket::new(request.transport, sharing, settings));
        let Some(address) = &request.bind else {
            return Ok(socket);
        };
        let place = match (request.transport, address) {
            (Transport::Unix, Address::Unnamed) => Ok(self.names.free_name()),
            (transport, address) => Place::of(transport, address),
        };
        let bound = place.and_then(|place| self.names.bind(socket, place, sharing));
        match bound {
            Ok(place) => {
                self.sockets[socket].bound = Some(place);
                Ok(socket)
            }
            Err(source) => {
                self.sockets.remove(socket);
                Err(OpenError { at_bind: true, source })
            }
        }
    }

    pub(super) fn listen(&mut self, socket: SocketId, backlog: i32) -> io::Result<()> {
        let place = self.place_to_listen(socket)?;
        self.names.listen(socket, &place)?;
        // Linux reads the number as unsigned: a negative backlog requests the maximum.
        let asked = usize::try_from(backlog).unwrap_or(BACKLOG_MAX);
        let slot = self.socket_mut(socket)?;
        if let Role::Idle = slot.role {
            slot.role = Role::Listener(Listener::default());
        }
        if let Some(listener) = slot.listener_mut() {
            // One more than requested, as in Linux.
            listener.room = asked.min(BACKLOG_MAX) + 1;
        }
        self.admit(socket);
        Ok(())
    }

    /// Returns the place where the socket is bound. An unbound TCP socket gets a free port.
    fn place_to_listen(&mut self, socket: SocketId) -> io::Result<Place> {
        let Socket { transport, sharing, bound, role, .. } = self.socket(socket)?;
        if !matches!(role, Role::Idle | Role::Listener(_)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match (bound, *transport, *sharing) {
            (Some(place), ..) => Ok(place.clone()),
            (None, Transport::Tcp(family), sharing) => {
                let wanted = Place::Ip(SocketAddr::new(any(family), 0));
                let place = self.names.bind(socket, wanted, sharing)?;
                self.socket_mut(socket)?.bound = Some(place.clone());
                Ok(place)
            }
            (None, Transport::Unix, _) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(super) fn accept_start(&mut self, listener: SocketId) -> io::Result<()> {
        let slot = self.socket_mut(listener)?;
        if slot.listener_mut().is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        slot.wanted = Wanted::Delivery;
        self.line_up(listener);
        Ok(())
    }

    pub(super) fn accept_next(&mut self, listener: SocketId) -> Option<Completion<'static>> {
        let slot = self.sockets.get_mut(listener).filter(|slot| slot.wanted == Wanted::Delivery)?;
        let socket = slot.listener_mut()?.queue.pop_front()?;
        self.admit(listener);
        let peer = self.stream(socket).and_then(|stream| stream.remote.ip());
        Some(Completion::Accepted { listener, socket, peer, unix: peer.is_none() })
    }

    /// Establishes connections for waiting clients, while the listener's queue has room.
    fn admit(&mut self, listener: SocketId) {
        while let Some(Listener { room, queue, crowd }) = self.listener_mut(listener) {
            if queue.len() >= *room {
                return;
            }
            let Some(client) = crowd.pop_front() else {
                return;
            };
            self.establish(client, listener);
        }
    }

    /// Resets the connections that a closed listener has not accepted, and refuses the clients that wait
    /// for room.
    pub(super) fn listener_closed(&mut self, listener: Listener) {
        for socket in listener.queue {
            let Some(slot) = self.sockets.remove(socket) else {
                continue;
            };
            if let Some(stream) = slot.stream() {
                self.send_reset(stream.peer);
            }
        }
        for client in listener.crowd {
            let Some(slot) = self.sockets.get_mut(client) else {
                continue;
            };
            slot.role = Role::Idle;
            self.fail(client, Operation::Connect, io::ErrorKind::ConnectionRefused.into());
        }
    }

    pub(super) fn send_reset(&mut self, to: SocketId) {
        self.deliver(to, std::time::Duration::ZERO, Event::Reset { to });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Seen, World, address};
    use super::*;
    use crate::Family;
    use crate::backend::{Backend, Properties};
    use crate::limits::ACCEPTS_PER_TURN_MAX;

    #[test]
    fn binding_to_the_address_of_a_listener_fails() {
        let world = World::default();
        world.listener("127.0.0.1:80");
        let error = world.try_open("127.0.0.1:80").unwrap_err();
        assert!(error.at_bind);
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        world.listener("/run/x.sock");
        let error = world.try_open("/run/x.sock").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn only_one_of_two_sockets_that_reuse_an_address_may_listen() {
        let world = World::default();
        let mut request = Open::new(Transport::Tcp(Family::V4));
        request.bind = Some(address("127.0.0.1:80"));
        request.reuse_address = true;
        let first = world.sim.open(&request).unwrap();
        let second = world.sim.open(&request).unwrap();
        world.sim.listen(first, 1).unwrap();
        let error = world.sim.listen(second, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn closing_a_listener_frees_its_address() {
        let world = World::default();
        for place in ["127.0.0.1:80", "/run/x.sock", "abstract:x"] {
            world.sim.close(world.listener(place));
            world.listener(place);
        }
    }

    #[test]
    fn listening_gives_an_unbound_socket_a_port() {
        let world = World::default();
        let socket = world.sim.open(&Open::new(Transport::Tcp(Family::V6))).unwrap();
        assert_eq!(world.sim.local_address(socket).unwrap(), address("[::]:0"));
        world.sim.listen(socket, 1).unwrap();
        assert_eq!(world.sim.local_address(socket).unwrap(), address("[::]:49152"));
    }

    #[test]
    fn binding_to_an_address_of_another_transport_fails() {
        let world = World::default();
        let mut request = Open::new(Transport::Tcp(Family::V4));
        request.bind = Some(address("[::1]:80"));
        let error = world.sim.open(&request).unwrap_err();
        assert!(error.at_bind);
        assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn no_connection_is_accepted_while_stopped_and_accepts_per_turn_are_limited() {
        let world = World::default();
        let listener = world.listener("127.0.0.1:80");
        for _ in 0..ACCEPTS_PER_TURN_MAX + 1 {
            world.connect("127.0.0.1:80");
        }
        let seen = world.settle();
        assert!(seen.iter().all(|seen| matches!(seen, Seen::Connected(_))));
        world.sim.accept_start(listener).unwrap();
        assert_eq!(world.turn().len(), ACCEPTS_PER_TURN_MAX);
        assert!(world.sim.has_work());
        assert_eq!(world.turn().len(), 1);
        assert!(!world.sim.has_work());
    }

    #[test]
    fn clients_wait_while_the_queue_of_the_listener_is_full() {
        let world = World::default();
        let listener = world.open("127.0.0.1:80");
        world.sim.listen(listener, 0).unwrap();
        let first = world.connect("127.0.0.1:80");
        let second = world.connect("127.0.0.1:80");
        assert_eq!(world.settle(), [Seen::Connected(first)]);
        world.sim.accept_start(listener).unwrap();
        let seen = world.settle();
        assert!(seen.contains(&Seen::Connected(second)), "{seen:?}");
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn closing_a_listener_resets_queued_connections_and_refuses_waiting_clients() {
        let world = World::default();
        let listener = world.open("127.0.0.1:80");
        world.sim.listen(listener, 0).unwrap();
        let queued = world.connect("127.0.0.1:80");
        let waits = world.connect("127.0.0.1:80");
        world.settle();
        world.sim.receive_start(queued).unwrap();
        world.sim.close(listener);
        assert_eq!(
            world.settle(),
            [
                Seen::Failed(waits, Operation::Connect, io::ErrorKind::ConnectionRefused),
                Seen::Failed(queued, Operation::Receive, io::ErrorKind::ConnectionReset),
            ]
        );
        assert_eq!(world.sim.local_address(waits).unwrap().port(), Some(49153));
    }

    #[test]
    fn an_ipv6_wildcard_listener_accepts_ipv4_clients_with_a_mapped_address() {
        let world = World::default();
        let listener = world.listener("[::]:80");
        world.sim.accept_start(listener).unwrap();
        let client = world.connect("127.0.0.1:80");
        let seen = world.settle();
        let Some(Seen::Accepted(_, socket, Some(peer))) = seen.last() else { panic!("{seen:?}") };
        assert_eq!(peer.to_string(), "[::ffff:127.0.0.1]:49152");
        assert_eq!(
            world.sim.local_address(*socket).unwrap(),
            Address::Ip("[::ffff:127.0.0.1]:80".parse().unwrap())
        );
        assert_eq!(world.sim.local_address(client).unwrap(), address("127.0.0.1:49152"));
        assert_eq!(world.sim.peer_address(client).unwrap(), address("127.0.0.1:80"));
    }
}
