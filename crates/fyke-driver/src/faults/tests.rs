//! Every error of every system call, on both backends of Linux: the library sees the same result.

use std::collections::BTreeSet;
use std::io::{IoSlice, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::io::Errno;

use super::{Call, clear, hits, inject, made};
use crate::{
    Address, Batch, Chunk, Completion, Driver, DriverKind, Family, Open, SocketId, Transport,
};

/// All errors of Linux, and one that does not exist yet.
const ERRNOS: std::ops::RangeInclusive<i32> = 1..=134;

/// More turns than any scenario needs.
const TURNS_MAX: usize = 200;

/// A driver and its reports, without ids and with the received bytes joined.
struct World {
    driver: Driver,
    log: Vec<String>,
    received: Vec<u8>,
    sockets: Vec<SocketId>,
}

impl World {
    /// `None` where the system does not allow io_uring.
    fn new(kind: &DriverKind) -> Option<Self> {
        let driver = Driver::new(kind).unwrap();
        let wanted = *kind == DriverKind::Ready || driver.name() == "uring";
        wanted.then(|| Self { driver, log: vec![], received: vec![], sockets: vec![] })
    }

    fn turn(&mut self, timeout: Duration) {
        let Self { driver, log, received, sockets } = self;
        let on = &mut |completion: Completion<'_>| match completion {
            Completion::Accepted { socket, peer, unix, .. } => {
                log.push(format!("accepted {} {unix}", peer.is_some()));
                sockets.push(socket);
            }
            Completion::Received { bytes, .. } => received.extend_from_slice(bytes),
            Completion::Readable { .. } => log.push("readable".into()),
            Completion::Writable { .. } => log.push("writable".into()),
            Completion::EndOfStream { .. } => log.push("end of stream".into()),
            Completion::Failed { operation, error, .. } => {
                log.push(format!("{operation:?} failed: {:?}", error.raw_os_error()));
            }
            Completion::Connected { .. } => log.push("connected".into()),
            Completion::ShutDown { .. } => log.push("shut down".into()),
            Completion::Sent { .. } => log.push("sent".into()),
            Completion::Shed { count, .. } => log.push(format!("shed {count}")),
            Completion::Woken => {}
        };
        driver.turn(Some(driver.now() + timeout), on).unwrap();
    }

    /// Turns until `done`, and as long as there is work. Fails if the work never ends.
    fn settle(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if done(self) && !self.driver.has_work() {
                return;
            }
            self.turn(Duration::from_millis(5));
        }
        panic!("{}: it spins or does not come: {:?}", self.driver.name(), self.outcome());
    }

    fn outcome(&self) -> String {
        format!("{} {:?}", self.log.join(", "), String::from_utf8_lossy(&self.received))
    }

    fn pair(&self) -> (SocketId, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (self.driver.adopt(ours.into()).unwrap().0, listener.accept().unwrap().0)
    }

    fn listener(&self) -> (SocketId, SocketAddr) {
        let bind = Some(Address::Ip("127.0.0.1:0".parse().unwrap()));
        let open = Open { bind, ..Open::new(Transport::Tcp(Family::V4)) };
        let listener = self.driver.open(&open).unwrap();
        self.driver.listen(listener, 16).unwrap();
        self.driver.accept_start(listener).unwrap();
        (listener, self.driver.local_address(listener).unwrap().ip().unwrap())
    }
}

/// Plays `scenario` with each error on both backends, and returns the errors whose results differ.
fn differences(scenario: impl Fn(&mut World, Errno)) -> BTreeSet<i32> {
    let mut differences = BTreeSet::new();
    for errno in ERRNOS {
        let play = |kind| {
            let mut world = World::new(&kind)?;
            scenario(&mut world, Errno::from_raw_os_error(errno));
            clear();
            Some(world.outcome())
        };
        let ready = play(DriverKind::Ready).unwrap();
        let Some(uring) = play(DriverKind::Uring) else { return BTreeSet::new() };
        if ready != uring {
            eprintln!("errno {errno}: ready {ready}, uring {uring}");
            differences.insert(errno);
        }
    }
    differences
}

#[test]
fn every_error_of_accept_means_the_same_on_both_backends() {
    let differing = differences(|world, errno| {
        let (_, address) = world.listener();
        world.turn(Duration::ZERO);
        inject(Call::Accept, errno, 1);
        let _first = TcpStream::connect(address).unwrap();
        world.settle(|_| hits() == 1);
        let _second = TcpStream::connect(address).unwrap();
        let finished = |world: &World| world.log.iter().any(|entry| entry.contains("failed"));
        let served =
            |world: &World| world.log.iter().filter(|entry| entry.starts_with("acc")).count();
        world.settle(|world| finished(world) || served(world) == 2 || world.log.len() == 2);
    });
    assert_eq!(differing, BTreeSet::new());
}

/// Regression: all waiting connections were refused, and those that arrived meanwhile.
#[test]
fn a_connection_is_refused_only_while_descriptors_are_exhausted() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let Some(mut world) = World::new(&kind) else { continue };
        let (_, address) = world.listener();
        world.turn(Duration::ZERO);
        let _peers: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        inject(Call::Accept, Errno::MFILE, 1);
        world.settle(|world| world.log.len() == 3);
        let accepted = "accepted true false";
        assert_eq!(world.log, ["shed 1", accepted, accepted], "{}", world.driver.name());
        clear();
    }
}

/// An accept without a waiting connection costs more than a successful one (`system::is_acceptable`).
#[test]
fn accept_is_not_called_when_no_connection_waits() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let Some(mut world) = World::new(&kind) else { continue };
        let (_, address) = world.listener();
        clear();
        for count in 1..=3 {
            let _peers: Vec<_> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
            let before = world.sockets.len();
            world.settle(|world| world.sockets.len() == before + count);
        }
        assert_eq!(made(Call::Accept), 1 + 2 + 3, "{}", world.driver.name());
    }
}

/// Each stops within a few turns: the listener pauses, or has ended.
#[test]
fn a_permanent_error_of_accept_does_not_keep_a_loop_busy() {
    let differing = differences(|world, errno| {
        let (listener, address) = world.listener();
        world.turn(Duration::ZERO);
        inject(Call::Accept, errno, usize::MAX);
        let _client = TcpStream::connect(address).unwrap();
        let before = world.driver.next_deadline();
        assert_eq!(before, None);
        for _ in 0..TURNS_MAX {
            world.turn(Duration::from_millis(1));
            if !world.driver.has_work()
                && (world.driver.next_deadline().is_some() || !world.log.is_empty())
            {
                break;
            }
        }
        assert!(!world.driver.has_work(), "{}: errno {errno:?} spins", world.driver.name());
        world.log.push(format!("rests: {}", world.driver.next_deadline().is_some()));
        world.driver.close(listener);
    });
    // EAGAIN: no connection is waiting, so nothing happens.
    assert_eq!(differing, BTreeSet::new());
}

/// Two errors have a special meaning in a completion of a ring, and no call on a connected socket
/// returns them: ECANCELED is an operation that the driver cancelled, ENOBUFS a pool without a free
/// buffer.
#[test]
fn every_error_of_receive_means_the_same_on_both_backends_but_two_of_the_ring() {
    let differing = differences(|world, errno| {
        let (socket, mut peer) = world.pair();
        inject(Call::Receive, errno, 1);
        peer.write_all(b"first").unwrap();
        world.driver.receive_start(socket).unwrap();
        world.turn(Duration::from_millis(5));
        world.settle(|_| hits() == 1);
        peer.write_all(b"second").unwrap();
        drop(peer);
        let ended = |world: &World| !world.log.is_empty();
        world.settle(ended);
    });
    let own = [Errno::CANCELED, Errno::NOBUFS].map(Errno::raw_os_error);
    assert_eq!(differing, BTreeSet::from(own));
}

#[test]
fn every_error_of_receive_means_the_same_on_unix_sockets() {
    let differing = differences(|world, errno| {
        let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (socket, _) = world.driver.adopt(ours.into()).unwrap();
        inject(Call::Receive, errno, 1);
        peer.write_all(b"first").unwrap();
        world.driver.receive_start(socket).unwrap();
        world.settle(|_| hits() == 1);
        peer.write_all(b"second").unwrap();
        drop(peer);
        world.settle(|world| !world.log.is_empty());
    });
    assert_eq!(differing, BTreeSet::new());
}

#[test]
fn every_error_of_receive_means_the_same_when_the_caller_reads() {
    for look_first in [false, true] {
        let differing = differences(|world, errno| {
            let (socket, mut peer) = world.pair();
            let note = |world: &mut World, read: std::io::Result<Vec<u8>>| {
                let read = read.map_err(|error| error.raw_os_error());
                world.log.push(format!("{read:?}"));
            };
            let read = |world: &mut World| {
                let read =
                    world.driver.read_into(socket, &mut [0; 9][..]).map(|bytes| bytes.to_vec());
                note(world, read);
            };
            peer.write_all(b"first").unwrap();
            world.driver.readable_start(socket).unwrap();
            world.settle(|world| !world.log.is_empty());
            inject(Call::Receive, errno, 1);
            if look_first {
                let mut memory = [0; 9];
                let peeked = world.driver.peek_into(socket, &mut memory[..]);
                note(world, peeked.map(|bytes| bytes.to_vec()));
            }
            read(world);
            assert_eq!(hits(), 1);
            read(world);
            world.driver.readable_start(socket).unwrap();
            peer.write_all(b"second").unwrap();
            drop(peer);
            world.settle(|world| world.log.last().is_some_and(|entry| entry == "readable"));
            for _ in 0..3 {
                read(world);
            }
        });
        assert_eq!(differing, BTreeSet::new(), "look first: {look_first}");
    }
}

#[test]
fn every_error_of_send_means_the_same_on_both_backends() {
    let batch = || Batch::one(Chunk::Buffer(vec![7; 100]));
    let differing = differences(|world, errno| {
        let (socket, _peer) = world.pair();
        inject(Call::Send, errno, 1);
        let sent = world.driver.send(socket, batch());
        world.log.push(format!("{:?}", sent.map_err(|error| error.raw_os_error())));
        world.settle(|_| true);
        inject(Call::Send, errno, 1);
        let sent = world.driver.send_at_once(socket, b"short");
        world.log.push(format!("{:?}", sent.map_err(|error| error.raw_os_error())));
    });
    // Readiness waits for the edge that follows a real EAGAIN, but an injected one has none. A ring
    // polls, and finds room immediately.
    assert_eq!(differing, BTreeSet::from([Errno::AGAIN.raw_os_error()]));
}

#[test]
fn every_error_of_sending_without_a_batch_means_the_same_on_both_backends() {
    let differing = differences(|world, errno| {
        let (socket, _peer) = world.pair();
        for vectored in [false, true] {
            inject(Call::Send, errno, 1);
            let sent = match vectored {
                false => world.driver.send_at_once(socket, b"short"),
                true => world.driver.send_vectored_at_once(socket, &[IoSlice::new(b"short")]),
            };
            world.log.push(format!("{:?}", sent.map_err(|error| error.raw_os_error())));
            world.driver.writable_start(socket).unwrap();
            world.settle(|world| world.log.last().is_some_and(|entry| entry == "writable"));
        }
    });
    assert_eq!(differing, BTreeSet::new());
}

/// The kernel's buffer is full at first, and sending fails when the rest is offered.
#[test]
fn every_error_of_a_blocked_send_means_the_same_on_both_backends() {
    let differing = differences(|world, errno| {
        let (socket, peer) = world.pair();
        let sent = world.driver.send(socket, Batch::one(Chunk::Buffer(vec![7; 16 << 20]))).unwrap();
        assert!(sent < 16 << 20);
        world.turn(Duration::ZERO);
        inject(Call::Send, errno, 1);
        let mut peer = peer.take_until_sent();
        world.settle(|_| hits() == 1);
        let failed = |world: &World| world.log.iter().any(|entry| entry.contains("failed"));
        for _ in 0..TURNS_MAX {
            peer.read_more();
            world.turn(Duration::from_millis(1));
            if failed(world) || peer.received == 16 << 20 {
                break;
            }
        }
        // The number of times that the kernel has room is not defined.
        world.log.dedup();
    });
    // As above.
    assert_eq!(differing, BTreeSet::from([Errno::AGAIN.raw_os_error()]));
}

#[test]
fn every_error_of_connect_means_the_same_on_both_backends() {
    for call in [Call::Connect, Call::ConnectResult] {
        let differing = differences(|world, errno| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let socket = world.driver.open(&Open::new(Transport::Tcp(Family::V4))).unwrap();
            inject(call, errno, 1);
            world.driver.connect(socket, &Address::Ip(listener.local_addr().unwrap()));
            for _ in 0..TURNS_MAX {
                world.turn(Duration::from_millis(1));
                if !world.log.is_empty() {
                    break;
                }
                // The result of a connect that was never started is not defined either.
                if call == Call::Connect && matches!(errno, Errno::INPROGRESS | Errno::INTR) {
                    break;
                }
            }
            world.driver.close(socket);
        });
        assert_eq!(differing, BTreeSet::new(), "{call:?}");
    }
}

#[test]
fn every_error_of_shutdown_means_the_same_on_both_backends() {
    let differing = differences(|world, errno| {
        let (socket, _peer) = world.pair();
        inject(Call::Shutdown, errno, 1);
        world.driver.shutdown(socket);
        world.settle(|world| !world.log.is_empty());
    });
    assert_eq!(differing, BTreeSet::new());
}

/// The other end of a connection, which reads what it is sent.
struct Reading {
    stream: TcpStream,
    received: usize,
}

trait TakeUntilSent {
    fn take_until_sent(self) -> Reading;
}

impl TakeUntilSent for TcpStream {
    fn take_until_sent(self) -> Reading {
        self.set_nonblocking(true).unwrap();
        let mut reading = Reading { stream: self, received: 0 };
        reading.read_more();
        reading
    }
}

impl Reading {
    fn read_more(&mut self) {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(count) = std::io::Read::read(&mut self.stream, &mut buffer) {
            self.received += count;
            if count == 0 {
                return;
            }
        }
    }
}
