//! A flooding peer gets only its share of a turn, on every driver of the system (contract rule 6).

#![cfg(unix)]

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use fyke_driver::limits::{READ_BUFFER_BYTES, READS_PER_TURN_MAX, SLICES_IN_A_ROW_MAX};
use fyke_driver::{Completion, Driver, DriverKind, Moment, SocketId};
use rustix::net::{RecvFlags, recv};

/// Writes as much as the kernel accepts.
fn fill(peer: &mut TcpStream) {
    while peer.write(&[7; READ_BUFFER_BYTES]).is_ok() {}
}

fn received_in_a_turn(driver: &Driver) -> usize {
    let mut received = 0;
    let on = &mut |completion: Completion<'_>| {
        if let Completion::Received { bytes, .. } = completion {
            received += bytes.len();
        }
    };
    driver.turn(Some(Moment::ZERO), on).unwrap();
    received
}

/// Returns a connection of `driver`, and its other end.
fn connection(driver: &Driver) -> (SocketId, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // The kernel needs room for the data of several turns.
    rustix::net::sockopt::set_socket_recv_buffer_size(&ours, 1 << 20).unwrap();
    let peer = listener.accept().unwrap().0;
    peer.set_nonblocking(true).unwrap();
    let (socket, _) = driver.adopt(ours.into()).unwrap();
    driver.receive_start(socket).unwrap();
    (socket, peer)
}

#[test]
fn eight_flooding_peers_delay_a_turn_by_the_reads_of_one() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let (mut sockets, mut peers): (Vec<_>, Vec<_>) =
            (0..8).map(|_| connection(&driver)).unzip();
        // After this, the driver has received from all of them, and each has more data than was delivered.
        for _ in 0..20 {
            peers.iter_mut().for_each(fill);
            received_in_a_turn(&driver);
        }
        let mut last = None;
        let mut changes = 0;
        for _ in 0..200 {
            peers.iter_mut().for_each(fill);
            let mut received = 0;
            let on = &mut |completion: Completion<'_>| {
                if let Completion::Received { socket, bytes } = completion {
                    received += bytes.len();
                    changes += usize::from(last.replace(socket) != Some(socket));
                    sockets.retain(|other| *other != socket);
                }
            };
            driver.turn(Some(Moment::ZERO), on).unwrap();
            // At most one slice, plus the reads of a drained socket that has received data again.
            let most = 2 * READS_PER_TURN_MAX * READ_BUFFER_BYTES;
            assert!(received <= most, "{kind:?}: {received} bytes in one turn");
        }
        assert!(
            changes < 100,
            "{kind:?}: {changes} changes, so sockets were left with unread bytes"
        );
        for _ in 0..100 * SLICES_IN_A_ROW_MAX {
            if sockets.is_empty() {
                break;
            }
            peers.iter_mut().for_each(fill);
            let on = &mut |completion: Completion<'_>| {
                if let Completion::Received { socket, .. } = completion {
                    sockets.retain(|other| *other != socket);
                }
            };
            driver.turn(Some(Moment::ZERO), on).unwrap();
        }
        assert!(sockets.is_empty(), "{kind:?}: {} sockets were not read from", sockets.len());
    }
}

#[test]
fn flooding_peer_gets_two_reads_per_turn() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let (_, mut peer) = connection(&driver);
        // A ring detects in its first turns which peers send in bulk.
        for _ in 0..10 {
            fill(&mut peer);
            received_in_a_turn(&driver);
        }
        let mut sum = 0;
        for _ in 0..50 {
            fill(&mut peer);
            let received = received_in_a_turn(&driver);
            assert!(received <= READS_PER_TURN_MAX * READ_BUFFER_BYTES, "{kind:?}: {received}");
            sum += received;
        }
        assert!(sum > 10 * READ_BUFFER_BYTES, "{kind:?}: only {sum} bytes were received");
    }
}

/// The kernel gives a ring 20 completions per call, so an arrival behind 100 others was delivered five turns later.
#[test]
fn a_hundred_arrivals_are_delivered_in_one_turn() {
    const PEERS: usize = 100;
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let (sockets, mut peers): (Vec<_>, Vec<_>) =
            (0..PEERS).map(|_| connection(&driver)).unzip();
        // The ring learns of the sockets.
        for _ in 0..10 {
            received_in_a_turn(&driver);
        }
        for (socket, peer) in sockets.iter().zip(&mut peers) {
            peer.write_all(b"x").unwrap();
            let ours = driver.duplicate(*socket).unwrap();
            while recv(&ours, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_err() {
                std::thread::yield_now();
            }
        }
        assert_eq!(received_in_a_turn(&driver), PEERS, "{kind:?}");
    }
}
