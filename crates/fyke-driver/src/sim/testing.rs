//! Shared helpers of the tests in this folder.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::{Sim, SimOptions};
use crate::backend::Backend;
use crate::{Address, Batch, Chunk, Completion, Open, OpenError, Operation, SocketId, Transport};

/// A completion that can be kept and compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Accepted(SocketId, SocketId, Option<SocketAddr>),
    Connected(SocketId),
    Received(SocketId, Vec<u8>),
    Readable(SocketId),
    Writable(SocketId),
    End(SocketId),
    Sent(SocketId, usize),
    ShutDown(SocketId),
    Failed(SocketId, Operation, io::ErrorKind),
    Woken,
}

impl Seen {
    pub(super) fn of(completion: Completion<'_>) -> Self {
        match completion {
            Completion::Accepted { listener, socket, peer, .. } => {
                Self::Accepted(listener, socket, peer)
            }
            Completion::Connected { socket } => Self::Connected(socket),
            Completion::Received { socket, bytes } => {
                assert!(!bytes.is_empty());
                Self::Received(socket, bytes.to_vec())
            }
            Completion::Readable { socket } => Self::Readable(socket),
            Completion::Writable { socket } => Self::Writable(socket),
            Completion::EndOfStream { socket } => Self::End(socket),
            Completion::Sent { socket, bytes } => Self::Sent(socket, bytes),
            Completion::ShutDown { socket } => Self::ShutDown(socket),
            Completion::Failed { socket, operation, error } => {
                Self::Failed(socket, operation, error.kind())
            }
            Completion::Woken => Self::Woken,
            Completion::Shed { .. } => {
                panic!("descriptors are never exhausted in the simulated network")
            }
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Received(_, bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Parses an address: `127.0.0.1:80`, `[::1]:80`, `/run/x.sock` or `abstract:x`.
pub(super) fn address(text: &str) -> Address {
    if let Ok(address) = text.parse() {
        return Address::Ip(address);
    }
    match text.strip_prefix("abstract:") {
        Some(name) => Address::Abstract(name.as_bytes().to_vec()),
        None => Address::Path(text.into()),
    }
}

/// Bytes in which no two neighbouring stretches are equal.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) sim: Sim,
}

impl Default for World {
    fn default() -> Self {
        Self::new(SimOptions::default())
    }
}

impl World {
    pub(super) fn new(options: SimOptions) -> Self {
        Self { sim: Sim::new(options) }
    }

    /// The time on the virtual clock.
    pub(super) fn elapsed(&self) -> Duration {
        self.sim.now().into()
    }

    pub(super) fn try_open(&self, place: &str) -> Result<SocketId, OpenError> {
        let place = address(place);
        let mut request = Open::new(Transport::of(&place));
        request.bind = Some(place);
        self.sim.open(&request)
    }

    pub(super) fn open(&self, place: &str) -> SocketId {
        self.try_open(place).unwrap()
    }

    pub(super) fn listener(&self, place: &str) -> SocketId {
        let listener = self.open(place);
        self.sim.listen(listener, 511).unwrap();
        listener
    }

    pub(super) fn connect(&self, place: &str) -> SocketId {
        let target = address(place);
        let client = self.sim.open(&Open::new(Transport::of(&target))).unwrap();
        self.sim.connect(client, &target);
        client
    }

    /// Establishes a connection, and returns the client and the accepted socket. Neither is receiving.
    pub(super) fn pair(&self, place: &str) -> (SocketId, SocketId) {
        let listener = self.listener(place);
        self.sim.accept_start(listener).unwrap();
        let client = self.connect(place);
        let seen = self.settle();
        let [Seen::Connected(_), Seen::Accepted(_, server, _)] = seen.as_slice() else {
            panic!("{seen:?}")
        };
        (client, *server)
    }

    pub(super) fn send(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        Self::send_on(&self.sim, socket, bytes)
    }

    pub(super) fn send_on(sim: &Sim, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        sim.send(socket, Batch::one(Chunk::Shared(Bytes::copy_from_slice(bytes))))
    }

    pub(super) fn turn_with(&self, on: &mut dyn FnMut(&Sim, Seen)) {
        self.sim.turn(None, &mut |completion| on(&self.sim, Seen::of(completion))).unwrap();
    }

    pub(super) fn turn(&self) -> Vec<Seen> {
        let seen = RefCell::default();
        self.turn_with(&mut |_, completion| Vec::push(&mut seen.borrow_mut(), completion));
        seen.into_inner()
    }

    /// Runs turns until nothing is in transit.
    pub(super) fn settle(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while self.sim.has_work() || self.sim.next_deadline().is_some() {
            seen.extend(self.turn());
        }
        seen
    }

    /// Settles, and joins everything that `socket` received.
    pub(super) fn received(&self, socket: SocketId) -> Vec<u8> {
        let seen = self.settle();
        let of_socket = |seen: &Seen| match seen {
            Seen::Received(receiver, bytes) if *receiver == socket => bytes.clone(),
            _ => Vec::new(),
        };
        seen.iter().flat_map(of_socket).collect()
    }
}
