//! The memory of queues compared with their content, for any sizes of received, written and read
//! pieces. A single test, because memory is counted for the whole process. On real drivers only,
//! because the simulated network allocates itself.

// The limits are those of Unix systems, where the driver's table holds all state of a socket.
#![cfg(unix)]

mod support;

use std::alloc::System;
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fyke::{EventLoop, ServerOptions, Socket};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{Net, drive};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Memory that does not depend on the queue: its tables, and what a test itself needs.
const SLACK_BYTES: usize = 16 * 1024;

const MARK_BYTES: usize = 16 * 1024;

fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// All memory ever allocated, which reveals work that is done repeatedly.
fn bytes_asked_for() -> usize {
    let stats = ALLOCATOR.stats();
    // Growth in place counts as the difference.
    stats.bytes_allocated
}

/// An accepted socket that is not read from yet, and its peer, which does not use this library.
struct Pair {
    event_loop: EventLoop,
    socket: Socket,
    peer: TcpStream,
}

impl Pair {
    fn new(net: &Net) -> Self {
        let event_loop = net.event_loop();
        let accepted: Rc<Cell<Option<Socket>>> = Default::default();
        let server = event_loop.enter(|| {
            let server = ServerOptions::new()
                .high_water_mark(MARK_BYTES)
                .pause_on_connect(true)
                .create_server({
                    let accepted = Rc::clone(&accepted);
                    move |socket| accepted.set(Some(socket.clone()))
                });
            server.listen(net.tcp()).unwrap();
            server
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let mut peer = TcpStream::connect(server.address().unwrap().ip().unwrap()).unwrap();
        peer.set_nodelay(true).unwrap();
        drive(&event_loop, || server.connections() == 1).unwrap();
        let socket = accepted.take().unwrap();
        socket.on_error(|_, _| {});
        // The first read allocates the loop's own buffer.
        assert_eq!(event_loop.enter(|| socket.read()), None);
        peer.write_all(b"x").unwrap();
        drive(&event_loop, || socket.bytes_read() == 1).unwrap();
        assert_eq!(event_loop.enter(|| socket.read()).as_deref(), Some(&b"x"[..]));
        Self { event_loop, socket, peer }
    }

    /// Lets the peer send bytes so that they arrive in pieces of this size, while the socket is paused
    /// and receives up to its mark.
    fn receive_in_pieces(&mut self, bytes: usize, piece: usize) {
        for sent in (piece..=bytes).step_by(piece) {
            self.peer.write_all(&[b'x'; 1000][..piece]).unwrap();
            drive(&self.event_loop, || self.socket.bytes_read() == 1 + sent as u64).unwrap();
        }
        assert!(self.socket.read_queue_len() >= bytes - piece);
    }

    /// Writes more than the kernel accepts while the peer does not read, so all later writes are queued.
    fn fill(&self) {
        self.event_loop.enter(|| _ = self.socket.write(vec![0; 48 << 20]));
        assert_eq!(self.socket.write_queue_len(), 48 << 20);
    }

    fn queued(&self) -> usize {
        self.socket.write_queue_len() + self.socket.read_queue_len()
    }

    /// Queues bytes by `act`, and compares the memory that this needs with the number of bytes.
    fn assert_holds_little(&mut self, what: &str, queue: impl FnOnce(&mut Self)) {
        let (held, queued) = (bytes_in_use(), self.queued());
        queue(self);
        let (held, queued) = (bytes_in_use() - held.min(bytes_in_use()), self.queued() - queued);
        assert!(queued > 0, "{what}: nothing is queued");
        assert!(held <= 2 * queued + SLACK_BYTES, "{what}: {held} bytes for {queued} in the queue");
    }

    /// The same for a call that is made repeatedly in the loop.
    fn assert_calls_hold_little(&mut self, what: &str, calls: usize, call: impl Fn(&Socket)) {
        self.assert_holds_little(what, |pair| {
            for _ in 0..calls {
                pair.event_loop.enter(|| call(&pair.socket));
                pair.event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
        });
    }
}

fn what_comes_in_pieces_is_held_once(net: &Net) {
    for piece in [1, 3, 100, 1000] {
        Pair::new(net).assert_holds_little("arrivals", |pair| {
            pair.receive_in_pieces(MARK_BYTES - 1000, piece);
        });
    }
}

fn what_is_put_back_in_pieces_is_held_once(net: &Net) {
    let mut pair = Pair::new(net);
    pair.receive_in_pieces(MARK_BYTES / 2, 1000);
    pair.assert_holds_little("unshift", |pair| {
        pair.event_loop.enter(|| (0..5_000).for_each(|_| _ = pair.socket.unshift(b"x")));
    });
}

fn what_is_taken_in_pieces_is_given_back(net: &Net) {
    let mut pair = Pair::new(net);
    let before = bytes_in_use();
    pair.receive_in_pieces(MARK_BYTES - 1000, 500);
    pair.event_loop.enter(|| {
        while pair.socket.read_queue_len() > 100 {
            pair.socket.read_n(50).unwrap().unwrap();
        }
    });
    let held = bytes_in_use() - before;
    assert!(held <= SLACK_BYTES, "{held} bytes for the last 100");
}

fn what_is_written_in_pieces_is_held_once(net: &Net) {
    let mut pair = Pair::new(net);
    pair.fill();
    let shared = Bytes::from(vec![b'x'; 100_000]);
    pair.assert_calls_hold_little("borrowed", 3_000, |socket| _ = socket.write("x"));
    pair.assert_calls_hold_little("owned", 3_000, |socket| _ = socket.write(vec![b'x']));
    pair.assert_calls_hold_little("shared", 3_000, |socket| _ = socket.write(shared.slice(..1)));
    pair.assert_calls_hold_little("corked", 3_000, |socket| {
        let _ = socket.cork().write("x");
        socket.uncork();
    });
    pair.assert_calls_hold_little("large and small", 100, |socket| {
        let _ = socket.write(vec![b'x'; 5000]);
        let _ = socket.write("x");
    });
    pair.assert_calls_hold_little("of a large buffer", 100, |socket| {
        let mut bytes = Vec::with_capacity(200_000);
        bytes.resize(5000, b'x');
        let _ = socket.write(bytes);
        let mut text = String::with_capacity(200_000);
        text.push_str(&"x".repeat(5000));
        let _ = socket.write(text);
    });
    pair.event_loop.enter(|| pair.socket.cork());
    pair.assert_calls_hold_little("held back", 3_000, |socket| _ = socket.write(vec![b'x']));
}

/// Regression: pooled buffers that had held much data were reused for few bytes, which then stayed
/// queued. On Unix sockets, where bytes that the kernel has refused stay queued until the peer reads. On
/// TCP they may be sent later, and each small buffer that then returns to the pool may grow in the next
/// round, up to the limit of the pool.
fn a_buffer_that_is_used_again_is_held_for_what_is_in_it(net: &Net) {
    const CONNECTIONS: usize = 40;
    let event_loop = net.event_loop();
    let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
    let path = net.path();
    event_loop.enter(|| {
        let server = ServerOptions::new().send_buffer_size_bytes(4096).create_server({
            let sockets = Rc::clone(&sockets);
            move |socket| sockets.borrow_mut().push(socket.clone())
        });
        server.listen(path.clone()).unwrap();
    });
    let turn = || _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    turn();
    let connect = |count: usize| {
        let peer = UnixStream::connect(&path).unwrap();
        drive(&event_loop, || sockets.borrow().len() == count).unwrap();
        let socket = sockets.borrow()[count - 1].clone();
        socket.on_error(|_, _| {});
        (peer, socket)
    };
    let (mut reader, drained) = connect(1);
    let (mut buffer, mut peers) = (vec![0; 60_000], Vec::new());
    let before = bytes_in_use();
    for count in 2..CONNECTIONS + 2 {
        // Collects much data in a buffer, and returns the buffer to the pool.
        event_loop.enter(|| (0..60).for_each(|_| _ = drained.write(&[0; 1000][..])));
        turn();
        reader.set_nonblocking(true).unwrap();
        let mut received = 0;
        while received < buffer.len() {
            received += reader.read(&mut buffer).unwrap_or(0);
            turn();
        }
        let (peer, socket) = connect(count);
        while socket.write_queue_len() == 0 {
            event_loop.enter(|| socket.write(&[0; 500][..]));
            turn();
        }
        peers.push((peer, socket));
    }
    let held = bytes_in_use() - before;
    assert!(held <= CONNECTIONS * 2000 + 4 * 65_536, "{held} bytes for {CONNECTIONS} connections");
}

fn taking_in_pieces_is_not_doing_it_again_and_again(net: &Net) {
    for piece in [1, 7] {
        let mut pair = Pair::new(net);
        pair.receive_in_pieces(MARK_BYTES - 1000, 1000);
        // One chunk for the rest. After unshift it is the only one.
        let all = pair.event_loop.enter(|| pair.socket.read_n(MARK_BYTES - 2000)).unwrap();
        let all = all.unwrap();
        pair.event_loop.enter(|| pair.socket.unshift(&all));
        let before = bytes_asked_for();
        let mut taken = 0;
        pair.event_loop.enter(|| {
            while taken + piece <= all.len() {
                taken += pair.socket.read_n(piece).unwrap().unwrap().len();
            }
        });
        let asked_for = bytes_asked_for() - before;
        assert!(asked_for <= 10 * all.len(), "{asked_for} bytes to take {}", all.len());
    }
}

/// A read buffer that stops after each piece also gets the rest piece by piece.
fn stopping_after_each_piece_is_not_doing_it_again_and_again(net: &Net) {
    let mut pair = Pair::new(net);
    pair.peer.write_all(&vec![b'x'; MARK_BYTES - 1000]).unwrap();
    let taken = Rc::new(Cell::new(0));
    pair.event_loop.enter(|| {
        let taken = Rc::clone(&taken);
        pair.socket.read_buffer(2, move |socket, piece| {
            taken.set(taken.get() + piece.len());
            let socket = socket.clone();
            fyke::timer::next_tick(move || _ = socket.resume()).unwrap();
            false
        });
        pair.socket.resume();
    });
    let before = bytes_asked_for();
    drive(&pair.event_loop, || taken.get() == MARK_BYTES - 1000).unwrap();
    let asked_for = bytes_asked_for() - before;
    assert!(asked_for <= 100 * MARK_BYTES, "{asked_for} bytes to take {}", taken.get());
}

/// The memory that a closed socket keeps, for many sockets that were accepted and closed by us, and
/// whose handles stay.
fn bytes_per_closed(net: &Net, corked: bool) -> usize {
    const SOCKETS: usize = 500;
    let event_loop = net.event_loop();
    let closed: Rc<RefCell<Vec<Socket>>> = Default::default();
    let server = event_loop.enter(|| {
        let closed = Rc::clone(&closed);
        let server = fyke::create_server(move |socket| {
            if corked {
                socket.cork();
                _ = socket.write("held back");
            }
            socket.destroy();
            closed.borrow_mut().push(socket.clone());
        });
        server.listen(net.tcp()).unwrap();
        server
    });
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    let address = server.address().unwrap().ip().unwrap();
    let before = bytes_in_use();
    for count in 1..=SOCKETS {
        drop(TcpStream::connect(address).unwrap());
        let is_closed = |socket: &Socket| socket.is_closed();
        drive(&event_loop, || {
            closed.borrow().len() == count && closed.borrow().last().is_some_and(is_closed)
        })
        .unwrap();
    }
    (bytes_in_use() - before) / SOCKETS
}

/// Regression: a corked socket kept its queue until its last handle was dropped.
fn a_closed_socket_keeps_no_queue(net: &Net) {
    let (plain, corked) = (bytes_per_closed(net, false), bytes_per_closed(net, true));
    assert!(corked <= plain + 50, "{corked} bytes corked, {plain} otherwise");
}

#[test]
fn c7_the_memory_of_a_queue_is_at_most_twice_its_content_for_any_pieces() {
    for net in Net::of_the_system() {
        what_comes_in_pieces_is_held_once(&net);
        what_is_put_back_in_pieces_is_held_once(&net);
        what_is_taken_in_pieces_is_given_back(&net);
        what_is_written_in_pieces_is_held_once(&net);
        a_buffer_that_is_used_again_is_held_for_what_is_in_it(&net);
        taking_in_pieces_is_not_doing_it_again_and_again(&net);
        stopping_after_each_piece_is_not_doing_it_again_and_again(&net);
        a_closed_socket_keeps_no_queue(&net);
    }
}
