//! `set_deliver_before_error`: a paused socket whose peer resets the connection still delivers what
//! was received.

#![cfg(target_os = "linux")]

mod support;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use fyke::{EventLoop, Socket};
use support::{Net, drive};

/// A socket that is paused after its first chunk, the bytes that it has delivered, and its peer.
struct Paused {
    event_loop: EventLoop,
    socket: Socket,
    received: Rc<Cell<usize>>,
    failed: Rc<Cell<bool>>,
    peer: TcpStream,
}

fn paused(net: &Net, deliver: bool) -> Paused {
    let event_loop = net.event_loop();
    let accepted: Rc<RefCell<Option<Socket>>> = Rc::default();
    let (received, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (place, count, reported) = (accepted.clone(), received.clone(), failed.clone());
    let address = Rc::new(Cell::new(None));
    let listening = address.clone();
    event_loop.enter(|| {
        let server = fyke::create_server(move |socket| {
            socket.server().unwrap().close();
            assert!(!socket.delivers_before_error());
            socket.set_deliver_before_error(deliver);
            let (count, reported) = (count.clone(), reported.clone());
            socket.on_data(move |socket, data| {
                if count.get() == 0 {
                    socket.pause();
                }
                count.set(count.get() + data.len());
            });
            socket.on_error(move |socket, error| {
                assert!(matches!(error.code().as_str(), "ECONNRESET" | "EPIPE"), "{error}");
                assert!(socket.is_destroyed());
                reported.set(true);
            });
            place.replace(Some(socket.clone()));
        });
        net.listen(&server.clone(), net.tcp(), move |_| {
            listening.set(server.address().unwrap().ip());
        });
    });
    drive(&event_loop, || address.get().is_some()).unwrap();
    let mut peer = TcpStream::connect(address.get().unwrap()).unwrap();
    peer.write_all(b"first").unwrap();
    drive(&event_loop, || received.get() > 0).unwrap();
    let socket = accepted.take().unwrap();
    Paused { event_loop, socket, received, failed, peer }
}

fn reset(peer: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
    drop(peer);
}

fn turn_a_little(event_loop: &EventLoop) {
    for _ in 0..5 {
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
    }
}

on_every_system! {
    fn paused_socket_delivers_received_data_before_the_reset(net) {
        let mut paused = paused(net, true);
        paused.peer.write_all(&[2; 1000]).unwrap();
        let socket = paused.socket.clone();
        drive(&paused.event_loop, || socket.read_queue_len() == 1000).unwrap();
        reset(paused.peer);
        turn_a_little(&paused.event_loop);
        assert!(!paused.failed.get(), "it is still paused");
        paused.event_loop.enter(|| _ = paused.socket.resume());
        drive(&paused.event_loop, || paused.failed.get()).unwrap();
        assert_eq!(paused.received.get(), 1005);
    }

    fn paused_socket_delivers_received_data_even_if_a_write_fails(net) {
        let mut paused = paused(net, true);
        paused.peer.write_all(&[2; 1000]).unwrap();
        let socket = paused.socket.clone();
        drive(&paused.event_loop, || socket.read_queue_len() == 1000).unwrap();
        reset(paused.peer);
        paused.event_loop.enter(|| paused.socket.write("to no listener"));
        turn_a_little(&paused.event_loop);
        paused.event_loop.enter(|| paused.socket.write("to no listener"));
        turn_a_little(&paused.event_loop);
        assert!(!paused.failed.get(), "it is still paused");
        paused.event_loop.enter(|| _ = paused.socket.resume());
        drive(&paused.event_loop, || paused.failed.get()).unwrap();
        assert_eq!(paused.received.get(), 1005);
    }

    fn bytes_can_also_be_read_on_demand_before_the_error(net) {
        let mut paused = paused(net, true);
        paused.peer.write_all(&[2; 1000]).unwrap();
        let socket = paused.socket.clone();
        drive(&paused.event_loop, || socket.read_queue_len() == 1000).unwrap();
        reset(paused.peer);
        turn_a_little(&paused.event_loop);
        let bytes = paused.event_loop.enter(|| paused.socket.read());
        assert_eq!(bytes.map(|bytes| bytes.len()), Some(1000));
        drive(&paused.event_loop, || paused.failed.get()).unwrap();
    }

    fn paused_socket_fails_immediately_by_default(net) {
        let mut paused = paused(net, false);
        paused.peer.write_all(&[2; 1000]).unwrap();
        let socket = paused.socket.clone();
        drive(&paused.event_loop, || socket.read_queue_len() == 1000).unwrap();
        reset(paused.peer);
        drive(&paused.event_loop, || paused.failed.get()).unwrap();
        assert_eq!(paused.received.get(), 5);
    }
}
