//! A peer that floods gets its share of a turn, on every driver of the system (contract rule 6).

#![cfg(unix)]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use fyke_driver::limits::{READ_BUFFER_BYTES, READS_PER_TURN_MAX};
use fyke_driver::{Completion, Driver, DriverKind};

/// As much as the kernel takes.
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
    driver.turn(Some(Duration::ZERO), on).unwrap();
    received
}

#[test]
fn a_peer_that_floods_gets_two_reads_per_turn() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut peer = listener.accept().unwrap().0;
        peer.set_nonblocking(true).unwrap();
        let (socket, _) = driver.adopt(ours.into()).unwrap();
        driver.receive_start(socket).unwrap();
        // A ring finds out in its first turns whom it has to do with.
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
        assert!(sum > 10 * READ_BUFFER_BYTES, "{kind:?}: only {sum}");
    }
}
