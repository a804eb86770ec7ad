//! The text of an error: fyke's own by default, Node's on exact loops.

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{BlockList, BoundSocket, ConnectOptions, DriverKind, Error, ErrorCode, Server};
use support::{Log, Net};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Runs `setup` on a loop with each policy, and logs the errors. Returns the log of the default loop
/// and that of the exact one.
fn in_each_mode(net: &Net, setup: impl Fn(&Log)) -> [Vec<String>; 2] {
    let run = |net: &Net| {
        let log = Log::new();
        net.run(|| setup(&log));
        log.take()
    };
    let default = run(net);
    [default, run(net.node_exact())]
}

fn add(log: &Log) -> impl Fn(&Error) + use<> {
    let log = log.clone();
    move |error| log.add(error)
}

fn connect(log: &Log, options: ConnectOptions) {
    let add = add(log);
    options.connect().unwrap().on_error(move |_, error| add(error));
}

fn options(host: impl ToString, port: u16) -> ConnectOptions {
    ConnectOptions::new((host.to_string().as_str(), port))
}

/// A port of `::1` that the loop listens on, until the server is closed.
fn taken_port() -> (Server, u16) {
    let server = Server::new();
    let bound = BoundSocket::bind(("::1", 0)).unwrap();
    let port = bound.address().port().unwrap();
    server.listen_bound(bound).unwrap();
    (server, port)
}

on_every_driver! {
    fn con_07_refused_ipv6_address_is_in_brackets_except_on_exact_loops(net) {
        let lines = in_each_mode(net, |log| connect(log, options(V6, 1)));
        assert_eq!(lines, [["connect ECONNREFUSED [::1]:1"], ["connect ECONNREFUSED ::1:1"]]);
    }

    fn he_15_attempts_in_a_failure_of_all_addresses_are_printed_as_the_policy_says(net) {
        let lines = in_each_mode(net, |log| {
            let options = options("some.test", 1).lookup(|_, reply| {
                reply.answer(Ok(vec![V6, Ipv4Addr::LOCALHOST.into()]));
            });
            connect(log, options);
        });
        let text = |v6: &str| format!(
            "all addresses failed: connect ECONNREFUSED {v6}:1, connect ECONNREFUSED 127.0.0.1:1",
        );
        assert_eq!(lines, [[text("[::1]")], [text("::1")]]);
    }

    fn srv_10_ipv6_address_in_use_is_in_brackets_except_on_exact_loops(net) {
        let lines = in_each_mode(net, |log| {
            let (first, port) = taken_port();
            let (second, add) = (Server::new(), add(log));
            second.on_error(move |_, error| {
                assert_eq!(error.port(), Some(port));
                add(error);
                first.close();
            });
            second.listen(("::1", port)).unwrap();
        });
        let of = |line: &str| {
            let (text, port) = line.rsplit_once(':').unwrap();
            port.parse::<u16>().unwrap();
            text.to_owned()
        };
        let text = "listen EADDRINUSE: address already in use";
        assert_eq!(of(&lines[0][0]), format!("{text} [::1]"));
        assert_eq!(of(&lines[1][0]), format!("{text} ::1"));
    }

    fn bnd_04_bind_of_an_ipv6_address_in_use_is_in_brackets_except_on_exact_loops(net) {
        let lines = in_each_mode(net, |log| {
            let (server, port) = taken_port();
            let line = BoundSocket::bind(("::1", port)).unwrap_err().to_string();
            log.add(line.replace(&port.to_string(), "PORT"));
            // Also for the local address of a client.
            let (log, options) = (log.clone(), options(V6, port).local_address(V6).local_port(port));
            options.connect().unwrap().on_error(move |_, error| {
                log.add(error.to_string().replace(&port.to_string(), "PORT"));
                server.close();
            });
        });
        let (default, exact) = ("bind EADDRINUSE [::1]:PORT", "bind EADDRINUSE ::1:PORT");
        assert_eq!(lines, [[default; 2], [exact; 2]]);
    }

    fn blk_21_a_blocked_address_is_printed_as_the_policy_says(net) {
        let lines = in_each_mode(net, |log| {
            let list = BlockList::new();
            list.add_address(V6).unwrap();
            connect(log, options(V6, 1).block_list(&list));
        });
        let default = "ERR_IP_BLOCKED: [::1]:1 is on the block list";
        let exact = "ERR_IP_BLOCKED: IP(::1) is blocked by net.BlockList";
        assert_eq!(lines, [[default], [exact]]);
    }

    fn srv_10_the_text_of_a_listen_error_is_the_same_on_every_system(net) {
        let lines = in_each_mode(net, |log| {
            let (server, add) = (Server::new(), add(log));
            server.on_error(move |_, error| add(error));
            server.listen(("192.0.2.1", 0)).unwrap();
        });
        let line = "listen EADDRNOTAVAIL: address not available 192.0.2.1";
        assert_eq!(lines, [[line], [line]]);
    }
}

on_every_system! {
    /// Regression: the code said "permission denied" and the text "no such file or directory".
    fn ipc_06_the_text_of_a_listen_error_in_a_missing_directory_matches_its_code(net) {
        let path = PathBuf::from("/does-not-exist/x.sock");
        let lines = in_each_mode(net, |log| {
            let (server, add, path) = (Server::new(), add(log), path.clone());
            server.on_error(move |_, error| {
                assert_eq!(error.code(), ErrorCode::EACCES);
                add(error);
            });
            server.listen(path).unwrap();
        });
        let line = "listen EACCES: permission denied /does-not-exist/x.sock";
        assert_eq!(lines, [[line], [line]]);
    }

    fn con_12_the_local_address_is_in_brackets_except_on_exact_loops(net) {
        let lines = in_each_mode(net, |log| {
            let (server, port) = taken_port();
            server.close();
            let options = options(V6, 1).local_address(V6).local_port(port);
            let log = log.clone();
            options.connect().unwrap().on_error(move |_, error| {
                log.add(error.to_string().replace(&port.to_string(), "PORT"));
            });
        });
        let default = "connect ECONNREFUSED [::1]:1 - Local ([::1]:PORT)";
        let exact = "connect ECONNREFUSED ::1:1 - Local (::1:PORT)";
        assert_eq!(lines, [[default], [exact]]);
    }
}

/// On the simulated network, which has addresses that never answer.
#[test]
fn connect_that_times_out_prints_an_ipv6_address_as_the_policy_says() {
    let silent: IpAddr = "fd00::1".parse().unwrap();
    let settings = SimOptions { silent: [silent].into(), ..SimOptions::default() };
    let lines = in_each_mode(&Net::new(DriverKind::Sim(settings)), |log| {
        connect(log, options(silent, 80).connect_timeout(Duration::from_secs(1)));
    });
    assert_eq!(lines, [["connect ETIMEDOUT [fd00::1]:80"], ["connect ETIMEDOUT fd00::1:80"]]);
}
