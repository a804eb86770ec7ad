//! Sending.

use std::io::{self, IoSlice};
use std::time::Duration;

use super::network::Network;
use super::pipe::take_piece;
use super::schedule::Event;
use super::socket::Reset;
use crate::completion::dead;
use crate::limits::PIECES_PER_SEND_MAX;
use crate::pool::Pool;
use crate::{Batch, Completion, SocketId};

/// The number of steps that the latency is divided into: the rest of a cut piece arrives 1 to
/// `PAUSE_STEPS` steps later.
const PAUSE_STEPS: u32 = 8;

impl Network {
    pub(super) fn send(
        &mut self,
        socket: SocketId,
        mut batch: Batch,
        pool: &Pool,
    ) -> io::Result<usize> {
        if let Err(error) = self.may_send(socket) {
            batch.dismantle(|chunk| pool.keep_or_bury(chunk));
            return Err(error);
        }
        self.socket_mut(socket)?.room_wanted = false;
        let taken = self.transmit(socket, &mut batch, pool);
        self.keep_rest(socket, batch, pool);
        Ok(taken)
    }

    /// Accepts what a kernel may accept: all bytes, a part of them or none, so that tests meet each case.
    pub(super) fn send_at_once(
        &mut self,
        socket: SocketId,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        self.may_send(socket)?;
        let slices = &slices[..slices.len().min(PIECES_PER_SEND_MAX)];
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let window = self.options.window_bytes;
        let Some(stream) = self.stream(socket) else { return Ok(0) };
        let peer = stream.peer;
        let room = window.saturating_sub(stream.outbound.unreceived);
        let mut count = offered.min(room).min(self.options.piece_bytes_max);
        if count > 0 && self.options.cut {
            // The caller sends the rest as a batch, whose pieces are also separated in time.
            count = if self.random.one_in(2) { 0 } else { self.random.cut(count) };
        }
        if count > 0 {
            if let Some(stream) = self.stream_mut(socket) {
                stream.outbound.unreceived += count;
            }
            let mut bytes = Vec::with_capacity(count);
            for slice in slices {
                bytes.extend_from_slice(&slice[..slice.len().min(count - bytes.len())]);
            }
            self.deliver(peer, Duration::ZERO, Event::Bytes { from: socket, to: peer, bytes });
        }
        Ok(count)
    }

    pub(super) fn writable_start(&mut self, socket: SocketId) -> io::Result<()> {
        let slot = self.socket_mut(socket)?;
        if slot.stream().is_some_and(|stream| stream.outbound.in_flight.is_some()) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        slot.room_wanted = true;
        self.line_up(socket);
        Ok(())
    }

    /// Reports `Writable` if it is wanted and there is room, or sending fails.
    pub(super) fn tell_room(&mut self, socket: SocketId) -> Option<Completion<'static>> {
        let window = self.options.window_bytes;
        let slot = self.sockets.get_mut(socket).filter(|slot| slot.may_tell_room(window))?;
        slot.room_wanted = false;
        Some(Completion::Writable { socket })
    }

    fn may_send(&mut self, socket: SocketId) -> io::Result<()> {
        let stream = self.stream_mut(socket).ok_or_else(dead)?;
        if let Some(kind) = stream.send_failure() {
            if stream.reset == Reset::Arrived {
                stream.reset = Reset::Reported;
            }
            return Err(kind.into());
        }
        if stream.outbound.in_flight.is_some() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }

    /// Sends as much of a batch as the window has room for. Returns the number of bytes sent.
    fn transmit(&mut self, socket: SocketId, batch: &mut Batch, pool: &Pool) -> usize {
        let before = batch.remaining();
        let mut pause = Duration::ZERO;
        while batch.remaining() > 0 {
            let window = self.options.window_bytes;
            let Some(stream) = self.stream(socket) else {
                break;
            };
            let room = window.saturating_sub(stream.outbound.unreceived);
            if room == 0 {
                break;
            }
            let peer = stream.peer;
            let chance = if self.options.cut { Some(&mut self.random) } else { None };
            let (bytes, cut) =
                take_piece(batch, room.min(self.options.piece_bytes_max), chance, pool);
            if let Some(stream) = self.stream_mut(socket) {
                stream.outbound.unreceived += bytes.len();
            }
            self.deliver(peer, pause, Event::Bytes { from: socket, to: peer, bytes });
            // The rest arrives later than this piece, so that other events can come between.
            pause = if cut { self.pause() } else { Duration::ZERO };
        }
        before - batch.remaining()
    }

    fn pause(&mut self) -> Duration {
        let steps = self.random.up_to(PAUSE_STEPS as usize) as u32;
        (self.options.latency / PAUSE_STEPS).saturating_mul(steps)
    }

    fn keep_rest(&mut self, socket: SocketId, batch: Batch, pool: &Pool) {
        if batch.remaining() == 0 {
            batch.dismantle(|chunk| pool.keep_or_bury(chunk));
        } else if let Some(stream) = self.stream_mut(socket) {
            stream.outbound.in_flight = Some(batch);
        }
    }

    /// Continues the batch in flight if the window has room.
    pub(super) fn send_more(
        &mut self,
        socket: SocketId,
        pool: &Pool,
    ) -> Option<Completion<'static>> {
        let window = self.options.window_bytes;
        let outbound = &mut self.stream_mut(socket)?.outbound;
        if outbound.unreceived >= window {
            return None;
        }
        let mut batch = outbound.in_flight.take()?;
        let bytes = self.transmit(socket, &mut batch, pool);
        self.keep_rest(socket, batch, pool);
        Some(Completion::Sent { socket, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::SimOptions;
    use super::super::testing::{Seen, World, pattern};
    use super::*;
    use crate::backend::Backend;

    #[test]
    fn an_echo_returns_the_bytes_that_were_sent() {
        for place in ["127.0.0.1:80", "[::1]:80", "/run/x.sock", "abstract:x"] {
            let world = World::default();
            let (client, server) = world.pair(place);
            world.sim.receive_start(client).unwrap();
            world.sim.receive_start(server).unwrap();
            assert_eq!(world.send(client, b"hello").unwrap(), 5);
            let request = world.received(server);
            assert_eq!(request, b"hello");
            world.send(server, &request).unwrap();
            assert_eq!(world.received(client), b"hello");
        }
    }

    #[test]
    fn bytes_take_the_latency_to_arrive() {
        let latency = Duration::from_millis(5);
        let world = World::new(SimOptions { latency, cut: false, ..Default::default() });
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.receive_start(server).unwrap();
        let start = world.elapsed();
        world.send(client, b"hello").unwrap();
        assert_eq!(world.turn(), [Seen::Received(server, b"hello".to_vec())]);
        assert_eq!(world.elapsed() - start, latency);
    }

    #[test]
    fn a_batch_larger_than_the_window_waits_for_the_receiver() {
        let options = SimOptions { window_bytes: 1000, ..Default::default() };
        let world = World::new(options);
        let (client, server) = world.pair("127.0.0.1:80");
        let bytes = pattern(10_000);
        assert_eq!(world.send(client, &bytes).unwrap(), 1000);
        assert!(world.settle().is_empty(), "the peer does not receive, so nothing more is sent");
        assert_eq!(world.send(client, b"second").unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        world.sim.receive_start(server).unwrap();
        let seen = world.settle();
        let sent: usize = seen
            .iter()
            .map(|seen| match seen {
                Seen::Sent(socket, bytes) if *socket == client => *bytes,
                _ => 0,
            })
            .sum();
        assert_eq!(sent, 9000);
        assert_eq!(seen.iter().filter_map(Seen::bytes).collect::<Vec<_>>().concat(), bytes);
    }

    #[test]
    fn sending_without_a_connection_fails() {
        let world = World::default();
        let socket = world.open("127.0.0.1:0");
        let error = world.send(socket, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }

    #[test]
    fn an_empty_batch_is_sent_at_once() {
        let world = World::default();
        let (client, _) = world.pair("127.0.0.1:80");
        assert_eq!(world.send(client, b"").unwrap(), 0);
        assert!(world.settle().is_empty());
    }
}
