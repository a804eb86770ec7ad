//! Errors without an `on_error` listener (contract C5).

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{ErrorCode, Server};
use support::Log;

on_every_driver! {
    fn an_unhandled_error_of_a_server_ends_run(net) {
        let error = net.try_run(|| {
            let server = Server::new();
            server.listen(("192.0.2.1", 1))
        }).unwrap_err();
        assert_eq!((error.code(), error.syscall()), (ErrorCode::EADDRNOTAVAIL, Some("listen")));
    }

    /// Regression: a backend is a peer too, and one that reset its connection ended all others.
    fn c5_an_unhandled_error_of_an_outgoing_connection_ends_no_other_and_is_returned_at_the_end(net) {
        for node_exact in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            if node_exact {
                net.node_exact();
            }
            let event_loop = net.event_loop();
            event_loop.enter(|| {
                let server = fyke::create_server(|socket| _ = socket.pipe(socket));
                let backend = fyke::create_server(|socket| {
                    socket.on_data(|socket, _| socket.reset_and_destroy().unwrap());
                });
                let to_backend = net.tcp();
                net.listen(&server.clone(), net.tcp(), move |endpoint| {
                    backend.listen_then(to_backend, move |backend| {
                        let client = fyke::connect(endpoint).unwrap();
                        // Without `on_error`.
                        let outgoing = fyke::connect_then(backend.endpoint().unwrap(), |socket| {
                            let _ = socket.write("x");
                        }).unwrap();
                        let failed = log.clone();
                        let (talking, backend) = (client.clone(), backend.clone());
                        outgoing.on_close(move |_, had_error| {
                            failed.add(format!("backend {had_error}"));
                            backend.close();
                            let _ = talking.write("!");
                        });
                        client.on_data(move |client, bytes| {
                            log.add(String::from_utf8_lossy(bytes));
                            client.end();
                            server.close();
                        });
                    }).unwrap();
                });
            });
            let error = support::drive(&event_loop, || false).unwrap_err();
            assert_eq!((error.code(), error.syscall()), (ErrorCode::ECONNRESET, Some("read")));
            let done = ["backend true", "!"];
            let reported: &[&str] = if node_exact { &done[..1] } else { &done };
            assert_eq!(seen.entries(), reported, "exact: {node_exact}");
            // The error is returned once, and the loop is intact.
            support::drive(&event_loop, || false).unwrap();
            assert_eq!(seen.take(), done);
        }
    }

    fn c5_an_unhandled_failed_connect_makes_run_return_an_error(net) {
        let event_loop = net.event_loop();
        let ticked = Rc::new(Cell::new(false));
        event_loop.enter(|| {
            let server = Server::new();
            let seen = Rc::clone(&ticked);
            net.listen(&server, net.tcp(), move |endpoint| {
                fyke::connect_then(endpoint.clone(), |_| panic!("refused")).unwrap();
                fyke::connect_then(endpoint, |_| panic!("refused")).unwrap().on_close(move |_, _| {
                    let seen = Rc::clone(&seen);
                    fyke::timer::set_timeout(Duration::from_millis(1), move || seen.set(true)).unwrap();
                });
            });
            server.on_listening(|server| _ = server.close());
        });
        let error = event_loop.run().unwrap_err();
        assert_eq!((error.code(), error.syscall()), (ErrorCode::ECONNREFUSED, Some("connect")));
        assert!(ticked.get(), "the loop went on");
        event_loop.run().unwrap();
    }

    fn c5_an_unhandled_error_of_an_accepted_connection_is_not_returned_by_run(net) {
        let error = net.try_run(|| {
            let server = fyke::create_server(|socket| {
                // This socket has no error listener, and its client resets the connection.
                socket.resume();
                socket.on_close(|socket, had_error| {
                    assert!(had_error);
                    let server = socket.server().unwrap();
                    let endpoint = server.endpoint().unwrap();
                    server.close();
                    fyke::connect_then(endpoint, |_| panic!("closed")).unwrap();
                });
            });
            net.listen(&server, net.tcp(), |endpoint| {
                fyke::connect_then(endpoint, |client| client.reset_and_destroy().unwrap()).unwrap();
            });
            Ok(())
        }).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ECONNREFUSED);
    }
}
