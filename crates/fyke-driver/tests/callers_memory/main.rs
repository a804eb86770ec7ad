//! Reading into the caller's memory and sending without a queue, on every driver.

mod reading;
mod sending;
mod world;

use std::io::{ErrorKind, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};

use fyke_driver::{Address, Family, Open, Transport};
use world::{PATIENCE, Seen, on_every_driver};

#[test]
fn nothing_is_read_or_reported_for_a_closed_socket() {
    on_every_driver(|world| {
        world.send(world.peer, b"unread");
        world.wait_readable(world.ours);
        world.driver.readable_start(world.ours).unwrap();
        world.driver.writable_start(world.ours).unwrap();
        world.driver.close(world.ours);
        assert_eq!(world.settle(), [], "{}", world.name);
        let dead = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::NotConnected);
        dead(world.read(9).unwrap_err());
        dead(world.peek(9).unwrap_err());
        dead(world.driver.read_append(world.ours, &mut Vec::with_capacity(9)).unwrap_err());
        dead(world.driver.readable_start(world.ours).unwrap_err());
        dead(world.driver.writable_start(world.ours).unwrap_err());
        dead(world.driver.send_vectored_at_once(world.ours, &[IoSlice::new(b"x")]).unwrap_err());
    });
}

#[test]
fn readable_and_writable_are_reported_only_after_the_socket_has_connected() {
    on_every_driver(|world| {
        let bind = Some(Address::Ip("127.0.0.1:0".parse().unwrap()));
        let transport = Transport::Tcp(Family::V4);
        let listener = world.driver.open(&Open { bind, ..Open::new(transport) }).unwrap();
        world.driver.listen(listener, 1).unwrap();
        let client = world.driver.open(&Open::new(transport)).unwrap();
        world.driver.connect(client, &world.driver.local_address(listener).unwrap());
        let read = world.driver.read_into(client, &mut [0; 9][..]).map(|bytes| bytes.to_vec());
        world.would_block(read);
        world.driver.readable_start(client).unwrap();
        world.driver.writable_start(client).unwrap();
        let mut seen = world.wait();
        assert_eq!(seen.remove(0), Seen::Other(format!("Connected {{ socket: {client:?} }}")));
        if seen.is_empty() {
            seen = world.wait();
        }
        assert_eq!(seen, [Seen::Writable(client)], "{}", world.name);
        world.driver.close(listener);
        // The connection that was not accepted is reset.
        assert_eq!(world.wait(), [Seen::Readable(client)], "{}", world.name);
    });
}

#[test]
fn other_sockets_are_still_reported_after_a_panic_in_the_callback() {
    on_every_driver(|world| {
        world.driver.readable_start(world.ours).unwrap();
        world.driver.readable_start(world.peer).unwrap();
        world.driver.writable_start(world.ours).unwrap();
        world.send(world.ours, b"to the peer");
        world.send(world.peer, b"to us");
        world.driver.writable_start(world.ours).unwrap();
        let mut seen = Vec::new();
        let end = world.driver.now() + PATIENCE;
        while seen.len() < 3 && world.driver.now() < end {
            let turn = AssertUnwindSafe(|| {
                world.driver.turn(Some(end), &mut |completion| {
                    seen.push(Seen::of(completion));
                    // `panic!` would print a message.
                    std::panic::resume_unwind(Box::new(()));
                })
            });
            let _ = catch_unwind(turn);
        }
        for expected in
            [Seen::Readable(world.ours), Seen::Readable(world.peer), Seen::Writable(world.ours)]
        {
            assert!(seen.contains(&expected), "{}: {seen:?}", world.name);
        }
        assert_eq!(seen.len(), 3, "{}: {seen:?}", world.name);
    });
}

#[cfg(unix)]
#[test]
fn pipe_can_be_read_and_written_but_not_peeked() {
    use fyke_driver::{Driver, DriverKind};
    use world::World;

    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let (ours, peer) =
            (driver.adopt(reader.into()).unwrap().0, driver.adopt(writer.into()).unwrap().0);
        let world = World { name: driver.name().into(), driver, ours, peer };
        let sent = world.fill(world.peer);
        assert!(sent > 0);
        world.wait_readable(world.ours);
        assert_eq!(world.peek(9).unwrap_err().kind(), ErrorKind::Unsupported);
        let mut read = 0;
        while read < sent {
            read += world.read(3000).unwrap().len();
        }
        world.would_block(world.read(9));
        assert_eq!(world.wait(), [Seen::Writable(world.peer)]);
        assert_eq!(world.driver.send_vectored_at_once(peer, &[IoSlice::new(b"x")]).unwrap(), 1);
        world.driver.close(peer);
        assert_eq!(world.read_all(world.ours, 9), b"x");
    }
}
