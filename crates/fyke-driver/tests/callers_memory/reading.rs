//! Reading into the caller's memory.

use std::io::{ErrorKind, IoSlice};

use fyke_driver::{Batch, Chunk, Completion, Moment};

use crate::world::{PATIENCE, Seen, on_every_driver, pattern};

#[test]
fn read_returns_what_fits_into_the_memory_and_leaves_the_rest() {
    on_every_driver(|world| {
        let sent = pattern(5000);
        world.would_block(world.read(10));
        world.send(world.peer, &sent);
        let mut got = Vec::new();
        while got.len() < sent.len() {
            match world.read(1 + got.len() % 900) {
                Ok(bytes) => {
                    assert!((1..=1 + got.len() % 900).contains(&bytes.len()));
                    got.extend(bytes);
                }
                Err(_) => world.wait_readable(world.ours),
            }
        }
        assert_eq!(got, sent, "{}", world.name);
        world.would_block(world.read(10));
    });
}

#[test]
fn reads_fill_initialised_memory_and_the_spare_capacity_of_a_vector() {
    on_every_driver(|world| {
        world.send(world.peer, b"ab");
        world.wait_readable(world.ours);
        let mut memory = [b'.'; 4];
        assert_eq!(world.driver.read_into(world.ours, &mut memory[..1]).unwrap(), b"a");
        assert_eq!(&memory, b"a...", "{}", world.name);
        let mut memory = Vec::with_capacity(8);
        memory.push(b'<');
        if world.peek(1).is_err() {
            world.wait_readable(world.ours);
        }
        assert_eq!(world.driver.read_append(world.ours, &mut memory).unwrap(), 1);
        assert_eq!(memory, b"<b", "{}", world.name);
    });
}

#[test]
fn end_of_stream_can_be_read_repeatedly() {
    on_every_driver(|world| {
        world.send(world.peer, b"last");
        world.driver.shutdown(world.peer);
        assert_eq!(world.wait(), [Seen::Other(format!("ShutDown {{ socket: {:?} }}", world.peer))]);
        assert_eq!(world.read_all(world.ours, 3), b"last", "{}", world.name);
        for _ in 0..2 {
            assert_eq!(world.read(9).unwrap(), b"");
            assert_eq!(world.peek(9).unwrap(), b"");
            world.wait_readable(world.ours);
        }
    });
}

#[test]
fn end_of_stream_can_be_read_after_receiving_has_reported_it() {
    on_every_driver(|world| {
        world.driver.receive_start(world.ours).unwrap();
        world.driver.close(world.peer);
        assert_eq!(world.wait(), [Seen::End], "{}", world.name);
        assert_eq!(world.read(9).unwrap(), b"");
        world.wait_readable(world.ours);
    });
}

#[test]
fn reset_is_returned_by_one_read_and_then_the_stream_has_ended() {
    on_every_driver(|world| {
        world.driver.readable_start(world.ours).unwrap();
        assert_eq!(world.settle(), []);
        // Closing a Unix socket with unread bytes resets the connection.
        world.send(world.ours, b"unread");
        world.driver.reset(world.peer);
        assert_eq!(world.wait(), [Seen::Readable(world.ours)], "{}", world.name);
        for _ in 0..2 {
            assert_eq!(world.peek(9).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(world.read(9).unwrap_err().kind(), ErrorKind::ConnectionReset, "{}", world.name);
        assert_eq!(world.read(9).unwrap(), b"");
        world.wait_readable(world.ours);
    });
}

#[test]
fn reset_that_was_peeked_is_still_reported_when_receiving() {
    on_every_driver(|world| {
        world.driver.readable_start(world.ours).unwrap();
        world.settle();
        world.send(world.ours, b"unread");
        world.driver.reset(world.peer);
        world.wait();
        assert_eq!(world.peek(9).unwrap_err().kind(), ErrorKind::ConnectionReset);
        world.driver.receive_start(world.ours).unwrap();
        let seen = world.wait();
        let failed = matches!(&seen[..], [Seen::Other(failed)] if failed.contains("Receive"));
        assert!(failed, "{}: {seen:?}", world.name);
    });
}

#[test]
fn peeked_bytes_are_returned_by_the_next_read() {
    on_every_driver(|world| {
        world.would_block(world.peek(9));
        world.send(world.peer, b"abc");
        world.wait_readable(world.ours);
        let first = world.peek(1).unwrap();
        assert_eq!(first, b"a");
        let whole = world.peek(9).unwrap();
        assert!(b"abc".starts_with(&whole), "{}", world.name);
        world.driver.close(world.peer);
        assert_eq!(world.read_all(world.ours, 9), b"abc", "{}", world.name);
    });
}

#[test]
fn readable_is_reported_once_for_each_request() {
    on_every_driver(|world| {
        world.driver.readable_start(world.ours).unwrap();
        world.driver.readable_start(world.ours).unwrap();
        assert_eq!(world.settle(), [], "{}", world.name);
        world.send(world.peer, b"a");
        assert_eq!(world.wait(), [Seen::Readable(world.ours)], "{}", world.name);
        world.send(world.peer, b"b");
        assert_eq!(world.settle(), [], "{}", world.name);
        // Both bytes have already been received.
        world.wait_readable(world.ours);
        world.wait_readable(world.ours);
        world.driver.close(world.peer);
        assert_eq!(world.read_all(world.ours, 1), b"ab", "{}", world.name);
    });
}

#[test]
fn receive_stop_cancels_a_request_for_readable() {
    on_every_driver(|world| {
        world.driver.readable_start(world.ours).unwrap();
        world.settle();
        world.send(world.peer, b"a");
        world.driver.receive_stop(world.ours);
        assert_eq!(world.settle(), [], "{}", world.name);
        world.wait_readable(world.ours);
    });
}

#[test]
fn receive_start_and_readable_start_replace_each_other() {
    on_every_driver(|world| {
        world.driver.readable_start(world.ours).unwrap();
        world.driver.receive_start(world.ours).unwrap();
        world.send(world.peer, b"a");
        assert_eq!(world.wait(), [Seen::Received(b"a".to_vec())], "{}", world.name);
        world.driver.readable_start(world.ours).unwrap();
        world.send(world.peer, b"b");
        assert_eq!(world.wait(), [Seen::Readable(world.ours)], "{}", world.name);
        assert_eq!(world.read(9).unwrap(), b"b", "{}", world.name);
    });
}

/// In this case a ring has received more bytes than it has delivered to the callback.
#[test]
fn bytes_stay_in_order_when_a_callback_switches_to_reading() {
    on_every_driver(|world| {
        let sent = pattern(150_000);
        world.driver.receive_start(world.ours).unwrap();
        world.settle();
        world.driver.send(world.peer, Batch::one(Chunk::Buffer(sent.clone()))).unwrap();
        let mut got = Vec::new();
        let end = world.driver.now() + PATIENCE;
        while got.is_empty() {
            let on = &mut |completion: Completion<'_>| match completion {
                Completion::Received { socket, bytes } => {
                    got.extend_from_slice(bytes);
                    world.driver.readable_start(socket).unwrap();
                }
                Completion::Readable { .. } | Completion::Sent { .. } => {}
                other => panic!("{}: {other:?}", world.name),
            };
            world.driver.turn(Some(end), on).unwrap();
        }
        while got.len() < sent.len() {
            let before = got.len();
            let looked_at = world.peek(1000);
            match world.read(7000) {
                Ok(bytes) => got.extend(bytes),
                Err(_) => {
                    world.driver.readable_start(world.ours).unwrap();
                    world.wait();
                }
            }
            if let Ok(bytes) = looked_at {
                assert_eq!(bytes, got[before..before + bytes.len()], "{}", world.name);
            }
        }
        assert!(got == sent, "{}", world.name);
    });
}

#[test]
fn bytes_stay_in_order_however_they_are_read() {
    on_every_driver(|world| {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut chance = move |of: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize % of
        };
        let sent = pattern(600_000);
        let (mut written, mut got) = (0, Vec::new());
        while got.len() < sent.len() {
            let before = got.len();
            let end = sent.len().min(written + chance(70_000));
            if chance(2) == 0 {
                let slices = [
                    IoSlice::new(&sent[written..(written + end) / 2]),
                    IoSlice::new(&sent[(written + end) / 2..end]),
                ];
                written += world.driver.send_vectored_at_once(world.peer, &slices).unwrap();
            } else {
                written += world.driver.send_at_once(world.peer, &sent[written..end]).unwrap();
            }
            match chance(6) {
                0 => world.driver.receive_start(world.ours).unwrap(),
                1 => world.driver.receive_stop(world.ours),
                2 | 3 => world.driver.readable_start(world.ours).unwrap(),
                4 => {
                    let bytes = world.peek(1 + chance(9000)).unwrap_or_default();
                    assert_eq!(bytes, sent[got.len()..got.len() + bytes.len()], "{}", world.name);
                }
                _ => got.extend(world.read(1 + chance(9000)).unwrap_or_default()),
            }
            for seen in world.turn_until(Moment::ZERO) {
                match seen {
                    Seen::Received(bytes) => got.extend(bytes),
                    Seen::Readable(_) => {
                        got.extend(world.read(1 + chance(90_000)).unwrap_or_default());
                    }
                    other => panic!("{}: {other:?}", world.name),
                }
            }
            assert!(got[before..] == sent[before..got.len()], "{}", world.name);
        }
    });
}
