//! What an idle connection holds, and what a record allocates.

mod support;

use std::alloc::System;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use fyke::Socket;
use fyke_tls::{Tls, connect, create_server};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{Net, contexts};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The tests of this file count the allocations of the process, so they run one after the other.
static COUNTING: Mutex<()> = Mutex::new(());

fn held_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

const PAIRS: usize = 100;
/// Of a client and its server together.
const BYTES_PER_PAIR_MAX: usize = 6_800;

#[test]
fn an_idle_pair_of_connections_holds_no_buffers() {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    for net in [Some(Net::ready()), Net::uring()].into_iter().flatten() {
        let (context, client) = contexts();
        let event_loop = net.event_loop();
        let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let answered = Rc::new(Cell::new(0));
        event_loop.enter(|| {
            let server = create_server(&context, |socket| _ = socket.pipe(socket));
            let (sockets, answered) = (Rc::clone(&sockets), Rc::clone(&answered));
            server
                .listen_then(("127.0.0.1", 0), move |server| {
                    fn open(
                        endpoint: fyke::Endpoint,
                        context: fyke_tls::ClientContext,
                        sockets: Rc<RefCell<Vec<Socket>>>,
                        answered: Rc<Cell<usize>>,
                    ) {
                        let socket = connect(endpoint.clone(), &context).unwrap();
                        sockets.borrow_mut().push(socket.clone());
                        Tls::of(&socket)
                            .unwrap()
                            .on_secure_connect(|socket| _ = socket.write(&[7; 20_000]));
                        let missing = Cell::new(20_000);
                        socket.on_data(move |_, data| {
                            missing.set(missing.get() - data.len());
                            if missing.get() == 0 {
                                answered.set(answered.get() + 1);
                                let (sockets, answered) =
                                    (Rc::clone(&sockets), Rc::clone(&answered));
                                open(endpoint.clone(), context.clone(), sockets, answered);
                            }
                        });
                    }
                    open(server.endpoint().unwrap(), client.clone(), sockets, answered);
                })
                .unwrap();
        });
        let reach = |count: usize| {
            while answered.get() < count {
                event_loop.turn(None).unwrap();
            }
            held_bytes()
        };
        let first = reach(300);
        let then = reach(300 + PAIRS);
        let bytes = (then - first) / PAIRS;
        println!("{bytes} bytes for an idle pair");
        assert!(bytes <= BYTES_PER_PAIR_MAX, "{bytes}");
    }
}

/// What rustls allocates to seal a record. Opening one allocates nothing.
const ALLOCATIONS_PER_RECORD: usize = 1;

#[test]
fn a_record_is_read_without_an_allocation() {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    for net in [Some(Net::ready()), Net::uring()].into_iter().flatten() {
        for len in [64, 16 * 1024] {
            let allocations = allocations_of_echoes(&net, len, 500);
            // The client writes a record for each message, and the server for each piece of it that it reads.
            println!("{allocations} allocations for 500 echoed messages of {len} bytes");
            assert!(allocations <= 2 * 500 * ALLOCATIONS_PER_RECORD, "{allocations}");
        }
    }
}

fn allocations_of_echoes(net: &Net, len: usize, messages: usize) -> usize {
    let (context, client) = contexts();
    let event_loop = net.event_loop();
    let count = Rc::new(Cell::new(0));
    let echoed = Rc::clone(&count);
    event_loop.enter(|| {
        let server = create_server(&context, |socket| {
            socket.on_data(|socket, data| _ = socket.write(data));
        });
        let listening = move |server: &fyke::Server| {
            let socket = connect(server.endpoint().unwrap(), &client).unwrap();
            let message = vec![7; len];
            let _ = socket.write(&message);
            let missing = Cell::new(len);
            socket.on_data(move |socket, data| {
                missing.set(missing.get() - data.len());
                if missing.get() == 0 {
                    missing.set(len);
                    echoed.set(echoed.get() + 1);
                    let _ = socket.write(&message);
                }
            });
        };
        server.listen_then(("127.0.0.1", 0), listening).unwrap();
    });
    let reach = |messages: usize| {
        while count.get() < messages {
            event_loop.turn(None).unwrap();
        }
        ALLOCATOR.stats().allocations + ALLOCATOR.stats().reallocations
    };
    let first = reach(300);
    reach(300 + messages) - first
}
