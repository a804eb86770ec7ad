//! The secrets of single connections.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use fyke_tls::{ServerContext, Tls, create_server};
use support::{Authority, Log, contexts, only_tls12, with_client};

type Lines = Rc<RefCell<Vec<String>>>;

fn labels(lines: &Lines) -> Vec<String> {
    let lines = lines.borrow();
    let label = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [label, random, secret] = words[..] else { panic!("{line:?}") };
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(random.len() == 64 && is_hex(random), "{line:?}");
        assert!(secret.ends_with('\n') && is_hex(secret.trim_end()), "{line:?}");
        label.to_owned()
    };
    lines.iter().map(label).collect()
}

on_every_driver! {
    fn both_sides_have_the_secrets_of_a_connection_before_it_is_secure(net) {
        let authority = Authority::new();
        let twelve = only_tls12(&authority);
        let client = fyke_tls::ClientOptions::new().authorities_pem(authority.pem()).build().unwrap();
        let thirteen = ServerContext::new(authority.identity(&["127.0.0.1"])).unwrap();
        for (server, expected) in [(twelve, &["CLIENT_RANDOM"][..]), (thirteen, &[
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "SERVER_TRAFFIC_SECRET_0",
            "EXPORTER_SECRET",
        ][..])] {
            let (at_server, at_client) = (Lines::default(), Lines::default());
            let (of_server, of_client) = (Rc::clone(&at_server), Rc::clone(&at_client));
            let count = expected.len();
            net.run(|| {
                let server = create_server(&server, |socket| _ = socket.end_with("bye"));
                server.on_key_log(move |_, line| of_server.borrow_mut().push(line.to_owned()));
                with_client(&server, &client, move |client| {
                    let tls = Tls::of(client).unwrap();
                    let lines = Rc::clone(&of_client);
                    tls.on_key_log(move |_, line| of_client.borrow_mut().push(line.to_owned()));
                    tls.on_secure_connect(move |client| {
                        assert_eq!(lines.borrow().len(), count);
                        client.end();
                    });
                    client.resume();
                });
            });
            let mut sorted = labels(&at_client);
            sorted.sort();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(sorted, expected);
            at_server.borrow_mut().sort();
            at_client.borrow_mut().sort();
            assert_eq!(at_server, at_client, "both sides have the same secrets");
        }
    }

    fn a_listener_has_the_secrets_of_its_connection_only(net) {
        let (server, client) = contexts();
        let lines = Lines::default();
        let seen = Rc::clone(&lines);
        net.run(|| {
            let server = create_server(&server, |socket| _ = socket.end_with("bye"));
            with_client(&server, &client, move |client| {
                let tls = Tls::of(client).unwrap();
                tls.on_key_log(move |_, line| seen.borrow_mut().push(line.to_owned()));
                client.on_end(|client| _ = client.end());
                client.resume();
            });
            let (server, client) = contexts();
            let server = create_server(&server, |socket| _ = socket.end_with("bye"));
            with_client(&server, &client, |other| {
                other.on_end(|client| _ = client.end());
                other.resume();
            });
        });
        let lines = lines.borrow();
        assert_eq!(lines.len(), 5);
        let random = |line: &String| line.split(' ').nth(1).unwrap().to_owned();
        assert!(lines.iter().all(|line| random(line) == random(&lines[0])));
    }

    fn the_secrets_of_a_handshake_that_fails_are_reported(net) {
        let authority = Authority::new();
        let server = ServerContext::new(authority.identity(&["127.0.0.1"])).unwrap();
        let client = fyke_tls::ClientOptions::new().authorities_pem(Authority::new().pem()).build().unwrap();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = create_server(&server, |_| unreachable!("the certificate is not trusted"));
            with_client(&server, &client, move |client| {
                let lines = seen.clone();
                Tls::of(client).unwrap().on_key_log(move |_, line| {
                    lines.add(line.split(' ').next().unwrap());
                });
                client.on_error(move |_, error| seen.add(error.code()));
            });
        });
        let mut entries = log.take();
        assert_eq!(entries.pop().unwrap(), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
        assert!(entries.contains(&"SERVER_HANDSHAKE_TRAFFIC_SECRET".to_owned()), "{entries:?}");
    }
}
