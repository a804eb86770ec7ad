//! Exhausting descriptors while accepting. A single test, because the limit applies to the whole
//! process.

// Windows has no limit of descriptors.
#![cfg(unix)]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fyke::Socket;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{collect, drive};

on_every_system! {
    fn srv_23_without_descriptors_clients_are_shed_and_accepting_resumes_when_some_are_free(net) {
        let event_loop = net.event_loop();
        // Leaves room for the listener, the clients, and ten of their connections. The limit is set
        // before anything is accepted, because io_uring reads it when accepting begins.
        let before = getrlimit(Resource::Nofile);
        let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let low = Rlimit { current: Some(used + 1 + 40 + 9), ..before };
        setrlimit(Resource::Nofile, low).unwrap();
        let server = event_loop.enter(|| {
            let server = fyke::create_server(|socket| {
                socket.pipe(socket);
            });
            server.on_error(|_, error| panic!("accepting must not fail: {error}"));
            server.on_drop(|_, _| panic!("no connection exceeded the limit"));
            server.listen(net.tcp()).unwrap();
            server
        });
        drive(&event_loop, || server.is_listening()).unwrap();
        let endpoint = server.endpoint().unwrap();

        // These clients have their descriptor, but their connection is not accepted yet.
        let clients: Vec<std::net::TcpStream> = {
            let address = server.address().unwrap().ip().unwrap();
            (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect()
        };
        drive(&event_loop, || server.connections() as u64 + server.shed_connections() == 40).unwrap();
        assert!(server.shed_connections() >= 25, "shed: {}", server.shed_connections());
        assert!(server.is_listening());

        // The loop does not spin: without waiting connections it sleeps. Counted in turns, not in time.
        let turns = Cell::new(0);
        event_loop.enter(|| {
            fyke::timer::set_timeout(Duration::from_millis(300), || {}).unwrap();
        });
        let end = std::time::Instant::now() + Duration::from_millis(250);
        while std::time::Instant::now() < end {
            event_loop.turn(Some(Duration::from_millis(250))).unwrap();
            turns.set(turns.get() + 1);
        }
        assert!(turns.get() < 50, "{} turns with nothing to do", turns.get());

        // The shed clients see a clean end. Then descriptors are freed, and accepting resumes.
        setrlimit(Resource::Nofile, before).unwrap();
        drop(clients);
        drive(&event_loop, || server.connections() == 0).unwrap();
        let answered = Rc::new(Cell::new(false));
        let seen = Rc::clone(&answered);
        event_loop.enter(|| {
            let client = fyke::connect_then(endpoint, |client| {
                client.end_with("again");
            })
            .unwrap();
            let answer = collect(&client);
            let server = server.clone();
            client.on_close(move |_: &Socket, _| {
                assert_eq!(answer.borrow().as_slice(), b"again");
                answered.set(true);
                server.close();
            });
        });
        drive(&event_loop, || false).unwrap();
        assert!(seen.get());
    }
}
