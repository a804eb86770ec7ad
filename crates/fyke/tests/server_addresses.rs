//! Where a server listens: ports, families, addresses that cannot be bound, names.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fyke::sim::SimOptions;
use fyke::{DriverKind, Endpoint, ErrorCode, ListenOptions, Server};
use support::{Log, Net};

fn port(server: &Server) -> u16 {
    server.address().unwrap().port().unwrap()
}

on_every_driver! {
    fn srv_05_port_zero_is_any_free_port_and_text_can_be_a_port(net) {
        net.run(|| {
            for endpoint in ["0", ":0"] {
                let server = Server::new();
                server.listen_then(endpoint, |server| {
                    assert!(port(server) > 100);
                    server.close();
                }).unwrap();
                let address = server.address().unwrap().ip().unwrap();
                assert!(address.ip().is_unspecified());
            }
            let taken = Server::new();
            taken.listen(0).unwrap();
            let free = port(&taken);
            taken.close();
            let server = Server::new();
            server.listen_then(free, |server| _ = server.close()).unwrap();
            assert_eq!(port(&server), free, "the one that was asked for");
        });
    }

    fn srv_06_srv_09_the_address_of_a_wildcard_and_of_each_family(net) {
        net.run(|| {
            for (endpoint, ip) in [
                (Endpoint::Port(0), IpAddr::from(Ipv6Addr::UNSPECIFIED)),
                (("0.0.0.0", 0).into(), Ipv4Addr::UNSPECIFIED.into()),
                (("127.0.0.1", 0).into(), Ipv4Addr::LOCALHOST.into()),
                (("::1", 0).into(), Ipv6Addr::LOCALHOST.into()),
            ] {
                let server = Server::new();
                assert!(server.address().is_none());
                server.listen_then(endpoint, move |server| {
                    let address = server.address().unwrap().ip().unwrap();
                    assert_eq!(address.ip(), ip);
                    assert_ne!(address.port(), 0);
                    server.close();
                    assert!(server.address().is_none());
                }).unwrap();
            }
        });
    }

    fn srv_06_a_port_in_use_does_not_cause_a_fallback(net) {
        net.run(|| {
            let first = Server::new();
            first.listen(0).unwrap();
            let taken = port(&first);
            let second = Server::new();
            second.on_error(move |second, error| {
                assert_eq!((error.code(), error.syscall()), (ErrorCode::EADDRINUSE, Some("listen")));
                let asked = SocketAddr::from((Ipv6Addr::UNSPECIFIED, taken));
                assert_eq!(error.address().unwrap().ip(), Some(asked));
                assert!(!second.is_listening());
                first.close();
            });
            second.listen_then(taken, |_| panic!("in use")).unwrap();
        });
    }

    fn srv_07_ipv6_only_shares_its_port_with_ipv4_and_accepts_no_ipv4(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let accepted = log.clone();
            let four = fyke::create_server(move |socket| {
                accepted.add("IPv4");
                socket.end();
            });
            let six = fyke::create_server(|_| panic!("there is no IPv6 server"));
            four.listen_then(("0.0.0.0", 0), move |four| {
                let (four, port) = (four.clone(), port(four));
                let options = ListenOptions::new(("::", port)).ipv6_only(true);
                options.listen_then(&six.clone(), move |_| {
                    let client = fyke::connect(("0.0.0.0", port)).unwrap();
                    client.resume().on_close(move |_, _| {
                        four.close();
                        let alone = fyke::connect_then(("0.0.0.0", port), |_| panic!("refused")).unwrap();
                        let (log, six) = (log.clone(), six.clone());
                        alone.on_error(move |_, error| {
                            log.add(error.code());
                            six.close();
                        });
                    });
                }).unwrap();
            }).unwrap();
        });
        assert_eq!(seen.take(), ["IPv4", "ECONNREFUSED"]);
    }

    fn srv_07_ipv6_only_is_ignored_on_an_ipv4_host(net) {
        net.run(|| {
            let server = fyke::create_server(|socket| {
                socket.end();
                socket.server().unwrap().close();
            });
            let options = ListenOptions::new(("127.0.0.1", 0)).ipv6_only(true);
            options.listen_then(&server, |server| {
                fyke::connect(("127.0.0.1", port(server))).unwrap().resume();
            }).unwrap();
        });
    }

    fn srv_11_listening_on_a_foreign_address_fails(net) {
        for wanted in [1_u16, 0] {
            net.run(|| {
                let server = Server::new();
                server.on_error(move |server, error| {
                    let codes = [ErrorCode::EADDRNOTAVAIL, ErrorCode::EACCES];
                    assert!(codes.contains(&error.code()), "{error}");
                    assert_eq!(error.syscall(), Some("listen"));
                    assert_eq!(error.address().unwrap().ip().unwrap().ip().to_string(), "1.1.1.1");
                    assert_eq!(error.port(), (wanted > 0).then_some(wanted));
                    let end = if wanted > 0 { " 1.1.1.1:1" } else { " 1.1.1.1" };
                    assert!(error.to_string().ends_with(end), "{error}");
                    assert!(!server.is_listening());
                });
                server.on_close(|_| panic!("a failed server emits no close (SRV-12)"));
                server.listen_then(("1.1.1.1", wanted), |_| panic!("not ours")).unwrap();
            });
        }
    }

    fn srv_11_a_link_local_address_needs_a_zone(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = Server::new();
            server.on_error(move |_, error| {
                assert_eq!(error.syscall(), Some("listen"));
                assert_eq!(error.address().unwrap().ip().unwrap().ip().to_string(), "fe80::1");
                log.add(error.code());
            });
            server.listen_then(("fe80::1", 0), |_| panic!("in which zone?")).unwrap();
        });
        assert_eq!(seen.take(), [if net.is_linux() { "EINVAL" } else { "EADDRNOTAVAIL" }]);
    }

    fn srv_16_an_unknown_host_fails_with_the_error_of_the_resolver(net) {
        let log = Log::new();
        let seen = log.clone();
        // 64 characters: longer than a label may be, so no name server is asked.
        let host = "x".repeat(64);
        net.run(|| {
            let server = Server::new();
            let name = host.clone();
            server.on_error(move |_, error| {
                assert_eq!((error.syscall(), error.host()), (Some("getaddrinfo"), Some(&*name)));
                log.add(error.code());
            });
            server.listen_then((host.as_str(), 0), |_| panic!("unknown")).unwrap();
            let closed = Server::new();
            closed.on_error(|_, error| panic!("closed meanwhile: {error}"));
            closed.listen_then((host.as_str(), 0), |_| panic!("unknown")).unwrap();
            closed.close();
        });
        assert_eq!(seen.take(), ["ENOTFOUND"]);
    }
}

/// The address on which `server` listens if a name has these addresses. On the simulated network,
/// because the names of the test machine cannot be relied on.
fn listens_on(addresses: Vec<&str>) -> String {
    let addresses = addresses.into_iter().map(|address| address.parse().unwrap());
    let net = Net::new(DriverKind::Sim(
        SimOptions::default().host("many.test", addresses.collect::<Vec<_>>()),
    ));
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let server = Server::new();
        let failed = log.clone();
        server.on_error(move |_, error| {
            let address = error.address().unwrap().ip().unwrap();
            failed.add(format!("{} {}", error.code(), address.ip()));
        });
        server
            .listen_then(("many.test", 0), move |server| {
                log.add(server.address().unwrap().ip().unwrap().ip());
                server.close();
            })
            .unwrap();
    });
    seen.take().concat()
}

#[test]
fn srv_16_the_first_address_that_is_not_link_local_is_used() {
    let many: Vec<String> = (1..24).map(|number| format!("fe80::{number:x}")).collect();
    let mut addresses: Vec<&str> = many.iter().map(String::as_str).collect();
    addresses.push("127.0.0.1");
    assert_eq!(listens_on(addresses), "127.0.0.1");
    assert_eq!(listens_on(vec!["fe80::1", "::1"]), "::1");
    assert_eq!(listens_on(vec!["febf::1", "::1"]), "::1");
    assert_eq!(listens_on(vec!["127.0.0.2", "127.0.0.3"]), "127.0.0.2");
    assert!(listens_on(vec!["fe80::1", "fe80::2"]).ends_with(" fe80::1"), "the first if all are");
}

/// A link-local address of this machine with its zone, if it has one: address, index of the
/// interface, length of the prefix, scope, flags, name (`if_inet6_seq_show` in net/ipv6/addrconf.c).
#[cfg(target_os = "linux")]
fn link_local() -> Option<std::net::SocketAddrV6> {
    const TENTATIVE: u8 = 0x40;
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ip = Ipv6Addr::from(u128::from_str_radix(fields.first()?, 16).ok()?);
        let zone = u32::from_str_radix(fields.get(1)?, 16).ok()?;
        let flags = u8::from_str_radix(fields.get(4)?, 16).ok()?;
        let usable = ip.is_unicast_link_local() && flags & TENTATIVE == 0;
        usable.then(|| std::net::SocketAddrV6::new(ip, 0, 0, zone))
    })
}

#[cfg(target_os = "linux")]
#[test]
fn srv_11_a_server_listens_on_a_link_local_address_with_its_zone() {
    // A machine without a network has no such address.
    let Some(address) = link_local() else { return };
    Net::ready().run(|| {
        Server::new()
            .listen_then(SocketAddr::from(address), move |server| {
                let Some(SocketAddr::V6(found)) = server.address().unwrap().ip() else { panic!() };
                assert_eq!((found.ip(), found.scope_id()), (address.ip(), address.scope_id()));
                server.close();
            })
            .unwrap();
    });
}
