//! Hosts with several addresses: the race of RFC 8305, Node's way, and lookups.

mod support;

use std::net::IpAddr;
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

/// A hook that answers with these addresses.
fn answers(options: ConnectOptions, addresses: &'static [&'static str]) -> ConnectOptions {
    options
        .lookup(move |_, reply| reply.answer(Ok(addresses.iter().map(|text| ip(text)).collect())))
}

fn watch_attempts(log: &Log, socket: &Socket) {
    let lookups = log.clone();
    socket.on_lookup(move |_, event| match &event.address {
        Ok(address) => lookups.add(format!("lookup {address}")),
        Err(error) => lookups.add(format!("lookup {}", error.code())),
    });
    let attempts = log.clone();
    socket.on_connection_attempt(move |_, to| {
        attempts.add(format!("attempt {}", to.ip().unwrap().ip()));
    });
    let failures = log.clone();
    socket.on_connection_attempt_failed(move |_, to, error| {
        failures.add(format!("failed {} {}", to.ip().unwrap().ip(), error.code()));
    });
    let timeouts = log.clone();
    socket.on_connection_attempt_timeout(move |_, to| {
        timeouts.add(format!("timeout {}", to.ip().unwrap().ip()));
    });
}

/// A server on 127.0.0.1, and a client with these addresses and this selection.
fn connect_to(
    net: &Net,
    addresses: &'static [&'static str],
    selection: FamilySelection,
    then: impl FnOnce(&Socket) + 'static,
) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let server = fyke::create_server(|socket| _ = socket.end());
        net.listen(&server.clone(), net.tcp(), move |endpoint| {
            let Endpoint::Ip(address) = endpoint else { panic!("not an address") };
            let options = ConnectOptions::new(("several.test", address.port()));
            let options = answers(options, addresses).family_selection(selection);
            let client = options.attempt_timeout(50 * MS).connect_then(then).unwrap();
            watch_attempts(&log, &client);
            log.watch("", &client);
            client.resume();
            client.on_close(move |_, _| _ = server.close());
        });
    });
    seen.take()
}

const REST: [&str; 5] = ["connect", "ready", "end", "finish", "close false"];

on_every_driver! {
    fn he_10_he_17_a_refused_address_is_followed_immediately_by_the_next(net) {
        for selection in [FamilySelection::Race, FamilySelection::Sequential] {
            let entries = connect_to(net, &["::1", "127.0.0.1"], selection, |client| {
                assert_eq!(client.attempted_addresses().len(), 2);
            });
            let wanted = [
                "lookup ::1", "lookup 127.0.0.1", "attempt ::1", "failed ::1 ECONNREFUSED",
                "attempt 127.0.0.1",
            ];
            assert_eq!(entries, [&wanted[..], &REST].concat());
        }
    }

    fn he_08_off_tries_only_the_first_address(net) {
        let entries = connect_to(net, &["::1", "127.0.0.1"], FamilySelection::Off, |_| {});
        let wanted = ["lookup ::1", "attempt ::1", "failed ::1 ECONNREFUSED", "error ECONNREFUSED", "close true"];
        assert_eq!(entries, wanted);
    }

    fn he_13_the_first_to_connect_wins_and_later_addresses_are_not_touched(net) {
        for selection in [FamilySelection::Race, FamilySelection::Sequential] {
            let entries = connect_to(net, &["127.0.0.1", "::1"], selection, |client| {
                assert_eq!(client.attempted_addresses().len(), 1);
            });
            let wanted = ["lookup 127.0.0.1", "lookup ::1", "attempt 127.0.0.1"];
            assert_eq!(entries, [&wanted[..], &REST].concat());
        }
    }

    fn he_03_he_23_a_hook_may_fail_give_no_addresses_or_never_answer(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            for case in 0..3 {
                let options = ConnectOptions::new(("some.test", 1));
                let options = options.lookup(move |request, reply| match case {
                    0 => reply.answer(Err(fyke::Error::new(ErrorCode::EAI_AGAIN, request.host))),
                    1 => reply.answer(Ok(Vec::new())),
                    _ => drop(reply),
                });
                let client = options.connect_then(|_| panic!("no address")).unwrap();
                client.on_connection_attempt(|_, _| panic!("no address"));
                let log = log.clone();
                client.on_error(move |_, error| log.add(error.code()));
            }
        });
        assert_eq!(seen.take(), ["EAI_AGAIN", "ENOTFOUND", "EAI_FAIL"]);
    }

    fn he_04_a_hook_is_called_on_the_tick_and_may_answer_later(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let asked = log.clone();
            let options = ConnectOptions::new(("some.test", 1)).lookup(move |request, reply| {
                asked.add(format!("{} {:?} {}", request.host, request.family, request.all));
                timer::set_timeout(10 * MS, move || reply.answer(Ok(vec![ip("127.0.0.1")]))).unwrap();
            });
            let client = options.connect().unwrap();
            log.add("called");
            log.watch("", &client);
        });
        assert_eq!(seen.take(), ["called", "some.test None true", "error ECONNREFUSED", "close true"]);
    }

    fn he_24_he_26_a_socket_destroyed_during_the_lookup_or_an_attempt_emits_only_close(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let options = ConnectOptions::new(("some.test", 1));
            let client = answers(options.clone(), &["127.0.0.1"]).connect().unwrap();
            client.on_lookup(|_, _| panic!("destroyed before"));
            let early = log.clone();
            client.on_close(move |_, had_error| early.add(had_error));
            timer::next_tick(move || _ = client.destroy()).unwrap();
            let client = answers(options, &["127.0.0.1", "::1"]).connect().unwrap();
            watch_attempts(&log, &client);
            log.watch("", &client);
            client.on_connection_attempt(|client, _| _ = client.destroy());
        });
        let entries = seen.take();
        let wanted = ["false", "lookup 127.0.0.1", "lookup ::1", "attempt 127.0.0.1", "close false"];
        let sorted = |entries: &[&str]| { let mut all: Vec<String> = entries.iter().map(|e| (*e).to_owned()).collect(); all.sort(); all };
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        assert_eq!(sorted(&entries), sorted(&wanted));
    }

    fn an_answer_to_an_earlier_connect_does_not_decide_a_later_one(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let kept: Rc<std::cell::RefCell<Vec<fyke::LookupReply>>> = Rc::default();
            let replies = kept.clone();
            let options = ConnectOptions::new(("some.test", 1));
            let options = options.lookup(move |_, reply| replies.borrow_mut().push(reply));
            let client = Socket::new();
            client.connect_with(options.clone()).unwrap();
            client.on_error(|_, _| {});
            watch_attempts(&log, &client);
            let first = client.clone();
            timer::set_immediate(move || _ = first.destroy()).unwrap();
            let mut again = Some(options);
            client.on_close(move |client, _| {
                let Some(options) = again.take() else { return };
                client.connect_with(options).unwrap();
                let kept = kept.clone();
                timer::set_immediate(move || {
                    let mut replies = kept.take();
                    replies.remove(0).answer(Ok(vec![ip("127.0.0.5")]));
                    replies.remove(0).answer(Ok(vec![ip("127.0.0.6")]));
                }).unwrap();
            });
        });
        let wanted = ["lookup 127.0.0.6", "attempt 127.0.0.6", "failed 127.0.0.6 ECONNREFUSED"];
        assert_eq!(seen.take(), wanted);
    }

    fn blk_21_a_blocked_address_is_announced_and_not_tried(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let list = BlockList::new();
            list.add_subnet("127.0.0.0", 8).unwrap();
            let options = ConnectOptions::new(("127.0.0.1", 1)).block_list(&list);
            let client = options.connect().unwrap();
            watch_attempts(&log, &client);
            log.watch("", &client);
        });
        assert_eq!(seen.take(), ["attempt 127.0.0.1", "error ERR_IP_BLOCKED", "close true"]);
    }

    fn he_27_a_blocked_address_among_several_is_skipped(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let list = BlockList::new();
            list.add_address("127.0.0.2").unwrap();
            let options = ConnectOptions::new(("some.test", 1)).block_list(&list);
            let client = answers(options, &["127.0.0.2", "127.0.0.1"]).connect().unwrap();
            watch_attempts(&log, &client);
            client.on_error(|client, error| {
                let codes: Vec<ErrorCode> = error.attempts().iter().map(fyke::Error::code).collect();
                assert_eq!(codes, [ErrorCode::ERR_IP_BLOCKED, ErrorCode::ECONNREFUSED]);
                assert_eq!(client.attempted_addresses().len(), 1);
            });
        });
        let wanted = [
            "lookup 127.0.0.2", "lookup 127.0.0.1", "failed 127.0.0.2 ERR_IP_BLOCKED",
            "attempt 127.0.0.1", "failed 127.0.0.1 ECONNREFUSED",
        ];
        assert_eq!(seen.take(), wanted);
    }

    fn con_22_he_07_a_given_family_leaves_one_address(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let options = ConnectOptions::new(("some.test", 1)).family(fyke::Family::V4);
            let asked = log.clone();
            let options = options.lookup(move |request, reply| {
                asked.add(format!("{:?} {}", request.family, request.all));
                reply.answer(Ok(vec![ip("127.0.0.1"), ip("127.0.0.2")]));
            });
            let client = options.connect().unwrap();
            watch_attempts(&log, &client);
            client.on_error(|_, error| assert!(error.attempts().is_empty()));
        });
        let wanted = ["Some(V4) false", "lookup 127.0.0.1", "attempt 127.0.0.1", "failed 127.0.0.1 ECONNREFUSED"];
        assert_eq!(seen.take(), wanted);
    }
}

/// A network with an address that never answers, and a latency of 200 ms.
fn slow_net() -> Net {
    let options = SimOptions {
        latency: 200 * MS,
        silent: [ip("10.0.0.1"), ip("fd00::1")].into(),
        ..SimOptions::default()
    };
    Net::new(DriverKind::Sim(options))
}

#[test]
fn he_12_sequential_gives_up_an_address_that_does_not_answer_in_time() {
    let entries = connect_to(
        &slow_net_but_quick(),
        &["10.0.0.1", "127.0.0.1"],
        FamilySelection::Sequential,
        |_| {},
    );
    let wanted = [
        "lookup 10.0.0.1",
        "lookup 127.0.0.1",
        "attempt 10.0.0.1",
        "timeout 10.0.0.1",
        "attempt 127.0.0.1",
    ];
    assert_eq!(entries, [&wanted[..], &REST].concat());
}

fn slow_net_but_quick() -> Net {
    let options = SimOptions { silent: [ip("10.0.0.1")].into(), ..SimOptions::default() };
    Net::new(DriverKind::Sim(options))
}

#[test]
fn a_race_connects_even_if_every_answer_takes_longer_than_nodes_attempt_timeout() {
    // 400 ms for a round trip, twice for each attempt: Node abandons the first attempt after 500 ms at
    // the latest, and with 250 ms, as before version 26, both.
    let entries = connect_to(&slow_net(), &["::1", "127.0.0.1"], FamilySelection::Race, |client| {
        assert_eq!(client.remote_address().unwrap().ip(), ip("127.0.0.1"));
    });
    let wanted = [
        "lookup ::1",
        "lookup 127.0.0.1",
        "attempt ::1",
        "attempt 127.0.0.1",
        "failed ::1 ECONNREFUSED",
    ];
    assert_eq!(entries, [&wanted[..], &REST].concat());
}
