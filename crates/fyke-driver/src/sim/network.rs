//! The state of the network, and the helpers that all its parts use.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use slotmap::SlotMap;

use super::names::Names;
use super::options::SimOptions;
use super::random::Random;
use super::schedule::{Event, Schedule};
use super::socket::{Listener, Role, Socket, Stream};
use crate::completion::{Deferred, dead};
use crate::pool::Pool;
use crate::{Address, Completion, Operation, SocketId};

/// Work for the next turn.
#[derive(Debug)]
pub(super) enum Due {
    /// Reports a completion that is already known.
    Completion(SocketId, Deferred),
    /// Lets a socket send, receive or accept.
    Work(SocketId),
}

/// A completion that owns the bytes that it lends to the callback.
#[derive(Debug)]
pub(super) enum Given {
    Received(SocketId, Vec<u8>),
    Other(Completion<'static>),
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) options: SimOptions,
    pub(super) random: Random,
    pub(super) schedule: Schedule,
    pub(super) names: Names,
    pub(super) sockets: SlotMap<SocketId, Socket>,
    /// In the order in which the work became due.
    pub(super) due: VecDeque<Due>,
}

impl Network {
    pub(super) fn new(options: SimOptions) -> Self {
        Self {
            random: Random::new(options.seed),
            options: options.within_bounds(),
            schedule: Schedule::default(),
            names: Names::default(),
            sockets: SlotMap::default(),
            due: VecDeque::new(),
        }
    }

    pub(super) fn socket(&self, socket: SocketId) -> io::Result<&Socket> {
        self.sockets.get(socket).ok_or_else(dead)
    }

    pub(super) fn socket_mut(&mut self, socket: SocketId) -> io::Result<&mut Socket> {
        self.sockets.get_mut(socket).ok_or_else(dead)
    }

    pub(super) fn stream(&self, socket: SocketId) -> Option<&Stream> {
        self.sockets.get(socket)?.stream()
    }

    pub(super) fn stream_mut(&mut self, socket: SocketId) -> Option<&mut Stream> {
        self.sockets.get_mut(socket)?.stream_mut()
    }

    pub(super) fn listener_mut(&mut self, socket: SocketId) -> Option<&mut Listener> {
        self.sockets.get_mut(socket)?.listener_mut()
    }

    pub(super) fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        Ok(self.socket(socket)?.local_address())
    }

    pub(super) fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        self.socket(socket)?.peer_address()
    }

    /// Returns whether work is due without moving the clock.
    pub(super) fn has_work(&self) -> bool {
        !self.due.is_empty() || self.schedule.is_due()
    }

    /// Queues a socket for the next turn if it has work.
    pub(super) fn line_up(&mut self, socket: SocketId) {
        let Some(slot) = self.sockets.get_mut(socket) else {
            return;
        };
        if !slot.in_line && slot.has_work(self.options.window_bytes) {
            slot.in_line = true;
            self.due.push_back(Due::Work(socket));
        }
    }

    pub(super) fn complete(&mut self, socket: SocketId, completion: Deferred) {
        self.due.push_back(Due::Completion(socket, completion));
    }

    pub(super) fn fail(&mut self, socket: SocketId, operation: Operation, error: io::Error) {
        self.complete(socket, Deferred::Failed(operation, error));
    }

    /// Schedules an event to arrive at `to`: after the latency, after everything that was sent to `to`
    /// before, and `pause` later still.
    pub(super) fn deliver(&mut self, to: SocketId, pause: Duration, event: Event) {
        let mut at = self.schedule.now().saturating_add(self.options.latency);
        if let Some(stream) = self.stream_mut(to) {
            at = at.max(stream.arrives_until).saturating_add(pause);
            stream.arrives_until = at;
        }
        self.schedule.add(at, event);
    }

    /// Applies the events that are due. Reports no completion yet.
    pub(super) fn collect(&mut self, pool: &Pool) {
        while let Some(event) = self.schedule.pop_due() {
            match event {
                Event::Answer { client } => self.answer(client),
                Event::Bytes { from, to, bytes } => self.bytes_arrive(from, to, bytes),
                Event::End { to } => self.end_arrives(to),
                Event::Reset { to } => self.reset_arrives(to, pool),
            }
        }
    }

    /// Returns the next completion of a socket, and changes its state accordingly.
    pub(super) fn next_of(&mut self, socket: SocketId, pool: &Pool) -> Option<Given> {
        match self.sockets.get(socket)?.role {
            Role::Idle | Role::Connecting { .. } => None,
            Role::Listener(_) => self.accept_next(socket).map(Given::Other),
            Role::Stream(_) => {
                let sent = match self.send_more(socket, pool) {
                    None => self.tell_room(socket),
                    sent => sent,
                };
                sent.map(Given::Other).or_else(|| self.receive_next(socket))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::World;
    use super::*;
    use crate::SocketOption;
    use crate::backend::{Backend, Properties};

    #[test]
    fn calls_with_a_dead_id_are_harmless() {
        let world = World::default();
        let socket = world.open("127.0.0.1:0");
        world.sim.close(socket);
        let dead = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotConnected);
        };
        dead(world.sim.listen(socket, 1));
        dead(world.sim.accept_start(socket));
        dead(world.sim.receive_start(socket));
        dead(world.sim.set_option(socket, SocketOption::NoDelay(true)));
        dead(world.sim.local_address(socket).map(drop));
        dead(world.sim.peer_address(socket).map(drop));
        dead(world.send(socket, b"x").map(drop));
        world.sim.accept_stop(socket);
        world.sim.receive_stop(socket);
        world.sim.connect(socket, &"127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap().into());
        world.sim.shutdown(socket);
        world.sim.close(socket);
        world.sim.reset(socket);
        assert!(world.settle().is_empty());
    }
}
