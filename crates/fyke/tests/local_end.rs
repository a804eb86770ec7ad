//! The local address of a connection: chosen, bound, reported, and with the zone of an interface.

mod support;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use fyke::{Address, ConnectOptions, Endpoint, Error, Socket};
use support::{Log, Net};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Records attempts, in addition to the events of [`Log::watch`].
fn watch(log: &Log, client: &Socket) {
    let attempts = log.clone();
    client.on_connection_attempt(move |_, _| attempts.add("attempt"));
    let failures = log.clone();
    client.on_connection_attempt_failed(move |_, _, error| {
        failures.add(format!("failed {}", error.code()));
    });
    log.watch("", client);
}

/// The addresses in an error of a connect, and its text.
fn shape(error: &Error) -> (Option<&str>, Option<&Address>, Option<u16>, bool) {
    (error.syscall(), error.address(), error.port(), error.local_address().is_some())
}

on_every_driver! {
    fn con_10_an_immediate_failure_has_the_same_events_as_any_other(net) {
        // No network has this address: the simulated one refuses it, and Linux refuses to connect to a
        // broadcast address.
        let target: std::net::SocketAddr = ([255, 255, 255, 255], 9).into();
        let codes = ["ENETUNREACH", "EACCES", "EHOSTUNREACH", "EADDRNOTAVAIL"];
        for bound in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let mut options = ConnectOptions::new(target);
                if bound {
                    options = options.local_address(ip("0.0.0.0"));
                }
                let client = options.connect_then(|_| panic!("it cannot connect")).unwrap();
                watch(&log, &client);
                client.on_error(move |client, error| {
                    let address = Address::Ip(target);
                    assert_eq!(shape(error), (Some("connect"), Some(&address), Some(9), false));
                    assert!(!error.to_string().contains("Local"), "the port was not known: {error}");
                    assert_eq!(client.local_address(), None);
                    assert!(client.is_destroyed());
                });
            });
            let entries = seen.take();
            let code = codes.into_iter().find(|code| entries[1].ends_with(code)).unwrap();
            let failed = [format!("failed {code}"), format!("error {code}")];
            assert_eq!(entries, ["attempt", &*failed[0], &*failed[1], "close true"]);
        }
    }

    fn con_10_the_local_address_is_printed_if_it_was_bound_with_a_port(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            // A server whose port is free at every other address.
            let server = fyke::create_server(|_| panic!("no client connects"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let Endpoint::Ip(used) = endpoint else { panic!("not an address") };
                let options = ConnectOptions::new(("255.255.255.255", 9));
                let options = options.local_address(ip("127.0.0.9")).local_port(used.port());
                let client = options.connect_then(|_| panic!("it cannot connect")).unwrap();
                client.on_error(move |_, error| {
                    assert_eq!(error.local_address(), Some((ip("127.0.0.9"), used.port()).into()));
                    let tail = format!(" 255.255.255.255:9 - Local (127.0.0.9:{})", used.port());
                    assert!(error.to_string().ends_with(&tail), "{error}");
                    log.add(error.syscall().unwrap());
                });
                client.on_close(move |_, _| _ = server.close());
            });
        });
        assert_eq!(seen.take(), ["connect"]);
    }

    fn con_13_a_local_address_that_cannot_be_bound_is_an_error_without_an_attempt(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|_| panic!("no client connects"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let Endpoint::Ip(used) = endpoint else { panic!("not an address") };
                let cases = [
                    (used.ip(), used.port(), "EADDRINUSE"),
                    (ip("203.0.113.9"), 0, "EADDRNOTAVAIL"),
                    (ip("203.0.113.9"), 7, "EADDRNOTAVAIL"),
                    (ip("::1"), 0, "EINVAL"),
                ];
                let left = Rc::new(Cell::new(cases.len()));
                for (address, port, code) in cases {
                    let options = ConnectOptions::new(used).local_address(address);
                    let client = options.local_port(port).connect_then(|_| panic!("not bound")).unwrap();
                    watch(&log, &client);
                    client.on_error(move |_, error| {
                        assert_eq!(error.code().as_str(), code);
                        let local = Address::Ip((address, port).into());
                        let known = (port != 0).then_some(port);
                        assert_eq!(shape(error), (Some("bind"), Some(&local), known, false));
                    });
                    let (left, server) = (Rc::clone(&left), server.clone());
                    client.on_close(move |_, _| {
                        left.set(left.get() - 1);
                        if left.get() == 0 {
                            server.close();
                        }
                    });
                }
            });
        });
        let wanted = [
            "error EADDRINUSE", "error EADDRNOTAVAIL", "error EADDRNOTAVAIL", "error EINVAL",
            "close true", "close true", "close true", "close true",
        ];
        assert_eq!(seen.take(), wanted);
    }

    fn con_11_con_14_the_requested_local_port_is_bound(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let reported = log.clone();
            let server = fyke::create_server(move |socket| {
                reported.add(format!("server {}", socket.remote_address().unwrap().ip()));
                let (ours, theirs) = (socket.local_address().unwrap(), socket.remote_address().unwrap());
                assert_eq!(ours.port(), theirs.port());
                socket.end();
                socket.server().unwrap().close();
            });
            net.listen(&server, net.tcp(), move |endpoint| {
                let Endpoint::Ip(address) = endpoint else { panic!("not an address") };
                // The server's own port at another address, which is free.
                let local = (ip("127.0.0.9"), address.port()).into();
                let options = ConnectOptions::new(address);
                let options = options.local_address(ip("127.0.0.9")).local_port(address.port());
                let client = options.connect_then(move |client| {
                    assert_eq!(client.local_address(), Some(local));
                    log.add("client");
                }).unwrap();
                client.resume();
            });
        });
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, ["client", "server 127.0.0.9"]);
    }

    fn con_12_a_refused_connect_reports_its_local_address_if_address_and_port_are_known(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            // A server whose port is free at every other address.
            let server = fyke::create_server(|_| panic!("no client connects"));
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let port = match endpoint { Endpoint::Ip(address) => address.port(), _ => panic!() };
                let options = || ConnectOptions::new(("127.0.0.8", port));
                let both = options().local_address(ip("127.0.0.9")).local_port(port);
                let address_only = options().local_address(ip("127.0.0.9"));
                for options in [both, address_only] {
                    let client = options.connect_then(|_| panic!("no server listens there")).unwrap();
                    let (log, server) = (log.clone(), server.clone());
                    client.on_error(move |_, error| {
                        let text = error.to_string().replace(&port.to_string(), "PORT");
                        log.add(format!("{text}, {}", error.local_address().is_some()));
                    });
                    client.on_close(move |_, _| _ = server.close());
                }
            });
        });
        let mut entries = seen.take();
        entries.sort();
        let line = "connect ECONNREFUSED 127.0.0.8:PORT";
        let wanted = [format!("{line} - Local (127.0.0.9:PORT), true"), format!("{line}, false")];
        assert_eq!(entries, wanted);
    }
}

/// The interface's name and a link-local address of this machine, if it has one.
fn link_local() -> Option<(String, std::net::Ipv6Addr)> {
    let list = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let line = list.lines().filter(|line| line.starts_with("fe80"));
    let line = line.min_by_key(|line| line.split_ascii_whitespace().nth(1).map(str::to_owned))?;
    let bits = u128::from_str_radix(line.split_ascii_whitespace().next()?, 16).ok()?;
    Some((line.split_ascii_whitespace().last()?.to_owned(), bits.into()))
}

/// The interfaces are those of the machine. Without an interface that has a link-local address, this
/// checks nothing; `zone.rs` of the driver has tests that need none.
#[test]
fn con_20_a_link_local_address_can_be_connected_to_with_and_without_its_zone() {
    let Some((interface, address)) = link_local() else { return };
    let net = Net::ready();
    let log = Log::new();
    let seen = log.clone();
    net.run(move || {
        let server = fyke::create_server(|socket| _ = socket.end());
        let zoned = format!("{address}%{interface}");
        server
            .listen_then((zoned.clone(), 0), move |server| {
                let port = server.address().unwrap().port().unwrap();
                let text = format!("[{zoned}]:{port}").parse::<Endpoint>().unwrap();
                let forms = [text, (zoned.as_str(), port).into(), (address, port).into()];
                let left = Rc::new(Cell::new(forms.len()));
                for form in forms {
                    let client = fyke::connect(form).unwrap();
                    client.on_lookup(|_, _| panic!("it is an address"));
                    client.resume();
                    let log = log.clone();
                    client.on_connect(move |client| {
                        let Some(std::net::SocketAddr::V6(remote)) = client.remote_address() else {
                            panic!("not IPv6")
                        };
                        log.add(remote.ip() == &address && remote.scope_id() != 0);
                    });
                    let (left, server) = (Rc::clone(&left), server.clone());
                    client.on_close(move |_, _| {
                        left.set(left.get() - 1);
                        if left.get() == 0 {
                            server.close();
                        }
                    });
                }
            })
            .unwrap();
    });
    assert_eq!(seen.take(), ["true", "true", "true"]);
}
