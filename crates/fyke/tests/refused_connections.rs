//! Many refused connects. A single test, because descriptors are counted for the whole process.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use fyke::{Endpoint, ErrorCode, EventLoop, Server};
use support::{Net, drive};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// An endpoint that no longer has a listener.
fn released(net: &Net, event_loop: &EventLoop) -> Endpoint {
    let server = event_loop.enter(|| {
        let server = Server::new();
        server.listen(net.tcp()).unwrap();
        server
    });
    drive(event_loop, || server.is_listening()).unwrap();
    let endpoint = server.endpoint().unwrap();
    server.close();
    endpoint
}

#[test]
fn con_15_many_refused_connections_leak_nothing() {
    for net in Net::of_the_system().chain([Net::sim()]) {
        let event_loop = net.event_loop();
        let endpoint = released(&net, &event_loop);
        drive(&event_loop, || false).unwrap();
        let open = descriptors();
        let (errors, closed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for round in 1..=5 {
            for _ in 0..50 {
                let (errors, closed) = (Rc::clone(&errors), Rc::clone(&closed));
                event_loop.enter(|| {
                    let client =
                        fyke::connect_then(&endpoint, |_| panic!("there is no server")).unwrap();
                    client.on_error(move |_, error| {
                        assert_eq!(error.code(), ErrorCode::ECONNREFUSED);
                        errors.set(errors.get() + 1);
                    });
                    client.on_close(move |_, had_error| {
                        assert!(had_error);
                        closed.set(closed.get() + 1);
                    });
                });
            }
            // The loop ends, because nothing keeps it alive.
            drive(&event_loop, || false).unwrap();
            assert_eq!((errors.get(), closed.get()), (50 * round, 50 * round));
            assert_eq!(descriptors(), open, "descriptors are lost");
        }
    }
}
