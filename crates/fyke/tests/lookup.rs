//! Host names: the parameters of a lookup, its events, and what ends it.

mod support;

use std::cell::RefCell;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{
    ConnectOptions, DriverKind, Endpoint, Error, ErrorCode, Family, FamilySelection, LookupHints,
    LookupReply, Server, Socket, SocketAddress, timer,
};
use support::{Log, Net, drive};

const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Records lookups with their host, attempts, errors and `close`.
fn watch(log: &Log, client: &Socket) {
    let lookups = log.clone();
    client.on_lookup(move |_, event| match &event.address {
        Ok(address) => lookups.add(format!("lookup {} {address}", event.host)),
        Err(error) => lookups.add(format!("lookup {} {}", event.host, error.code())),
    });
    let attempts = log.clone();
    client.on_connection_attempt(move |_, to| {
        attempts.add(format!("attempt {}", to.ip().unwrap().ip()));
    });
    log.watch("", client);
}

/// An error of the resolver, and nothing else.
fn assert_is_of_a_lookup(error: &Error, code: ErrorCode, host: &str) {
    assert_eq!((error.code(), error.syscall()), (code, Some("getaddrinfo")));
    assert_eq!((error.host(), error.address(), error.port()), (Some(host), None, None));
    assert_eq!(error.to_string(), format!("getaddrinfo {code} {host}"));
}

on_every_driver! {
    /// Regression: the socket kept connecting for ever if the system had resolved the name.
    fn a_panic_in_a_lookup_listener_destroys_its_socket(net) {
        let event_loop = net.event_loop();
        let log = Log::new();
        event_loop.enter(|| {
            let client = fyke::connect(("localhost", 1)).unwrap();
            client.on_lookup(|_, _| std::panic::resume_unwind(Box::new("on purpose")));
            log.watch("", &client);
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| drive(&event_loop, || false)));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
        drive(&event_loop, || false).unwrap();
        assert_eq!(log.take(), ["close false"]);
    }

    fn he_01_an_ip_literal_is_not_looked_up_and_no_hook_is_called(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let literals: [Endpoint; 6] = [
                ("127.0.0.1", 1).into(), ("::1", 1).into(), "127.0.0.1:1".parse().unwrap(),
                "[::1]:1".parse().unwrap(), SocketAddress::new(ip("127.0.0.1"), 1).into(),
                Endpoint::Host("::1".to_owned(), 1),
            ];
            for literal in literals {
                let options = ConnectOptions::new(literal).lookup_timeout(Duration::ZERO);
                let options = options.lookup(|_, _| panic!("nothing to look up"));
                let client = options.connect_then(|_| panic!("there is no server")).unwrap();
                client.on_lookup(|_, _| panic!("nothing was looked up"));
                let log = log.clone();
                client.on_error(move |_, error| log.add(error));
            }
        });
        let (v4, v6) = ("connect ECONNREFUSED 127.0.0.1:1", "connect ECONNREFUSED [::1]:1");
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, [v4, v4, v4, v6, v6, v6]);
    }

    fn he_02_lookup_is_emitted_once_for_each_address_before_any_attempt(net) {
        for (selection, addresses) in [
            (FamilySelection::Race, &["127.0.0.1", "127.0.0.1", "::1"][..]),
            (FamilySelection::Sequential, &["127.0.0.1", "127.0.0.1", "::1"]),
            (FamilySelection::Off, &["127.0.0.1"]),
        ] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let options = ConnectOptions::new(("Some.Test", 1)).lookup(|_, reply| {
                    reply.answer(Ok(["127.0.0.1", "127.0.0.1", "::1"].map(ip).to_vec()));
                });
                let client = options.family_selection(selection).connect().unwrap();
                watch(&log, &client);
            });
            let reported: Vec<String> = addresses.iter().map(|a| format!("lookup Some.Test {a}")).collect();
            let entries = seen.take();
            assert_eq!(entries[..reported.len()], reported);
            let rest = &entries[reported.len()..];
            assert!(rest[0].starts_with("attempt ") && !rest.iter().any(|e| e.starts_with("lookup")));
        }
    }

    fn he_02_he_03_a_failed_lookup_reaches_both_listeners_with_the_same_error(net) {
        for selection in [FamilySelection::Race, FamilySelection::Off] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let options = ConnectOptions::new(("Some.Test", 1)).lookup(|_, reply| {
                    reply.answer(Err(Error::new(ErrorCode::EAI_AGAIN, "later")));
                });
                let client = options.family_selection(selection).connect().unwrap();
                watch(&log, &client);
                let reported = Rc::new(RefCell::new(None));
                let first = Rc::clone(&reported);
                client.on_lookup(move |_, event| {
                    first.replace(event.address.clone().err());
                });
                client.on_error(move |_, error| {
                    assert_is_of_a_lookup(error, ErrorCode::EAI_AGAIN, "Some.Test");
                    assert_eq!(reported.take().unwrap().to_string(), error.to_string());
                });
            });
            assert_eq!(seen.take(), ["lookup Some.Test EAI_AGAIN", "error EAI_AGAIN", "close true"]);
        }
    }

    fn he_05_a_hook_gets_the_family_the_hints_and_whether_all_addresses_are_needed(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let options = || ConnectOptions::new(("some.test", 1));
            let cases = [
                options(),
                options().family(Family::V6),
                options().family(Family::V4),
                options().hints(LookupHints::V4MAPPED),
                options().hints(LookupHints::NONE),
                options().family(Family::V6).hints(LookupHints::V4MAPPED | LookupHints::ALL),
                options().family_selection(FamilySelection::Off),
                options().local_address(ip("127.0.0.1")),
                options().local_port(1),
            ];
            for case in cases {
                let log = log.clone();
                let case = case.lookup(move |request, _| {
                    log.add(format!("{:?} {:?} {}", request.family, request.hints, request.all));
                });
                case.connect().unwrap().on_error(|_, _| {});
            }
        });
        let wanted = [
            "None ADDRCONFIG true",
            "Some(V6) NONE false",
            "Some(V4) NONE false",
            "None V4MAPPED true",
            "None NONE true",
            "Some(V6) V4MAPPED | ALL false",
            "None ADDRCONFIG false",
            "None ADDRCONFIG false",
            "None ADDRCONFIG true",
        ];
        assert_eq!(seen.take(), wanted);
    }

    fn he_05_the_family_and_the_hints_are_passed_to_the_system(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let mapped = LookupHints::V4MAPPED | LookupHints::ALL;
            for (family, hints) in [(Family::V4, LookupHints::NONE), (Family::V6, mapped)] {
                let options = ConnectOptions::new(("localhost", 1));
                let client = options.family(family).hints(hints).connect().unwrap();
                client.on_error(|_, _| {});
                let log = log.clone();
                client.on_lookup(move |_, event| {
                    let address = event.address.as_ref().unwrap();
                    assert_eq!(address.is_ipv4(), family == Family::V4, "{address}");
                    log.add(family);
                });
            }
        });
        let mut entries = seen.take();
        entries.sort();
        assert_eq!(entries, ["IPv4", "IPv6"], "one address each: the family leaves no choice");
    }

    fn he_06_he_23_an_answer_without_addresses_is_enotfound(net) {
        for selection in [FamilySelection::Race, FamilySelection::Sequential, FamilySelection::Off] {
            let log = Log::new();
            let seen = log.clone();
            net.run(|| {
                let options = ConnectOptions::new(("some.test", 1));
                let options = options.lookup(|_, reply| reply.answer(Ok(Vec::new())));
                let client = options.family_selection(selection).connect().unwrap();
                watch(&log, &client);
                client.on_error(|client, error| {
                    assert_is_of_a_lookup(error, ErrorCode::ENOTFOUND, "some.test");
                    assert!(!client.is_connecting());
                });
            });
            assert_eq!(seen.take(), ["lookup some.test ENOTFOUND", "error ENOTFOUND", "close true"]);
        }
    }

    /// Node ends then, and so do exact loops.
    fn he_04_a_hook_that_does_not_answer_keeps_the_loop_alive_until_its_reply_is_dropped(net) {
        let log = Log::new();
        let event_loop = net.event_loop();
        let kept: Rc<RefCell<Vec<LookupReply>>> = Rc::default();
        let replies = Rc::clone(&kept);
        event_loop.enter(|| {
            let options = ConnectOptions::new(("some.test", 1));
            let options = options.lookup(move |_, reply| replies.borrow_mut().push(reply));
            watch(&log, &options.connect_then(|_| panic!("no address")).unwrap());
        });
        for _ in 0..10 {
            assert!(event_loop.turn(Some(Duration::ZERO)).unwrap(), "it is held");
        }
        assert!(log.entries().is_empty());
        event_loop.enter(|| kept.borrow_mut().clear());
        drive(&event_loop, || false).unwrap();
        assert_eq!(log.take(), ["lookup some.test EAI_FAIL", "error EAI_FAIL", "close true"]);
    }

    fn a_lookup_that_takes_too_long_fails_by_its_timeout_and_a_later_answer_is_ignored(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let kept: Rc<RefCell<Vec<LookupReply>>> = Rc::default();
            let replies = Rc::clone(&kept);
            let options = ConnectOptions::new(("slow.test", 1)).lookup_timeout(20 * MS);
            let options = options.lookup(move |_, reply| replies.borrow_mut().push(reply));
            let client = Socket::new();
            client.connect_with_then(options.clone(), |_| panic!("no address")).unwrap();
            watch(&log, &client);
            client.on_error(|client, error| {
                assert_is_of_a_lookup(error, ErrorCode::ETIMEDOUT, "slow.test");
                assert!(client.is_destroyed() && !client.is_connecting());
            });
            let mut again = Some(options);
            client.on_close(move |client, _| {
                let Some(options) = again.take() else { return };
                kept.take().remove(0).answer(Ok(vec![ip("127.0.0.5")]));
                client.connect_with_then(options, |_| panic!("no address")).unwrap();
            });
        });
        let round = ["lookup slow.test ETIMEDOUT", "error ETIMEDOUT", "close true"];
        assert_eq!(seen.take(), round.repeat(2));
    }

    fn a_lookup_that_is_answered_in_time_leaves_no_timeout(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| _ = socket.end());
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let Endpoint::Ip(address) = endpoint else { panic!("not an address") };
                let options = ConnectOptions::new(("some.test", address.port()));
                let options = options.lookup_timeout(30 * MS).lookup(|_, reply| {
                    reply.answer(Ok(vec![ip("127.0.0.1")]));
                });
                let client = options.connect().unwrap();
                log.watch("", &client);
                client.pause();
                // Later than the timeout.
                timer::set_timeout(60 * MS, move || {
                    assert!(!client.is_destroyed());
                    client.resume();
                    server.close();
                }).unwrap();
            });
        });
        assert_eq!(seen.take(), ["connect", "ready", "end", "finish", "close false"]);
    }
}

/// A network on which a name takes an hour, and has an IPv4 address only.
fn hour_net() -> Net {
    let options = SimOptions { lookup_delay: Duration::from_secs(3600), ..SimOptions::default() };
    Net::new(DriverKind::Sim(options.host("slow.test", [ip("127.0.0.1")])))
}

/// Fails if the loop runs for half an hour, but does not keep it alive.
fn must_end_before_half_an_hour() {
    let late = timer::set_timeout(Duration::from_secs(1800), || panic!("the loop is held"));
    late.unwrap().unref_loop();
}

#[test]
fn an_abandoned_lookup_does_not_keep_the_loop_alive() {
    let log = Log::new();
    let seen = log.clone();
    hour_net().run(|| {
        must_end_before_half_an_hour();
        let options = || ConnectOptions::new(("slow.test", 1));
        let second = Duration::from_secs(1);
        for options in [options().lookup_timeout(second), options().connect_timeout(2 * second)] {
            let client = options.connect_then(|_| panic!("no address")).unwrap();
            watch(&log, &client);
        }
    });
    let wanted = [
        "lookup slow.test ETIMEDOUT",
        "error ETIMEDOUT",
        "close true",
        "error ETIMEDOUT",
        "close true",
    ];
    assert_eq!(seen.take(), wanted);
}

#[test]
fn he_26_a_socket_destroyed_during_the_lookup_closes_and_the_loop_may_end() {
    let log = Log::new();
    let seen = log.clone();
    hour_net().run(|| {
        must_end_before_half_an_hour();
        let client = fyke::connect_then(("slow.test", 1), |_| panic!("destroyed before")).unwrap();
        watch(&log, &client);
        timer::set_immediate(move || _ = client.destroy()).unwrap();
    });
    assert_eq!(seen.take(), ["close false"]);
}

/// Regression: it kept the loop alive until the answer arrived.
#[test]
fn lookup_of_a_server_that_is_closed_or_listens_elsewhere_does_not_keep_the_loop_alive() {
    let log = Log::new();
    let seen = log.clone();
    hour_net().run(|| {
        must_end_before_half_an_hour();
        let closed = Server::new();
        closed.listen_then(("slow.test", 0), |_| panic!("closed before")).unwrap();
        let closes = log.clone();
        closed.close_then(move |_, result| closes.add(support::word(&result)));
        let server = Server::new();
        server.listen_then(("slow.test", 0), move |_| log.add("listening")).unwrap();
        server.listen_then(("127.0.0.1", 0), |server| _ = server.close()).unwrap();
    });
    assert_eq!(seen.take(), ["ERR_SERVER_NOT_RUNNING", "listening"]);
}

#[test]
fn a_connect_without_a_timeout_still_gets_the_answer_that_another_gave_up() {
    let log = Log::new();
    let seen = log.clone();
    hour_net().run(|| {
        let options = || ConnectOptions::new(("slow.test", 1));
        let limited = options().lookup_timeout(MS).connect().unwrap();
        limited.on_error(|_, error| assert_eq!(error.code(), ErrorCode::ETIMEDOUT));
        let patient = options().connect().unwrap();
        watch(&log, &patient);
        // A lookup that starts after another one was abandoned.
        limited.on_close(move |_, _| {
            options().connect().unwrap().on_error(|_, error| {
                assert_eq!(error.to_string(), "connect ECONNREFUSED 127.0.0.1:1");
            });
        });
    });
    let wanted =
        ["lookup slow.test 127.0.0.1", "attempt 127.0.0.1", "error ECONNREFUSED", "close true"];
    assert_eq!(seen.take(), wanted);
}

#[test]
fn con_22_a_name_without_an_address_of_the_family_is_enotfound_unless_mapped() {
    let log = Log::new();
    let seen = log.clone();
    let options = SimOptions::default().host("old.test", [ip("127.0.0.1")]);
    Net::new(DriverKind::Sim(options)).run(|| {
        let server = fyke::create_server(|socket| _ = socket.end());
        let listening = server.clone();
        let then = move |_: &Server| {
            let port = listening.address().unwrap().port().unwrap();
            let options = ConnectOptions::new(("old.test", port)).family(Family::V6);
            let client = options.clone().connect_then(|_| panic!("it has none")).unwrap();
            watch(&log, &client);
            client.on_close(move |_, _| {
                let options = options.clone().hints(LookupHints::V4MAPPED);
                let client = options.connect_then(|client| {
                    assert_eq!(client.remote_address().unwrap().ip(), ip("::ffff:127.0.0.1"));
                });
                let client = client.unwrap();
                watch(&log, &client);
                client.resume();
                let listening = listening.clone();
                client.on_close(move |_, _| _ = listening.close());
            });
        };
        server.listen_then(0, then).unwrap();
    });
    let wanted = [
        "lookup old.test ENOTFOUND",
        "error ENOTFOUND",
        "close true",
        "lookup old.test ::ffff:127.0.0.1",
        "attempt ::ffff:127.0.0.1",
        "connect",
        "ready",
        "end",
        "finish",
        "close false",
    ];
    assert_eq!(seen.take(), wanted);
}
