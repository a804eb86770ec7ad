//! Receiving.

use std::io;

use super::network::{Given, Network};
use super::pipe::{Arrival, Peek};
use super::socket::Reset;
use crate::completion::Wanted;
use crate::uninit::{Unfilled, copy_into};
use crate::{Completion, Operation, SocketId};

impl Network {
    pub(super) fn bytes_arrive(&mut self, from: SocketId, to: SocketId, bytes: Vec<u8>) {
        match self.stream_mut(to) {
            Some(stream) if stream.reset == Reset::No => stream.inbound.push(bytes),
            Some(_) => {}
            // The receiver is closed: the sender gets a reset.
            None => self.send_reset(from),
        }
        self.line_up(to);
    }

    pub(super) fn start_reading(&mut self, socket: SocketId, wanted: Wanted) -> io::Result<()> {
        self.socket_mut(socket)?.wanted = wanted;
        self.line_up(socket);
        Ok(())
    }

    pub(super) fn receive_next(&mut self, socket: SocketId) -> Option<Given> {
        let slot = self.sockets.get_mut(socket)?;
        match slot.wanted {
            Wanted::Nothing => return None,
            Wanted::Delivery => {}
            Wanted::Notice => {
                slot.stream()?.inbound.peek()?;
                slot.wanted = Wanted::Nothing;
                return Some(Given::Other(Completion::Readable { socket }));
            }
        }
        Some(match self.take(socket, self.options.piece_bytes_max)? {
            Arrival::Bytes(bytes) => Given::Received(socket, bytes),
            Arrival::End => Given::Other(Completion::EndOfStream { socket }),
            Arrival::Reset => {
                let (operation, error) = (Operation::Receive, RESET.into());
                Given::Other(Completion::Failed { socket, operation, error })
            }
        })
    }

    pub(super) fn read_into<'a>(
        &mut self,
        socket: SocketId,
        buffer: Unfilled<'a>,
    ) -> io::Result<&'a mut [u8]> {
        let stream = self.socket(socket)?.stream().ok_or(io::ErrorKind::WouldBlock)?;
        if stream.inbound.is_done() {
            return Ok(&mut []);
        }
        match self.take(socket, self.options.piece_bytes_max.min(buffer.len())) {
            Some(Arrival::Bytes(bytes)) => Ok(copy_into(&bytes, buffer)),
            Some(Arrival::End) => Ok(&mut []),
            Some(Arrival::Reset) => Err(RESET.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn peek_into<'a>(
        &self,
        socket: SocketId,
        buffer: Unfilled<'a>,
    ) -> io::Result<&'a mut [u8]> {
        match self.socket(socket)?.stream().and_then(|stream| stream.inbound.peek()) {
            Some(Peek::Bytes(bytes)) => Ok(copy_into(bytes, buffer)),
            Some(Peek::End) => Ok(&mut []),
            Some(Peek::Reset) => Err(RESET.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes the first arrival, at most `bytes_max` bytes. The bytes leave the window of the sender.
    fn take(&mut self, socket: SocketId, bytes_max: usize) -> Option<Arrival> {
        let Self { sockets, random, options, .. } = self;
        let stream = sockets.get_mut(socket)?.stream_mut()?;
        let join = || options.cut && random.one_in(2);
        let arrival = stream.inbound.take(bytes_max, join)?;
        match &arrival {
            Arrival::Bytes(bytes) => {
                let peer = stream.peer;
                if let Some(sender) = self.stream_mut(peer) {
                    sender.outbound.unreceived -= bytes.len();
                    self.line_up(peer);
                }
            }
            Arrival::End => {}
            Arrival::Reset => stream.reset = Reset::Reported,
        }
        Some(arrival)
    }
}

const RESET: io::ErrorKind = io::ErrorKind::ConnectionReset;

#[cfg(test)]
mod tests {
    use super::super::options::SimOptions;
    use super::super::testing::{Seen, World, pattern};
    use crate::backend::Backend;
    use crate::limits::READS_PER_TURN_MAX;

    #[test]
    fn bytes_arrive_in_pieces_of_a_reasonable_size() {
        let world = World::default();
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.receive_start(server).unwrap();
        let bytes = pattern(1 << 20);
        let at_once = world.send(client, &bytes).unwrap();
        assert_eq!(at_once, SimOptions::default().window_bytes);
        let seen = world.settle();
        let pieces: Vec<_> = seen.iter().filter_map(Seen::bytes).collect();
        assert_eq!(pieces.concat(), bytes);
        assert!(pieces.iter().all(|piece| (1..=65536).contains(&piece.len())));
        assert!((17..300).contains(&pieces.len()), "{} pieces", pieces.len());
    }

    #[test]
    fn short_messages_are_sometimes_cut_and_sometimes_joined() {
        let world = World::default();
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.receive_start(server).unwrap();
        let mut pieces = Vec::new();
        for _ in 0..40 {
            world.send(client, b"first").unwrap();
            world.send(client, b"second").unwrap();
            pieces.extend(world.settle().iter().filter_map(Seen::bytes).map(<[u8]>::to_vec));
        }
        assert_eq!(pieces.concat(), b"firstsecond".repeat(40));
        assert!(pieces.contains(&b"first".to_vec()));
        assert!(pieces.contains(&b"firstsecond".to_vec()));
        assert!(pieces.iter().any(|piece| piece.len() < 5));
    }

    #[test]
    fn no_bytes_are_lost_while_receiving_is_stopped() {
        let world = World::default();
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.receive_start(server).unwrap();
        let bytes = pattern(100_000);
        world.send(client, &bytes).unwrap();
        world.sim.shutdown(client);
        let mut received = Vec::new();
        let mut ended = false;
        while !ended {
            world.sim.receive_start(server).unwrap();
            world.turn_with(&mut |sim, seen| {
                ended |= seen == Seen::End(server);
                received.extend_from_slice(seen.bytes().unwrap_or_default());
                sim.receive_stop(server);
            });
        }
        assert_eq!(received, bytes);
    }

    #[test]
    fn nothing_is_reported_while_receiving_is_stopped() {
        let world = World::default();
        let (client, server) = world.pair("127.0.0.1:80");
        world.send(client, b"hello").unwrap();
        world.sim.close(client);
        assert!(world.settle().is_empty());
        world.sim.receive_start(server).unwrap();
        let seen = world.settle();
        assert_eq!(seen.iter().filter_map(Seen::bytes).collect::<Vec<_>>().concat(), b"hello");
        assert_eq!(seen.last(), Some(&Seen::End(server)));
    }

    #[test]
    fn one_socket_receives_a_bounded_number_of_pieces_per_turn() {
        let options = SimOptions { cut: false, piece_bytes_max: 1, ..Default::default() };
        let world = World::new(options);
        let (client, server) = world.pair("127.0.0.1:80");
        world.send(client, &pattern(READS_PER_TURN_MAX + 1)).unwrap();
        world.settle();
        world.sim.receive_start(server).unwrap();
        assert_eq!(world.turn().len(), READS_PER_TURN_MAX);
        assert!(world.sim.has_work());
        assert_eq!(world.turn().len(), 1);
    }
}
