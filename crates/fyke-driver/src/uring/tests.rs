//! Tests of the life cycle of operations, until their memory is freed. Also run under valgrind
//! (`.ci/run`).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::buffers::Shape;
use super::*;
use crate::backend::Properties;
use crate::reading::Reading;
use crate::{Address, Batch, Chunk, Completion, Family, Moment, Open, Transport};

const SECOND: Duration = Duration::from_secs(1);

/// Returns `None`, and prints the reason, if io_uring cannot be used.
fn driver(shape: Shape) -> Option<Uring> {
    let capped_receive =
        probe::probed().inspect_err(|why| eprintln!("io_uring is not available: {why}")).ok()?;
    let ring = Ring::new().unwrap();
    // The kernel may be too old for incremental buffers.
    let buffers = Buffers::with_shape(&ring, shape).ok()?;
    Some(Uring::from_parts(ring, buffers, capped_receive).unwrap())
}

/// A connection of the driver, and the peer's stream.
fn pair(driver: &Uring) -> (SocketId, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = driver.adopt(ours.into()).unwrap();
    (socket, listener.accept().unwrap().0)
}

fn listener(driver: &Uring) -> (SocketId, std::net::SocketAddr) {
    let bind = Some(Address::Ip("127.0.0.1:0".parse().unwrap()));
    let open = Open { bind, ..Open::new(Transport::Tcp(Family::V4)) };
    let listener = driver.open(&open).unwrap();
    driver.listen(listener, 16).unwrap();
    driver.accept_start(listener).unwrap();
    (listener, driver.local_address(listener).unwrap().ip().unwrap())
}

/// Runs turns until `done`, which is called for each completion, returns true.
fn turn_until(driver: &Uring, mut done: impl FnMut(Completion<'_>) -> bool) {
    let mut finished = false;
    for _ in 0..1000 {
        driver
            .turn(Some(driver.now() + SECOND), &mut |completion| finished |= done(completion))
            .unwrap();
        if finished {
            return;
        }
    }
    panic!("the expected completion was not reported");
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Larger than what any kernel accepts at once.
fn much() -> Batch {
    Batch::one(Chunk::Buffer(vec![5; 64 << 20]))
}

#[test]
fn an_empty_pool_loses_no_bytes_and_starves_no_socket() {
    for shape in [Shape::tiny(true), Shape::tiny(false), Shape::WHOLE, Shape::INCREMENTAL] {
        let Some(driver) = driver(shape) else { continue };
        let sent = pattern(100_000);
        let mut got: HashMap<SocketId, Vec<u8>> = HashMap::new();
        let peers: Vec<TcpStream> = (0..20)
            .map(|_| {
                let (socket, mut peer) = pair(&driver);
                got.insert(socket, Vec::new());
                driver.receive_start(socket).unwrap();
                peer.write_all(&sent).unwrap();
                peer
            })
            .collect();
        drop(peers);
        let mut ended = 0;
        turn_until(&driver, |completion| {
            match completion {
                Completion::Received { socket, bytes } => {
                    got.get_mut(&socket).unwrap().extend_from_slice(bytes);
                }
                Completion::EndOfStream { .. } => ended += 1,
                other => panic!("{other:?}"),
            }
            ended == 20
        });
        assert!(got.values().all(|got| *got == sent), "{shape:?}");
    }
}

/// Regression: single receives into the pool returned bytes of other sockets.
#[test]
fn flooding_and_slow_peers_deliver_only_their_own_bytes() {
    for shape in [Shape::INCREMENTAL, Shape::WHOLE] {
        let Some(driver) = driver(shape) else { continue };
        let much = pattern(8 << 20);
        let mut got: HashMap<SocketId, Vec<u8>> = HashMap::new();
        let mut peers = Vec::new();
        for _ in 0..6 {
            let (socket, peer) = pair(&driver);
            peer.set_nonblocking(true).unwrap();
            driver.receive_start(socket).unwrap();
            got.insert(socket, Vec::new());
            peers.push((peer, 0));
        }
        while got.values().any(|got| got.len() < much.len() / 4) {
            for (index, (peer, sent)) in peers.iter_mut().enumerate() {
                // Half of the peers send as much as possible, the others a few bytes at a time.
                let most = if index % 2 == 0 { much.len() } else { 1000 + 7777 * index };
                let end = much.len().min(*sent + most);
                *sent += peer.write(&much[*sent..end]).unwrap_or(0);
            }
            let on = &mut |completion: Completion<'_>| {
                if let Completion::Received { socket, bytes } = completion {
                    got.get_mut(&socket).unwrap().extend_from_slice(bytes);
                }
            };
            driver.turn(Some(Moment::ZERO), on).unwrap();
        }
        for got in got.values() {
            assert!(*got == much[..got.len()], "{shape:?}");
        }
        let by_call =
            driver.table.sockets.borrow().values().filter(|slot| slot.watch.by_call).count();
        assert!(by_call >= 3, "system calls read the flooding peers");
    }
}

#[test]
fn bytes_stay_in_order_when_receiving_stops_and_starts_at_random() {
    for shape in [Shape::INCREMENTAL, Shape::WHOLE, Shape::tiny(true)] {
        for seed in 0..6_u64 {
            let Some(driver) = driver(shape) else { continue };
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut chance = move |of: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % of == 0
            };
            let sent = pattern(600_000);
            let mut got: HashMap<SocketId, Vec<u8>> = HashMap::new();
            let mut peers = Vec::new();
            for _ in 0..4 {
                let (socket, peer) = pair(&driver);
                peer.set_nonblocking(true).unwrap();
                driver.receive_start(socket).unwrap();
                got.insert(socket, Vec::new());
                peers.push((socket, peer, 0));
            }
            while got.values().any(|got| got.len() < sent.len()) {
                for (socket, peer, written) in &mut peers {
                    if chance(2) {
                        *written += peer.write(&sent[*written..]).unwrap_or(0);
                    }
                    if chance(2) {
                        driver.receive_start(*socket).unwrap();
                    }
                }
                let on = &mut |completion: Completion<'_>| {
                    if let Completion::Received { socket, bytes } = completion {
                        got.get_mut(&socket).unwrap().extend_from_slice(bytes);
                        if chance(3) {
                            driver.receive_stop(socket);
                        }
                    }
                };
                driver.turn(Some(Moment::ZERO), on).unwrap();
            }
            for got in got.values() {
                let wrong = got.iter().zip(&sent).position(|(got, sent)| got != sent);
                assert_eq!(wrong, None, "{shape:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn bytes_received_before_a_stop_are_delivered_after_the_next_start_and_before_the_end() {
    let Some(driver) = driver(Shape::WHOLE) else { return };
    let (socket, mut peer) = pair(&driver);
    driver.receive_start(socket).unwrap();
    let sent = pattern(150_000);
    peer.write_all(&sent).unwrap();
    drop(peer);
    let mut got = Vec::new();
    turn_until(&driver, |completion| {
        let Completion::Received { bytes, .. } = completion else { panic!("{completion:?}") };
        got.extend_from_slice(bytes);
        driver.receive_stop(socket);
        true
    });
    for _ in 0..3 {
        driver
            .turn(Some(Moment::ZERO), &mut |other| panic!("completion while stopped: {other:?}"))
            .unwrap();
    }
    driver.receive_start(socket).unwrap();
    turn_until(&driver, |completion| match completion {
        Completion::Received { bytes, .. } => {
            got.extend_from_slice(bytes);
            false
        }
        other => matches!(other, Completion::EndOfStream { .. }),
    });
    assert_eq!(got, sent);
}

#[test]
fn bytes_in_the_ring_are_read_before_bytes_in_the_kernel() {
    for shape in [Shape::tiny(true), Shape::WHOLE] {
        let Some(driver) = driver(shape) else { return };
        let (socket, mut peer) = pair(&driver);
        driver.receive_start(socket).unwrap();
        driver.turn(Some(Moment::ZERO), &mut |_| {}).unwrap();
        let sent = pattern(150_000);
        peer.write_all(&sent).unwrap();
        let mut got = Vec::new();
        turn_until(&driver, |completion| match completion {
            Completion::Received { bytes, .. } => {
                got.extend_from_slice(bytes);
                driver.readable_start(socket).unwrap();
                false
            }
            completion => matches!(completion, Completion::Readable { .. }),
        });
        assert!(driver.held.borrow().contains_key(&socket), "{shape:?}");
        drop(peer);
        let mut memory = [0; 700];
        loop {
            match Backend::read_into(&driver, socket, (&mut memory[..]).into()) {
                Ok([]) => break,
                Ok(bytes) => got.extend_from_slice(bytes),
                Err(_) => {
                    driver.readable_start(socket).unwrap();
                    turn_until(&driver, |seen| matches!(seen, Completion::Readable { .. }));
                }
            }
        }
        assert!(got == sent, "{shape:?}");
        assert!(driver.held.borrow().is_empty());
    }
}

#[test]
fn an_end_or_failure_received_by_the_ring_is_read_once() {
    for held in [Held::End, Held::Failed(Errno::CONNRESET)] {
        let Some(driver) = driver(Shape::WHOLE) else { return };
        let (socket, _peer) = pair(&driver);
        let read = |peek: bool| {
            let mut memory = [0];
            let read = match peek {
                true => Backend::peek_into(&driver, socket, (&mut memory[..]).into()),
                false => Backend::read_into(&driver, socket, (&mut memory[..]).into()),
            };
            read.map(|bytes| bytes.len()).map_err(|error| error.kind())
        };
        let expected = if held.is_failure() { Err(io::ErrorKind::ConnectionReset) } else { Ok(0) };
        driver.table.with_slot(socket, |slot| {
            slot.flags.reading.ended = true;
            driver.hold_first(socket, slot, held);
        });
        driver.readable_start(socket).unwrap();
        turn_until(&driver, |seen| matches!(seen, Completion::Readable { .. }));
        assert_eq!([true, true, false].map(read), [expected; 3]);
        assert_eq!([true, false].map(read), [Ok(0); 2]);
    }
}

#[test]
fn new_bytes_are_reported_after_another_callback_has_read_the_earlier_ones() {
    let Some(driver) = driver(Shape::WHOLE) else { return };
    let (socket, mut peer) = pair(&driver);
    let (other, mut other_peer) = pair(&driver);
    driver.readable_start(other).unwrap();
    driver.turn(Some(Moment::ZERO), &mut |_| {}).unwrap();
    driver.table.with_slot(socket, |slot| {
        driver.hold_first(socket, slot, Held::Bytes(bytes::BytesMut::from(&b"held"[..])));
    });
    driver.readable_start(socket).unwrap();
    other_peer.write_all(b"x").unwrap();
    turn_until(&driver, |seen| {
        assert!(matches!(seen, Completion::Readable { socket } if socket == other));
        let mut memory = [0; 9];
        Backend::read_into(&driver, socket, (&mut memory[..]).into()).unwrap() == b"held"
    });
    peer.write_all(b"new").unwrap();
    turn_until(&driver, |seen| matches!(seen, Completion::Readable { .. }));
}

#[test]
fn a_panicking_callback_loses_no_undelivered_bytes() {
    let Some(driver) = driver(Shape::INCREMENTAL) else { return };
    let (socket, mut peer) = pair(&driver);
    driver.receive_start(socket).unwrap();
    let sent = pattern(300_000);
    peer.write_all(&sent).unwrap();
    drop(peer);
    let (mut got, mut ended) = (Vec::new(), false);
    while !ended {
        let turn = AssertUnwindSafe(|| {
            driver.turn(Some(driver.now() + SECOND), &mut |completion| match completion {
                Completion::Received { bytes, .. } => {
                    got.extend_from_slice(bytes);
                    // `resume_unwind` instead of a panic, which would print.
                    std::panic::resume_unwind(Box::new(()));
                }
                _ => ended = true,
            })
        });
        let _ = catch_unwind(turn);
    }
    assert_eq!(got, sent);
}

#[test]
fn sockets_and_the_driver_can_be_dropped_at_every_stage_of_their_operations() {
    // Ends the sockets by close or by reset, or drops the whole driver.
    for (what, turns) in (0..3).flat_map(|what| (0..6).map(move |turns| (what, turns))) {
        let Some(driver) = driver(Shape::INCREMENTAL) else { return };
        let (receiving, mut feeding) = pair(&driver);
        let (sending, _silent) = pair(&driver);
        let (listening, address) = listener(&driver);
        let connecting = driver.open(&Open::new(Transport::Tcp(Family::V4))).unwrap();
        driver.connect(connecting, &Address::Ip(address));
        driver.receive_start(receiving).unwrap();
        driver.receive_start(sending).unwrap();
        assert!(
            driver.send(sending, much()).unwrap() < 64 << 20,
            "the kernel accepted the whole batch"
        );
        feeding.write_all(&pattern(50_000)).unwrap();
        let mut accepted = None;
        for _ in 0..turns {
            let on = &mut |completion: Completion<'_>| {
                if let Completion::Accepted { socket, .. } = completion {
                    driver.receive_start(socket).unwrap();
                    accepted = Some(socket);
                }
            };
            driver.turn(Some(driver.now() + Duration::from_millis(1)), on).unwrap();
        }
        for socket in [receiving, sending, listening, connecting].into_iter().chain(accepted) {
            match what {
                0 => _ = driver.close(socket),
                1 => _ = driver.reset(socket),
                _ => {}
            }
        }
        if what < 2 {
            assert!(
                driver.lingering.borrow().is_empty(),
                "a socket was not closed inside the call"
            );
            let own = if turns > 0 { 2 } else { 0 };
            assert_eq!(
                driver.ring.in_flight(),
                own,
                "only the polls of the waker and the alarm are in flight"
            );
            driver
                .turn(Some(Moment::ZERO), &mut |late| {
                    panic!("completion after the close: {late:?}")
                })
                .unwrap();
            // The port is free at once, and the peer sees the end.
            TcpListener::bind(address).unwrap();
        }
        drop(driver);
        let mut rest = Vec::new();
        let _ = feeding.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}

#[test]
fn a_closed_socket_lingers_until_its_operations_have_ended() {
    let Some(driver) = driver(Shape::INCREMENTAL) else { return };
    let (socket, mut peer) = pair(&driver);
    driver.receive_start(socket).unwrap();
    driver.turn(Some(Moment::ZERO), &mut |_| {}).unwrap();
    let slot = driver.table.sockets.borrow_mut().remove(socket).unwrap();
    driver.lingering.borrow_mut().insert(socket, slot);
    driver.close(socket); // The id is dead already.
    for _ in 0..3 {
        driver
            .turn(Some(Moment::ZERO), &mut |late| panic!("completion after the close: {late:?}"))
            .unwrap();
    }
    assert!(driver.lingering.borrow().is_empty());
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_reset_is_sent_while_operations_are_in_flight() {
    let Some(driver) = driver(Shape::INCREMENTAL) else { return };
    let (socket, mut peer) = pair(&driver);
    driver.receive_start(socket).unwrap();
    driver.send(socket, much()).unwrap();
    driver.turn(Some(Moment::ZERO), &mut |_| {}).unwrap();
    driver.reset(socket);
    let mut all = Vec::new();
    let error = peer.read_to_end(&mut all).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn the_peer_address_is_reported_for_a_connection_reset_before_the_accept() {
    let Some(driver) = driver(Shape::INCREMENTAL) else { return };
    let (_, address) = listener(&driver);
    let client = TcpStream::connect(address).unwrap();
    let from = client.local_addr().unwrap();
    let gone: OwnedFd = client.into();
    system::reset_on_close(system::borrow(&gone)).unwrap();
    drop(gone);
    turn_until(&driver, |completion| match completion {
        Completion::Accepted { peer, .. } => {
            assert_eq!(peer, Some(from));
            true
        }
        other => panic!("{other:?}"),
    });
}

#[test]
fn the_descriptor_for_a_host_is_readable_exactly_when_there_is_work() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let Some(driver) = driver(Shape::INCREMENTAL) else { return };
    let fd = driver.as_fd().unwrap();
    let readable = |nanoseconds| {
        let time = Timespec { tv_sec: 0, tv_nsec: nanoseconds };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&time)).unwrap() == 1
    };
    let (socket, mut peer) = pair(&driver);
    driver.receive_start(socket).unwrap();
    assert!(readable(0), "changes wait to be submitted");
    for _ in 0..3 {
        driver.turn(Some(Moment::ZERO), &mut |_| {}).unwrap();
    }
    assert!(!readable(0));
    peer.write_all(b"x").unwrap();
    assert!(readable(999_999_999));
    let mut got = 0;
    while readable(0) {
        let on = &mut |completion: Completion<'_>| {
            got += usize::from(matches!(completion, Completion::Received { .. }));
        };
        driver.turn(Some(Moment::ZERO), on).unwrap();
    }
    assert_eq!(got, 1);
    // The kernel by itself signals only the first of these wakes.
    for _ in 0..10 {
        driver.waker().wake();
        assert!(readable(999_999_999));
        let mut woken = 0;
        while readable(0) {
            driver.turn(Some(Moment::ZERO), &mut |_| woken += 1).unwrap();
        }
        assert!(woken > 0);
        driver.turn(Some(Moment::ZERO), &mut |_| {}).unwrap();
    }
}

#[test]
fn a_socket_with_an_unreported_error_cannot_be_detached() {
    let Some(driver) = driver(Shape::INCREMENTAL) else { return };
    let (socket, _peer) = pair(&driver);
    driver.table.sockets.borrow_mut().get_mut(socket).unwrap().flags.reading = Reading::broken();
    assert_eq!(driver.detach(socket).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    driver.table.sockets.borrow_mut().get_mut(socket).unwrap().flags.reading = Reading::default();
    assert!(driver.detach(socket).is_ok());
}
