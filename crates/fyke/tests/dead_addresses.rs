//! Addresses that do not answer, or answer late, with each way of trying several addresses.

mod support;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{
    BlockList, ConnectOptions, DriverKind, Endpoint, ErrorCode, FamilySelection, Socket, timer,
};
use support::{Log, Net};

const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Options for a host that a hook resolves to these addresses.
fn several(port: u16, addresses: &[&str], selection: FamilySelection) -> ConnectOptions {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| ip(text)).collect();
    let options = ConnectOptions::new(("several.test", port)).family_selection(selection);
    options.lookup(move |_, reply| reply.answer(Ok(addresses.clone())))
}

fn port(endpoint: Endpoint) -> u16 {
    match endpoint {
        Endpoint::Ip(address) => address.port(),
        other => panic!("{other} has no port"),
    }
}

fn attempted(client: &Socket) -> Vec<String> {
    client.attempted_addresses().iter().map(|address| address.ip().to_string()).collect()
}

/// Records attempts, in addition to the events of [`Log::watch`].
fn watch(log: &Log, client: &Socket) {
    let attempts = log.clone();
    client.on_connection_attempt(move |_, to| {
        attempts.add(format!("attempt {}", to.ip().unwrap().ip()));
    });
    let failures = log.clone();
    client.on_connection_attempt_failed(move |_, to, error| {
        failures.add(format!("failed {} {}", to.ip().unwrap().ip(), error.code()));
    });
    let timeouts = log.clone();
    client.on_connection_attempt_timeout(move |_, to| {
        timeouts.add(format!("timeout {}", to.ip().unwrap().ip()));
    });
    log.watch("", client);
}

/// A simulated network with addresses that never answer, and the given latency.
fn sim(latency: Duration, silent: &[&str]) -> Net {
    let silent = silent.iter().map(|text| ip(text)).collect();
    Net::new(DriverKind::Sim(SimOptions { latency, silent, ..SimOptions::default() }))
}

#[test]
fn he_16_attempts_that_timed_out_are_in_the_error_and_are_reported_as_timeouts_only() {
    let log = Log::new();
    let seen = log.clone();
    sim(MS, &["10.0.0.1", "fd00::1"]).run(|| {
        let addresses = ["10.0.0.1", "fd00::1", "127.0.0.1"];
        let options = several(9, &addresses, FamilySelection::Sequential);
        let client = options.attempt_timeout(20 * MS).connect().unwrap();
        watch(&log, &client);
        client.on_error(move |client, error| {
            let texts: Vec<String> = error.attempts().iter().map(ToString::to_string).collect();
            let wanted = [
                "connect ETIMEDOUT 10.0.0.1:9",
                "connect ETIMEDOUT [fd00::1]:9",
                "connect ECONNREFUSED 127.0.0.1:9",
            ];
            assert_eq!(texts, wanted);
            let first = &error.attempts()[0];
            assert_eq!((first.code(), first.syscall()), (ErrorCode::ETIMEDOUT, Some("connect")));
            assert_eq!((first.port(), error.code()), (Some(9), ErrorCode::ETIMEDOUT));
            assert_eq!(attempted(client), addresses);
        });
    });
    let wanted = [
        "attempt 10.0.0.1",
        "timeout 10.0.0.1",
        "attempt fd00::1",
        "timeout fd00::1",
        "attempt 127.0.0.1",
        "failed 127.0.0.1 ECONNREFUSED",
        "error ETIMEDOUT",
        "close true",
    ];
    assert_eq!(seen.take(), wanted);
}

#[test]
fn he_20_an_attempt_timeout_below_ten_milliseconds_is_ten() {
    let log = Log::new();
    let seen = log.clone();
    sim(MS / 100, &["10.0.0.1", "10.0.0.2"]).run(|| {
        let options = several(9, &["10.0.0.1", "10.0.0.2"], FamilySelection::Sequential);
        let client = options.attempt_timeout(MS).connect().unwrap();
        watch(&log, &client);
        let reported = log.clone();
        timer::set_timeout(9 * MS, move || reported.add("9 ms")).unwrap();
        timer::set_timeout(12 * MS, move || {
            log.add("12 ms");
            client.destroy();
        })
        .unwrap();
    });
    let wanted = [
        "attempt 10.0.0.1",
        "9 ms",
        "timeout 10.0.0.1",
        "attempt 10.0.0.2",
        "12 ms",
        "close false",
    ];
    assert_eq!(seen.take(), wanted);
}

#[test]
fn he_24_destroying_the_socket_stops_hanging_attempts() {
    for selection in [FamilySelection::Race, FamilySelection::Sequential] {
        let log = Log::new();
        let seen = log.clone();
        sim(MS, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]).run(|| {
            let options = several(9, &["10.0.0.1", "10.0.0.2", "10.0.0.3"], selection);
            let options = options.attempt_timeout(250 * MS);
            let client = options.connect_then(|_| panic!("no address answers")).unwrap();
            watch(&log, &client);
            timer::set_timeout(300 * MS, move || _ = client.destroy()).unwrap();
            // By then the third attempt would have begun.
            timer::set_timeout(5000 * MS, move || log.add("later")).unwrap();
        });
        let mut entries = seen.take();
        entries.retain(|entry| entry != "timeout 10.0.0.1");
        assert_eq!(entries, ["attempt 10.0.0.1", "attempt 10.0.0.2", "close false", "later"]);
    }
}

#[test]
fn he_24_after_a_timeout_listener_destroys_the_socket_nothing_more_is_tried() {
    let log = Log::new();
    let seen = log.clone();
    sim(MS, &["10.0.0.1", "10.0.0.2"]).run(|| {
        let options = several(9, &["10.0.0.1", "10.0.0.2"], FamilySelection::Sequential);
        let client = options.connect_then(|_| panic!("no address answers")).unwrap();
        client.on_connection_attempt_timeout(|client, _| _ = client.destroy());
        watch(&log, &client);
    });
    assert_eq!(seen.take(), ["attempt 10.0.0.1", "timeout 10.0.0.1", "close false"]);
}

/// Returns the events of a connect where each answer takes 400 ms, both families have a live address,
/// and the last address is dead.
fn connect_over_a_slow_way(selection: FamilySelection) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    let net = sim(200 * MS, &[]);
    net.run(|| {
        let server = fyke::create_server(|socket| _ = socket.end());
        server
            .listen_then(0, move |server| {
                let port = server.address().unwrap().port().unwrap();
                let list = BlockList::new();
                list.add_address("127.0.0.2").unwrap();
                let options = several(port, &["::1", "127.0.0.1", "127.0.0.2"], selection);
                let options = options.attempt_timeout(250 * MS).block_list(&list);
                let client = options.connect().unwrap();
                watch(&log, &client);
                let reported = log.clone();
                client.on_error(move |_, error| {
                    let codes: Vec<_> =
                        error.attempts().iter().map(|e| e.code().as_str()).collect();
                    reported.add(codes.join(" "));
                });
                client.on_ready(move |client| {
                    let winner = client.remote_address().unwrap().ip();
                    log.add(format!("{winner} of {}", attempted(client).join(" ")));
                });
                client.resume();
                let server = server.clone();
                client.on_close(move |_, _| _ = server.close());
            })
            .unwrap();
    });
    seen.take()
}

#[test]
fn he_12_he_14_over_a_slow_network_a_race_connects_and_the_winner_need_not_be_the_last_attempt() {
    let wanted = [
        "attempt ::1",
        "attempt 127.0.0.1",
        "connect",
        "ready",
        "::1 of ::1 127.0.0.1",
        "end",
        "finish",
        "close false",
    ];
    assert_eq!(connect_over_a_slow_way(FamilySelection::Race), wanted);
}

/// Node's way: both live addresses are abandoned before they can answer.
#[test]
fn he_12_he_16_over_a_slow_network_sequential_abandons_addresses_that_a_race_would_reach() {
    let wanted = [
        "attempt ::1",
        "timeout ::1",
        "attempt 127.0.0.1",
        "timeout 127.0.0.1",
        "failed 127.0.0.2 ERR_IP_BLOCKED",
        "error ETIMEDOUT",
        "ETIMEDOUT ETIMEDOUT ERR_IP_BLOCKED",
        "close true",
    ];
    assert_eq!(connect_over_a_slow_way(FamilySelection::Sequential), wanted);
}

/// A listener whose queue is full, so that an attempt to connect to it hangs (BEHAVIOUR 21). It is
/// closed when this value is dropped.
struct BlackHole {
    _held: Vec<rustix::fd::OwnedFd>,
}

impl BlackHole {
    /// `None` if the port is in use there.
    fn new(address: SocketAddr) -> Option<Self> {
        use rustix::io::Errno;
        use rustix::net::{self, AddressFamily, SocketType};
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = || {
            let socket = net::socket(family, SocketType::STREAM, None).unwrap();
            rustix::io::ioctl_fionbio(&socket, true).unwrap();
            socket
        };
        let listener = socket();
        match net::bind(&listener, &address) {
            Err(Errno::ADDRINUSE) => return None,
            bound => bound.unwrap(),
        }
        net::listen(&listener, 1).unwrap();
        let mut held = vec![listener];
        // Systems differ in the length of the queue. An attempt that still hangs after the others are
        // established exceeds it.
        for _ in 0..8 {
            let filler = socket();
            match net::connect(&filler, &address) {
                Ok(()) | Err(Errno::INPROGRESS | Errno::WOULDBLOCK) => held.push(filler),
                Err(error) => panic!("{error}"),
            }
        }
        Some(Self { _held: held })
    }
}

/// Connects to a host whose first address is a black hole. Another test may use the server's port at
/// that address; then another port is tried.
fn connect_beside_a_black_hole(selection: FamilySelection, hole: &'static str) -> Vec<String> {
    let mut tries = (0..20).map(|_| try_beside_a_black_hole(selection, hole));
    tries.find(|entries| !entries.is_empty()).expect("a port is free")
}

fn try_beside_a_black_hole(selection: FamilySelection, hole: &'static str) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    let net = Net::ready();
    let held = Rc::new(RefCell::new(None));
    net.run(|| {
        let server = fyke::create_server(|socket| _ = socket.end());
        net.listen(&server.clone(), net.tcp(), move |endpoint| {
            let port = port(endpoint);
            let Some(hole_there) = BlackHole::new((ip(hole), port).into()) else {
                server.close();
                return;
            };
            held.replace(Some(hole_there));
            let options = several(port, &[hole, "127.0.0.1"], selection);
            let client = options.attempt_timeout(50 * MS).connect().unwrap();
            watch(&log, &client);
            client.on_ready(move |client| {
                log.add(client.remote_address().unwrap().ip());
                log.add(attempted(client).join(" "));
            });
            client.resume();
            client.on_close(move |_, _| {
                held.take();
                server.close();
            });
        });
    });
    seen.take()
}

/// The path of the first attempt is dead, and the attempt is not abandoned. Only the second attempt,
/// which runs concurrently, can be established.
#[test]
fn he_12_beside_a_black_hole_a_race_connects_without_abandoning_an_attempt() {
    for hole in ["::1", "127.0.0.2"] {
        let entries = connect_beside_a_black_hole(FamilySelection::Race, hole);
        let tried = [format!("attempt {hole}"), format!("{hole} 127.0.0.1")];
        let wanted = [
            &*tried[0],
            "attempt 127.0.0.1",
            "connect",
            "ready",
            "127.0.0.1",
            &*tried[1],
            "end",
            "finish",
            "close false",
        ];
        assert_eq!(entries, wanted);
    }
}

#[test]
fn he_12_beside_a_black_hole_sequential_continues_after_its_timeout() {
    for hole in ["::1", "127.0.0.2"] {
        let entries = connect_beside_a_black_hole(FamilySelection::Sequential, hole);
        let tried =
            [format!("attempt {hole}"), format!("timeout {hole}"), format!("{hole} 127.0.0.1")];
        let wanted = [
            &*tried[0],
            &*tried[1],
            "attempt 127.0.0.1",
            "connect",
            "ready",
            "127.0.0.1",
            &*tried[2],
            "end",
            "finish",
            "close false",
        ];
        assert_eq!(entries, wanted);
    }
}
