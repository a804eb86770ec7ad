//! Verbs with and without a callback of the call have the same events.

mod support;

use std::time::Duration;

use fyke::{BoundSocket, ConnectOptions, ListenOptions, Server, Socket};
use support::{Log, Net};

/// A server that ends each connection, a call of `verb`, and the events of a client.
fn events(
    net: &Net,
    listen: impl FnOnce(&Server),
    connect: fn(ConnectOptions) -> Socket,
) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let server = fyke::create_server(|socket| {
            socket.end();
        });
        server.on_listening(move |server| {
            let client = connect(ConnectOptions::new(server.endpoint().unwrap()));
            client.resume();
            log.watch("", &client);
            let server = server.clone();
            client.on_close(move |_, _| _ = server.close());
        });
        listen(&server);
    });
    seen.take()
}

fn connect(options: ConnectOptions) -> Socket {
    options.connect().unwrap()
}

on_every_driver! {
    fn events_are_the_same_with_and_without_callbacks(net) {
        let wanted = ["connect", "ready", "end", "finish", "close false"];
        let listen = |server: &Server| server.listen(("127.0.0.1", 0)).unwrap();
        let connects: [fn(ConnectOptions) -> Socket; 4] = [
            connect,
            |options| options.connect_then(|_| {}).unwrap(),
            |options| {
                let client = Socket::new();
                client.connect_with(options).unwrap();
                client
            },
            |options| {
                let client = Socket::new();
                client.connect_with_then(options, |_| {}).unwrap();
                client
            },
        ];
        for connect in connects {
            assert_eq!(events(net, listen, connect), wanted);
        }
        let listens: [fn(&Server); 4] = [
            |server| server.listen_then(("127.0.0.1", 0), |_| {}).unwrap(),
            |server| ListenOptions::new(("127.0.0.1", 0)).listen(server).unwrap(),
            |server| ListenOptions::new(("127.0.0.1", 0)).listen_then(server, |_| {}).unwrap(),
            |server| server.listen_bound(BoundSocket::bind(("127.0.0.1", 0)).unwrap()).unwrap(),
        ];
        for listen in listens {
            assert_eq!(events(net, listen, connect), wanted);
        }
    }

    fn client_and_server_need_no_callback_of_a_call(net) {
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.pipe(socket); });
            server.on_listening(|server| {
                let client = fyke::connect(server.endpoint().unwrap()).unwrap();
                client.end_with("hello");
                let server = server.clone();
                let got = support::collect(&client);
                client.on_close(move |_, _| {
                    assert_eq!(got.take(), b"hello");
                    server.shutdown(Duration::from_secs(60)).unwrap();
                });
            });
            server.listen(net.tcp()).unwrap();
        });
    }

    fn shutdown_without_a_callback_resets_connections_open_at_the_deadline(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.resume();
                socket.server().unwrap().shutdown(Duration::ZERO).unwrap();
            });
            let closed = log.clone();
            server.on_close(move |_| closed.add("close"));
            net.listen(&server, net.tcp(), move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.resume().on_error(move |_, error| log.add(error.code()));
            });
        });
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, ["ECONNRESET", "close"]);
    }
}
