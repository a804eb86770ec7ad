//! Data that was received before a peer reset the connection is delivered, even if it is more than a
//! turn reads, and even if our own data is queued.

#![cfg(target_os = "linux")]

mod support;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::Socket;
use support::{DEADLINE, drive};

const SENT_BYTES: usize = 400_000;

/// Returns whether the kernel of the peer has everything, and ours has none of the data of the
/// connection. The column is "tx_queue:rx_queue" (proc_pid_net(5)).
fn has_left(peer: &TcpStream) -> bool {
    let port = format!(":{:04X}", peer.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let line = lines.find(|words| words[1].ends_with(&port)).unwrap();
    line[4].starts_with("00000000:")
}

on_every_system! {
    fn c8_dst_10_data_received_before_a_reset_is_delivered_even_if_a_write_is_blocked(net) {
        let event_loop = net.event_loop();
        let accepted: Rc<RefCell<Option<Socket>>> = Rc::default();
        let (received, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (place, count, reported) = (accepted.clone(), received.clone(), failed.clone());
        let address = Rc::new(Cell::new(None));
        let listening = address.clone();
        event_loop.enter(|| {
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                socket.set_receive_buffer_size_bytes(4 * SENT_BYTES).unwrap();
                let (count, reported) = (count.clone(), reported.clone());
                socket.on_data(move |_, data| count.set(count.get() + data.len()));
                socket.on_error(move |_, _| reported.set(true));
                place.replace(Some(socket.clone()));
            });
            net.listen(&server.clone(), net.tcp(), move |_| {
                listening.set(server.address().unwrap().ip());
            });
        });
        drive(&event_loop, || address.get().is_some()).unwrap();
        let mut peer = TcpStream::connect(address.get().unwrap()).unwrap();
        drive(&event_loop, || accepted.borrow().is_some()).unwrap();
        let socket = accepted.take().unwrap();
        // More than the kernel accepts while the peer does not read.
        event_loop.enter(|| socket.write(vec![1; 32 << 20]));
        drive(&event_loop, || socket.bytes_written() > 0).unwrap();
        for _ in 0..3 {
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        }

        // The loop does not turn meanwhile.
        peer.write_all(&vec![2; SENT_BYTES]).unwrap();
        let end = Instant::now() + DEADLINE;
        while !has_left(&peer) {
            assert!(Instant::now() < end, "it does not fit");
            std::thread::yield_now();
        }
        // The peer has unread bytes, so it closes by RST.
        drop(peer);
        drive(&event_loop, || failed.get()).unwrap();
        assert_eq!(received.get(), SENT_BYTES, "{}", event_loop.driver_name());
    }
}
