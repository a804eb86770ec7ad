//! Ends connections: by FIN, in order, or by RST.

use std::io;
use std::time::Duration;

use super::network::Network;
use super::schedule::Event;
use super::socket::{Reset, Role, Stream};
use crate::completion::Deferred;
use crate::pool::Pool;
use crate::{Operation, SocketId};

impl Network {
    /// Ends the sending side of a connection and reports `ShutDown`, or reports a failure with
    /// `NotConnected`. Returns whether the sending side is ended.
    pub(super) fn shutdown(&mut self, socket: SocketId, pool: &Pool) -> bool {
        if !self.sockets.contains_key(socket) {
            return false;
        }
        let connected = self.stream_mut(socket).filter(|stream| stream.reset == Reset::No);
        let Some(stream) = connected else {
            self.fail(socket, Operation::Shutdown, io::ErrorKind::NotConnected.into());
            return false;
        };
        let first = !std::mem::replace(&mut stream.outbound.ended, true);
        let peer = stream.peer;
        // The contract requires that no batch is in flight here. If one is, it can no longer be sent.
        self.give_up_batch(socket, io::ErrorKind::BrokenPipe, pool);
        if first {
            self.send_end(peer);
        }
        self.complete(socket, Deferred::ShutDown);
        self.line_up(socket);
        true
    }

    /// Closes a socket. Returns whether the socket existed.
    pub(super) fn close(&mut self, socket: SocketId, by_reset: bool, pool: &Pool) -> bool {
        let Some(slot) = self.sockets.remove(socket) else {
            return false;
        };
        if let Some(place) = &slot.bound {
            self.names.release(socket, place);
        }
        match slot.role {
            Role::Idle | Role::Connecting { .. } => {}
            Role::Listener(listener) => self.listener_closed(listener),
            Role::Stream(stream) => self.stream_closed(*stream, by_reset, pool),
        }
        true
    }

    fn stream_closed(&mut self, stream: Stream, by_reset: bool, pool: &Pool) {
        if let Some(batch) = stream.outbound.in_flight {
            batch.dismantle(|chunk| pool.keep_or_bury(chunk));
        }
        let Some(peer) = self.stream(stream.peer) else {
            return;
        };
        if stream.reset != Reset::No {
            return;
        }
        // A socket that is closed before it has received everything sends RST (RFC 2525, 2.17).
        if by_reset || peer.outbound.unreceived > 0 {
            self.send_reset(stream.peer);
        } else if !stream.outbound.ended {
            self.send_end(stream.peer);
        }
    }

    fn send_end(&mut self, to: SocketId) {
        self.deliver(to, Duration::ZERO, Event::End { to });
    }

    pub(super) fn end_arrives(&mut self, to: SocketId) {
        if let Some(stream) = self.stream_mut(to).filter(|stream| stream.reset == Reset::No) {
            stream.inbound.end();
        }
        self.line_up(to);
    }

    pub(super) fn reset_arrives(&mut self, to: SocketId, pool: &Pool) {
        let loses_unread = self.options.reset_loses_unread;
        let Some(stream) = self.stream_mut(to) else {
            return;
        };
        if stream.reset != Reset::No {
            return;
        }
        stream.reset = Reset::Arrived;
        let failure = stream.send_failure().unwrap_or(io::ErrorKind::ConnectionReset);
        stream.inbound.reset(loses_unread);
        self.give_up_batch(to, failure, pool);
        self.line_up(to);
    }

    /// Fails the batch in flight, if there is one.
    fn give_up_batch(&mut self, socket: SocketId, kind: io::ErrorKind, pool: &Pool) {
        let Some(stream) = self.stream_mut(socket) else {
            return;
        };
        let Some(batch) = stream.outbound.in_flight.take() else {
            return;
        };
        if stream.reset == Reset::Arrived {
            stream.reset = Reset::Reported;
        }
        batch.dismantle(|chunk| pool.keep_or_bury(chunk));
        self.fail(socket, Operation::Send, kind.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::SimOptions;
    use super::super::testing::{Seen, World, pattern};
    use super::*;
    use crate::backend::{Backend, Properties};

    fn receive_reset(socket: SocketId) -> Seen {
        Seen::Failed(socket, Operation::Receive, io::ErrorKind::ConnectionReset)
    }

    fn receiving(options: SimOptions) -> (World, SocketId, SocketId) {
        let world = World::new(options);
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.receive_start(client).unwrap();
        world.sim.receive_start(server).unwrap();
        (world, client, server)
    }

    #[test]
    fn a_half_closed_connection_still_carries_the_answer() {
        let (world, client, server) = receiving(SimOptions::default());
        world.send(client, b"request").unwrap();
        world.sim.shutdown(client);
        assert_eq!(world.turn().first(), Some(&Seen::ShutDown(client)));
        assert_eq!(world.settle().last(), Some(&Seen::End(server)));
        world.send(server, b"answer").unwrap();
        assert_eq!(world.received(client), b"answer");
        world.sim.close(server);
        assert_eq!(world.settle(), [Seen::End(client)]);
        assert_eq!(world.send(client, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_end_follows_all_bytes_that_were_sent() {
        for seed in 0..20 {
            let (world, client, server) = receiving(SimOptions::seeded(seed));
            let bytes = pattern(100_000);
            world.send(client, &bytes).unwrap();
            world.sim.close(client);
            let seen = world.settle();
            assert_eq!(seen.iter().filter_map(Seen::bytes).collect::<Vec<_>>().concat(), bytes);
            assert_eq!(seen.last(), Some(&Seen::End(server)));
        }
    }

    #[test]
    fn a_reset_is_reported_once_as_a_failed_receive() {
        let (world, client, server) = receiving(SimOptions::default());
        world.sim.reset(client);
        assert_eq!(world.settle(), [receive_reset(server)]);
        assert_eq!(world.send(server, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(world.sim.peer_address(server).unwrap_err().kind(), io::ErrorKind::NotConnected);
        world.sim.receive_start(server).unwrap();
        world.sim.shutdown(server);
        assert_eq!(
            world.settle(),
            [Seen::Failed(server, Operation::Shutdown, io::ErrorKind::NotConnected)]
        );
    }

    #[test]
    fn a_send_reports_a_reset_to_a_socket_that_does_not_receive() {
        let world = World::default();
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.reset(client);
        assert!(world.settle().is_empty());
        let kinds = [(); 2].map(|()| world.send(server, b"x").unwrap_err().kind());
        assert_eq!(kinds, [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe]);
    }

    #[test]
    fn closing_with_unread_bytes_resets_the_peer() {
        let world = World::default();
        let (client, server) = world.pair("127.0.0.1:80");
        world.send(client, b"never read").unwrap();
        world.settle();
        world.sim.receive_start(client).unwrap();
        world.sim.close(server);
        assert_eq!(world.settle(), [receive_reset(client)]);
    }

    #[test]
    fn closing_while_bytes_are_in_transit_resets_the_peer() {
        let (world, client, server) = receiving(SimOptions::default());
        world.send(client, b"too late").unwrap();
        world.sim.close(server);
        assert_eq!(world.settle(), [receive_reset(client)]);
    }

    #[test]
    fn sending_to_a_closed_peer_succeeds_once_and_then_fails_with_a_broken_pipe() {
        let (world, client, server) = receiving(SimOptions::default());
        world.sim.close(server);
        assert_eq!(world.settle(), [Seen::End(client)]);
        assert_eq!(world.send(client, b"x").unwrap(), 1);
        assert!(world.settle().is_empty(), "its receiving side has ended already");
        assert_eq!(world.send(client, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_send_that_crosses_the_close_is_answered_by_a_reset() {
        let options = SimOptions { reset_loses_unread: true, ..Default::default() };
        let world = World::new(options);
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.close(server);
        world.send(client, b"x").unwrap();
        world.settle();
        world.sim.receive_start(client).unwrap();
        assert_eq!(world.settle(), [receive_reset(client)]);
        assert_eq!(world.send(client, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reset_fails_the_batch_in_flight() {
        let options = SimOptions { window_bytes: 10, ..Default::default() };
        let world = World::new(options);
        let (client, server) = world.pair("127.0.0.1:80");
        assert_eq!(world.send(client, &pattern(100)).unwrap(), 10);
        world.settle();
        world.sim.receive_start(client).unwrap();
        world.sim.reset(server);
        let failed = Seen::Failed(client, Operation::Send, io::ErrorKind::ConnectionReset);
        assert_eq!(world.settle(), [failed, receive_reset(client)]);
    }

    #[test]
    fn a_reset_discards_unread_bytes_only_if_the_option_is_set() {
        for loses_unread in [true, false] {
            let options = SimOptions { reset_loses_unread: loses_unread, ..Default::default() };
            let world = World::new(options);
            let (client, server) = world.pair("127.0.0.1:80");
            world.send(client, b"unread").unwrap();
            world.settle();
            world.sim.reset(client);
            world.settle();
            world.sim.receive_start(server).unwrap();
            let seen = world.settle();
            let bytes = seen.iter().filter_map(Seen::bytes).collect::<Vec<_>>().concat();
            assert_eq!(bytes, if loses_unread { b"" } else { &b"unread"[..] });
            assert_eq!(seen.last(), Some(&receive_reset(server)));
        }
    }

    #[test]
    fn a_shutdown_without_a_connection_fails() {
        let world = World::default();
        let socket = world.open("127.0.0.1:0");
        world.sim.shutdown(socket);
        assert_eq!(
            world.settle(),
            [Seen::Failed(socket, Operation::Shutdown, io::ErrorKind::NotConnected)]
        );
    }
}
