use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_nonblocking(true).unwrap();
    // The kernel needs room for the bytes of one read.
    rustix::net::sockopt::set_socket_recv_buffer_size(&ours, 1 << 20).unwrap();
    (ours, listener.accept().unwrap().0)
}

pub(crate) fn wait_for(socket: &TcpStream, events: PollFlags) {
    let mut fds = [PollFd::new(socket, events)];
    assert_eq!(poll(&mut fds, None), Ok(1));
}

fn read_once(ours: &TcpStream, reading: &mut Reading, reader: &Reader) -> Read {
    let mut lent = reader.lend();
    reading.read(SocketId::default(), ours.as_fd(), &mut lent)
}

fn in_bulk() -> Reading {
    let wanted = Wanted::Delivery;
    Reading { wanted, readable: true, streak: TURNS_TO_BULK, ..Reading::default() }
}

#[test]
fn peer_that_uses_up_many_turns_is_a_bulk_sender_until_a_large_send_answers_it() {
    let wanted = Wanted::Delivery;
    let mut reading = Reading { wanted, readable: true, ..Reading::default() };
    for _ in 0..3 * TURNS_TO_BULK {
        reading.note_sending(READ_CALL_BYTES);
        reading.note_used_up();
        assert_eq!(reading.streak, 1);
    }
    for _ in 0..3 * TURNS_TO_BULK {
        // Small sends do not reset the count.
        reading.note_sending(64);
        reading.note_used_up();
    }
    assert_eq!(reading.streak, TURNS_TO_BULK);
    reading.note_sending(READ_CALL_BYTES);
    assert_eq!(reading.streak, 0);
}

#[test]
fn reset_after_the_bytes_of_a_full_call_is_reported_after_the_bytes() {
    let (ours, mut peer) = pair();
    peer.write_all(&[7; READ_CALL_BYTES]).unwrap();
    let mut all = vec![0; READ_CALL_BYTES];
    while ours.peek(&mut all).unwrap_or(0) < READ_CALL_BYTES {
        wait_for(&ours, PollFlags::IN);
    }
    system::reset_on_close(peer.as_fd()).unwrap();
    drop(peer);
    wait_for(&ours, PollFlags::empty());

    let reader = Reader::default();
    let mut reading = in_bulk();
    let first = read_once(&ours, &mut reading, &reader);
    assert!(matches!(first, Read::Bytes { count: READ_CALL_BYTES, drained: false }));
    reading.wanted = Wanted::Nothing;
    assert!(matches!(read_once(&ours, &mut reading, &reader), Read::Nothing));
    reading.wanted = Wanted::Delivery;
    let second = read_once(&ours, &mut reading, &reader);
    assert!(matches!(second, Read::Failed(Errno::CONNRESET)));
    assert!(reading.ended && reader.failures.borrow().is_empty());
}

/// Regression: after one urgent byte, each message cost one more system call, forever.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn short_read_means_drained_again_after_the_urgent_byte_was_read() {
    fn wait_and_expect(ours: &TcpStream, events: PollFlags, reading: &mut Reading) {
        let mut fds = [PollFd::new(ours, events | PollFlags::PRI)];
        assert_eq!(poll(&mut fds, None), Ok(1));
        reading.readable = true;
        reading.expect(false, fds[0].revents().contains(PollFlags::PRI));
    }
    let (ours, mut peer) = pair();
    let reader = Reader::default();
    for behind in ["", "behind"] {
        let mut reading = Reading { wanted: Wanted::Delivery, ..Reading::default() };
        peer.write_all(b"before").unwrap();
        rustix::net::send(&peer, b"!", rustix::net::SendFlags::OOB).unwrap();
        peer.write_all(behind.as_bytes()).unwrap();
        wait_and_expect(&ours, PollFlags::empty(), &mut reading);
        let mut count = 0;
        loop {
            while let Read::Bytes { count: bytes, .. } = read_once(&ours, &mut reading, &reader) {
                count += bytes;
            }
            if count == 6 + behind.len() {
                break;
            }
            wait_and_expect(&ours, PollFlags::IN, &mut reading);
        }
        peer.write_all(b"x").unwrap();
        wait_and_expect(&ours, PollFlags::IN, &mut reading);
        let read = read_once(&ours, &mut reading, &reader);
        assert!(matches!(read, Read::Bytes { count: 1, drained: true }));
    }
}

#[test]
fn stored_failure_of_a_closed_socket_is_discarded() {
    let reader = Reader::default();
    let mut reading = Reading::broken();
    reader.failures.borrow_mut().insert(SocketId::default(), Errno::CONNRESET);
    reader.forget(SocketId::default(), &mut reading);
    assert!(reader.failures.borrow().is_empty());
}

#[test]
fn one_bulk_read_fills_the_buffer_if_enough_bytes_wait() {
    let (ours, peer) = pair();
    let (reader, mut reading) = (Reader::default(), in_bulk());
    let writer = std::thread::spawn(move || (&peer).write_all(&[7; 1 << 20]).unwrap());
    let mut all = vec![0; READ_BUFFER_BYTES];
    while ours.peek(&mut all).unwrap_or(0) < READ_BUFFER_BYTES {
        wait_for(&ours, PollFlags::IN);
    }
    let read = read_once(&ours, &mut reading, &reader);
    assert!(matches!(read, Read::Bytes { count: READ_BUFFER_BYTES, drained: false }));
    drop(ours);
    let _ = writer.join();
}
