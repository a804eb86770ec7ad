//! Sending without a queue.

use std::io::{ErrorKind, IoSlice};

use fyke_driver::limits::PIECES_PER_SEND_MAX;
use fyke_driver::{Batch, Chunk, Completion, Moment};

use crate::world::{Seen, on_every_driver, pattern};

#[test]
fn writable_is_reported_once_after_the_peer_has_read_from_a_full_connection() {
    on_every_driver(|world| {
        let sent = world.fill(world.ours);
        assert!(sent > 0);
        // `fill` has requested `Writable`, which waits because the kernel's buffer is full.
        let mut read = 0;
        let mut rooms = 0;
        while read < sent {
            let mut memory = vec![0; 1 << 20];
            match world.driver.read_into(world.peer, &mut memory[..]) {
                Ok(bytes) => read += bytes.len(),
                Err(_) => {
                    world.driver.readable_start(world.peer).unwrap();
                    let seen = world.wait();
                    rooms +=
                        seen.iter().filter(|seen| **seen == Seen::Writable(world.ours)).count();
                }
            }
        }
        if rooms == 0 {
            assert_eq!(world.wait(), [Seen::Writable(world.ours)], "{}", world.name);
            rooms = 1;
        }
        assert_eq!((read, rooms), (sent, 1), "{}", world.name);
        assert_eq!(world.settle(), [], "{}", world.name);
        // The kernel has room already.
        world.driver.writable_start(world.ours).unwrap();
        assert_eq!(world.wait(), [Seen::Writable(world.ours)], "{}", world.name);
    });
}

/// A ring does not poll for room in such a turn.
#[test]
fn writable_is_reported_for_a_socket_that_is_readable_too() {
    on_every_driver(|world| {
        world.send(world.peer, b"unread");
        world.wait_readable(world.ours);
        // This fills the connection without a turn in between.
        while world.driver.send_at_once(world.ours, &[5; 60_000]).unwrap() > 0 {}
        world.driver.writable_start(world.ours).unwrap();
        world.driver.readable_start(world.ours).unwrap();
        let mut seen = world.wait();
        assert!(seen.contains(&Seen::Readable(world.ours)), "{}: {seen:?}", world.name);
        let mut memory = vec![0; 1 << 20];
        while !seen.contains(&Seen::Writable(world.ours)) {
            if world.driver.read_into(world.peer, &mut memory[..]).is_err() {
                world.driver.readable_start(world.peer).unwrap();
                seen = world.wait();
            }
        }
    });
}

#[test]
fn reset_is_reported_as_writable_to_a_socket_that_waits_for_room() {
    on_every_driver(|world| {
        world.fill(world.ours);
        world.driver.reset(world.peer);
        assert_eq!(world.wait(), [Seen::Writable(world.ours)], "{}", world.name);
        assert!(world.driver.send_at_once(world.ours, b"x").is_err(), "{}", world.name);
    });
}

#[test]
fn shutdown_is_reported_as_writable_to_a_socket_that_waits_for_room() {
    on_every_driver(|world| {
        world.fill(world.ours);
        world.driver.shutdown(world.ours);
        let mut seen = world.wait();
        while !seen.contains(&Seen::Writable(world.ours)) {
            seen = world.wait();
        }
        let error = world.driver.send_at_once(world.ours, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{}", world.name);
    });
}

#[test]
fn batch_replaces_the_request_for_writable() {
    on_every_driver(|world| {
        world.driver.writable_start(world.ours).unwrap();
        world.send(world.ours, b"batch");
        assert_eq!(world.settle(), [], "{}", world.name);
        world.fill(world.ours);
        let batch = Batch::one(Chunk::Buffer(vec![5; 1000]));
        assert_eq!(world.driver.send(world.ours, batch).unwrap(), 0, "{}", world.name);
        let busy = world.driver.writable_start(world.ours).unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy, "{}", world.name);
        let mut rest = 1000;
        let mut memory = vec![0; 1 << 20];
        while rest > 0 {
            if world.driver.read_into(world.peer, &mut memory[..]).is_err() {
                world.driver.readable_start(world.peer).unwrap();
            }
            let on = &mut |completion: Completion<'_>| match completion {
                Completion::Sent { bytes, .. } => rest -= bytes,
                Completion::Readable { .. } => {}
                other => panic!("{}: {other:?}", world.name),
            };
            world.driver.turn(Some(Moment::ZERO), on).unwrap();
        }
    });
}

#[test]
fn slices_are_sent_in_order_up_to_the_maximum_per_call() {
    on_every_driver(|world| {
        let sent = pattern(PIECES_PER_SEND_MAX + 1);
        let slices: Vec<_> = sent.chunks(1).map(IoSlice::new).collect();
        let mut taken = 0;
        while taken == 0 {
            // The simulated network accepts nothing at times.
            taken = world.driver.send_vectored_at_once(world.peer, &slices).unwrap();
        }
        assert!(taken <= PIECES_PER_SEND_MAX);
        if world.driver.name() != "sim" {
            assert_eq!(taken, PIECES_PER_SEND_MAX, "{}", world.name);
        }
        world.driver.close(world.peer);
        assert_eq!(world.read_all(world.ours, 100), sent[..taken], "{}", world.name);
    });
}
