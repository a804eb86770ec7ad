//! Random operations, and the guarantees that hold for every sequence of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;

use super::options::SimOptions;
use super::random::Random;
use super::testing::{Seen, World, address};
use super::{Sim, SocketId};
use crate::backend::Backend;
use crate::limits::READ_BUFFER_BYTES;
use crate::{Open, Transport};

const PLACES: [&str; 4] = ["127.0.0.1:80", "[::1]:80", "/run/x.sock", "abstract:x"];

/// What a user of the driver knows.
struct Chaos {
    random: Random,
    alive: Vec<SocketId>,
    dead: BTreeSet<SocketId>,
    /// Sockets that have reported an end or a failure: they receive nothing more.
    ended: BTreeSet<SocketId>,
    /// Sockets that wait for `Readable`, and for `Writable`.
    readable: BTreeSet<SocketId>,
    writable: BTreeSet<SocketId>,
    /// Bytes of a batch that are still to be sent.
    in_flight: BTreeMap<SocketId, usize>,
    trace: Vec<(Duration, Seen)>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(!seed),
            alive: Vec::new(),
            dead: BTreeSet::new(),
            ended: BTreeSet::new(),
            readable: BTreeSet::new(),
            writable: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    fn any(&mut self) -> Option<SocketId> {
        let index = self.random.up_to(self.alive.len()) - 1;
        self.alive.get(index).copied()
    }

    fn act(&mut self, sim: &Sim) {
        let place = address(PLACES[self.random.up_to(PLACES.len()) - 1]);
        let mut request = Open::new(Transport::of(&place));
        let what = self.random.up_to(30);
        if what <= 2 {
            request.bind = Some(place);
            if let Ok(listener) = sim.open(&request) {
                sim.listen(listener, self.random.up_to(3) as i32 - 1).unwrap();
                sim.accept_start(listener).unwrap();
                self.alive.push(listener);
            }
            return;
        }
        if what <= 5 {
            let client = sim.open(&request).unwrap();
            sim.connect(client, &place);
            self.alive.push(client);
            return;
        }
        let Some(socket) = self.any() else { return };
        match what {
            6..=12 => {
                let count = self.random.up_to(5000);
                if let Ok(taken) = World::send_on(sim, socket, &vec![7; count]) {
                    self.writable.remove(&socket);
                    assert!(!self.in_flight.contains_key(&socket));
                    if taken < count {
                        self.in_flight.insert(socket, count - taken);
                    }
                }
            }
            13..=18 => {
                sim.receive_start(socket).unwrap();
                self.readable.remove(&socket);
            }
            19 => {
                sim.receive_stop(socket);
                self.readable.remove(&socket);
            }
            20 if !self.in_flight.contains_key(&socket) => _ = sim.shutdown(socket),
            21 | 22 => {
                if what == 21 {
                    sim.close(socket);
                } else {
                    sim.reset(socket);
                }
                self.alive.retain(|alive| *alive != socket);
                self.dead.insert(socket);
            }
            23 | 24 => {
                sim.readable_start(socket).unwrap();
                self.readable.insert(socket);
            }
            25 if !self.in_flight.contains_key(&socket) => {
                sim.writable_start(socket).unwrap();
                self.writable.insert(socket);
            }
            26..=28 => self.read(sim, socket),
            _ => {
                drop(sim.accept_start(socket));
            }
        }
    }

    fn read(&mut self, sim: &Sim, socket: SocketId) {
        let mut memory = vec![0; self.random.up_to(2000)];
        let peeked = sim.peek_into(socket, (&mut memory[..]).into()).map(|bytes| bytes.len());
        let peeked = peeked.map_err(|error| error.kind());
        let read = sim.read_into(socket, (&mut memory[..]).into()).map(|bytes| bytes.len());
        let read = read.map_err(|error| error.kind());
        match (peeked, read) {
            (Ok(peeked @ 1..), Ok(read)) => {
                assert!(peeked <= read);
                assert!(!self.ended.contains(&socket), "bytes after the end");
            }
            (peeked, read) => assert_eq!(peeked, read),
        }
        if !matches!(read, Ok(1..) | Err(ErrorKind::WouldBlock)) {
            self.ended.insert(socket);
        }
    }

    fn check(&mut self, seen: &Seen) {
        let socket = match seen {
            Seen::Accepted(listener, socket, _) => {
                self.alive.push(*socket);
                *listener
            }
            Seen::Received(socket, bytes) => {
                assert!(bytes.len() <= READ_BUFFER_BYTES);
                assert!(!self.ended.contains(socket), "bytes after the end");
                *socket
            }
            Seen::End(socket) | Seen::Failed(socket, crate::Operation::Receive, _) => {
                assert!(self.ended.insert(*socket), "an end or a failure after the end");
                *socket
            }
            Seen::Sent(socket, bytes) => {
                let left = self.in_flight.remove(socket).unwrap() - bytes;
                if left > 0 {
                    self.in_flight.insert(*socket, left);
                }
                *socket
            }
            Seen::Failed(socket, crate::Operation::Send, _) => {
                assert!(
                    self.in_flight.remove(socket).is_some(),
                    "a failed send without a batch in flight"
                );
                *socket
            }
            Seen::Readable(socket) => {
                assert!(self.readable.remove(socket), "the report was not requested");
                *socket
            }
            Seen::Writable(socket) => {
                assert!(self.writable.remove(socket), "the report was not requested");
                *socket
            }
            Seen::Connected(socket) | Seen::ShutDown(socket) | Seen::Failed(socket, ..) => *socket,
            Seen::Woken => panic!("a wake was reported without a waker"),
        };
        assert!(!self.dead.contains(&socket), "a completion was reported for a dead id");
    }
}

fn run(seed: u64) -> Vec<(Duration, Seen)> {
    let world = World::new(SimOptions {
        window_bytes: 3000,
        piece_bytes_max: 700,
        latency: Duration::from_micros(seed % 3 * 20),
        reset_loses_unread: seed % 2 == 0,
        ..SimOptions::seeded(seed)
    });
    let mut chaos = Chaos::new(seed);
    for round in 0..400 {
        chaos.act(&world.sim);
        if round % 2 == 0 {
            continue;
        }
        let until = Some(world.sim.now() + Duration::from_micros(30));
        let mut on = |completion: crate::Completion<'_>| {
            let seen = Seen::of(completion);
            chaos.check(&seen);
            chaos.trace.push((world.elapsed(), seen));
            if chaos.random.one_in(3) {
                chaos.act(&world.sim);
            }
        };
        world.sim.turn(until, &mut on).unwrap();
    }
    for socket in std::mem::take(&mut chaos.alive) {
        world.sim.close(socket);
    }
    let left = world.settle();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(world.sim.network.borrow().sockets.len(), 0, "a socket was not removed");
    chaos.trace
}

#[test]
fn random_operations_report_nothing_for_dead_ids_and_leave_no_sockets() {
    let completions: usize = (0..200).map(|seed| run(seed).len()).sum();
    assert!(completions > 10_000, "{completions}");
}

#[test]
fn random_operations_with_equal_seeds_produce_equal_traces() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed));
    }
}
