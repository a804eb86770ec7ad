//! Invalid arguments: an `Err` with Node's code, no panic, and the object is unchanged.

mod support;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use fyke::{
    ConnectOptions, Endpoint, Error, ErrorCode, ListenOptions, ReadyState, Server, ServerOptions,
    Socket, SocketOptions, family_selection,
};
use support::{Log, Net};

const BAD_PORTS: [&str; 14] = [
    "-1",
    "65536",
    "4294967295",
    "18446744073709551616",
    "1.5",
    "1e3",
    "0x50",
    ":",
    ":x",
    ": 80",
    "localhost:",
    "localhost:65536",
    "127.0.0.1:-1",
    "[::1]:99999",
];

const NO_ENDPOINTS: [&str; 12] = [
    "",
    " ",
    "x",
    "NaN",
    "Infinity",
    "::1",
    "::1:80",
    "[::1",
    "[::1]80",
    "unix:",
    "abstract:",
    "a\0b:80",
];

/// Arguments other than text that are refused with `ERR_INVALID_ARG_VALUE`.
fn bad_endpoints() -> [Endpoint; 5] {
    [
        ("a\0b", 80).into(),
        ("\0", 80).into(),
        Endpoint::Path("".into()),
        Endpoint::Abstract(Vec::new()),
        Endpoint::Host("a\0".to_owned(), 80),
    ]
}

/// Tries `call` with every argument that it must refuse, and checks the codes.
fn refuses_all(call: impl Fn(Result<Endpoint, &'static str>) -> Result<(), Error>) {
    let code = |argument| call(argument).unwrap_err().code();
    for text in BAD_PORTS {
        assert_eq!(code(Err(text)), ErrorCode::ERR_SOCKET_BAD_PORT, "{text:?}");
    }
    for text in NO_ENDPOINTS {
        assert_eq!(code(Err(text)), ErrorCode::ERR_INVALID_ARG_VALUE, "{text:?}");
    }
    for endpoint in bad_endpoints() {
        let text = format!("{endpoint:?}");
        assert_eq!(code(Ok(endpoint)), ErrorCode::ERR_INVALID_ARG_VALUE, "{text}");
    }
}

on_every_driver! {
    fn arg_03_arg_04_arg_06_a_failed_connect_call_leaves_the_socket_unchanged(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let refuse = |socket: &Socket| refuses_all(|argument| match argument {
                Ok(endpoint) => socket.connect_then(endpoint, |_| panic!("refused")),
                Err(text) => socket.connect_then(text, |_| panic!("refused")),
            });
            let server = fyke::create_server(|socket| _ = socket.end());
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                let released = Rc::new(());
                let captured = Rc::clone(&released);
                client.connect_then("nonsense", move |_| drop(captured)).unwrap_err();
                assert_eq!(Rc::strong_count(&released), 1, "the callback is dropped");
                refuse(&client);
                assert!(!client.is_connecting() && client.is_pending() && !client.is_destroyed());
                assert_eq!(client.ready_state(), ReadyState::Open);
                log.watch("", &client);
                client.connect(endpoint).unwrap();
                refuse(&client);
                assert!(client.is_connecting());
                client.on_ready(move |client| {
                    refuse(client);
                    assert!(!client.is_connecting() && !client.is_pending());
                    client.resume();
                });
                client.on_close(move |client, _| {
                    refuse(client);
                    server.close();
                });
            });
        });
        assert_eq!(seen.take(), ["connect", "ready", "end", "finish", "close false"]);
    }

    fn arg_03_arg_04_a_failed_connect_call_creates_no_socket(net) {
        // The loop ends immediately, because nothing was started.
        net.run(|| {
            refuses_all(|argument| match argument {
                Ok(endpoint) => fyke::connect_then(endpoint, |_| panic!("refused")).map(drop),
                Err(text) => fyke::connect_then(text, |_| panic!("refused")).map(drop),
            });
            refuses_all(|argument| match argument {
                Ok(endpoint) => ConnectOptions::new(endpoint).connect_then(|_| panic!("refused")).map(drop),
                Err(text) => ConnectOptions::new(text.to_owned()).connect_then(|_| panic!("refused")).map(drop),
            });
        });
    }

    fn arg_04_an_empty_host_is_localhost(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for endpoint in [("", 1).into(), Endpoint::Host(String::new(), 1), Endpoint::Port(1)] {
                let options = ConnectOptions::new(endpoint);
                let log = log.clone();
                let options = options.lookup(move |request, _| log.add(request.host));
                options.connect().unwrap().on_error(|_, _| {});
            }
        });
        assert_eq!(seen.take(), ["localhost"; 3]);
    }

    fn arg_05_every_local_address_and_port_is_accepted_and_a_wrong_one_is_an_error_event(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for text in ["203.0.113.9", "2001:db8::9"] {
                let address: IpAddr = text.parse().unwrap();
                let target: IpAddr = if address.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().unwrap() };
                let options = ConnectOptions::new((target, 1)).local_address(address);
                let client = options.local_port(u16::MAX).connect().unwrap();
                let log = log.clone();
                client.on_error(move |_, error| {
                    log.add(error.syscall().unwrap());
                    assert_eq!(error.address().and_then(fyke::Address::ip), Some((address, u16::MAX).into()));
                });
            }
        });
        assert_eq!(seen.take(), ["bind"; 2]);
    }

    fn arg_08_a_failed_listen_call_leaves_the_server_unchanged(net) {
        let called = Rc::new(Cell::new(0));
        let seen = Rc::clone(&called);
        net.run(|| {
            let refuse = |server: &Server| refuses_all(|argument| match argument {
                Ok(endpoint) => server.listen_then(endpoint, |_| panic!("refused")),
                Err(text) => server.listen_then(text, |_| panic!("refused")),
            });
            let server = Server::new();
            let refused = |_: &Server| panic!("refused");
            refuses_all(|argument| match argument {
                Ok(endpoint) => ListenOptions::new(endpoint).listen_then(&server, refused),
                Err(text) => ListenOptions::new(text).listen_then(&server, refused),
            });
            server.on_error(|_, error| panic!("{error}"));
            refuse(&server);
            assert!(!server.is_listening() && server.address().is_none());
            // SRV-08: if the callback had been kept, it would run now.
            server.listen_then(net.tcp(), move |server| {
                called.set(called.get() + 1);
                refuse(server);
                assert!(server.is_listening());
                server.close();
            }).unwrap();
        });
        assert_eq!(seen.get(), 1);
    }

    fn arg_10_arg_11_the_extremes_of_every_option_are_accepted_and_work(net) {
        for (bytes, time) in [(0, Duration::ZERO), (usize::MAX, Duration::MAX)] {
            let log = Log::new();
            let seen = log.clone();
            // Linux's limit; more is an error (TMO-17).
            let delay = time.min(Duration::from_secs(32_767));
            net.run(|| {
                let server = ServerOptions::new().keep_alive(delay).high_water_mark(bytes);
                let server = server.write_queue_bytes_max(usize::MAX).max_connections(usize::MAX);
                let server = server.max_connections_per_ip(usize::MAX).no_delay(true);
                let server = server.create_server(|socket| _ = socket.end_with("answer"));
                let listen = ListenOptions::new(net.tcp()).backlog(u32::MAX);
                listen.listen_then(&server, move |server| {
                    let endpoint = server.endpoint().unwrap();
                    let options = ConnectOptions::new(&endpoint).high_water_mark(bytes);
                    let options = options.keep_alive(delay).idle_timeout(time).no_delay(true);
                    let options = options.write_queue_bytes_max(usize::MAX).lookup_timeout(time);
                    let options = match time.is_zero() {
                        // A timeout of zero would end the connect immediately.
                        true => options,
                        false => options.connect_timeout(time).write_stall_timeout(time),
                    };
                    let client = options.connect().unwrap();
                    log.watch("", &client);
                    let reported = log.clone();
                    client.on_data(move |_, data| reported.add(String::from_utf8_lossy(data)));
                    let server = server.clone();
                    client.on_close(move |_, _| _ = server.close());
                }).unwrap();
            });
            let mut entries = seen.take();
            entries.retain(|entry| entry != "timeout");
            let joined = entries.concat();
            assert_eq!(joined, "connectreadyanswerendfinishclose false");
        }
        let socket = SocketOptions::new().high_water_mark(0).build();
        assert!(!socket.write("nothing fits"), "a mark of 0 is stored");
    }
}

#[test]
fn arg_07_he_20_an_attempt_timeout_out_of_range_fails_and_changes_nothing() {
    let millisecond = Duration::from_millis(1);
    let longest = Duration::from_millis(2_147_483_647);
    let before = family_selection::attempt_timeout();
    let connect = |timeout| {
        let options = ConnectOptions::new(("some.test", 1)).attempt_timeout(timeout);
        // The first invalid value is the error, and a later valid one does not hide it.
        options.attempt_timeout(millisecond).connect().map(|client| {
            client.destroy();
        })
    };
    for timeout in [Duration::ZERO, millisecond / 2, longest + millisecond, Duration::MAX] {
        Net::sim().run(|| {
            let code = connect(timeout).unwrap_err().code();
            assert_eq!(code, ErrorCode::ERR_OUT_OF_RANGE);
        });
        let code = family_selection::set_attempt_timeout(timeout).unwrap_err().code();
        assert_eq!(code, ErrorCode::ERR_OUT_OF_RANGE);
        assert_eq!(family_selection::attempt_timeout(), before);
    }
    for timeout in [millisecond, longest] {
        Net::sim().run(|| connect(timeout).unwrap());
    }
}

#[test]
fn an_error_of_the_program_has_a_message_and_an_error_of_the_system_has_none() {
    let error = Error::new(ErrorCode::EPIPE, "gone");
    assert_eq!((error.message(), error.syscall()), (Some("gone"), None));
    let log = Log::new();
    let seen = log.clone();
    Net::sim().run(|| {
        let client = fyke::connect(("127.0.0.1", 1)).unwrap();
        client.on_error(move |_, error| log.add(format!("{:?}", error.message())));
    });
    assert_eq!(seen.take(), ["None"]);
}
