//! Certificates: which are accepted, and which the server presents.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Error, Socket};
use fyke_tls::{
    ClientOptions, Identity, ServerContext, ServerOptions, Tls, connect, create_server,
};
use support::{Authority, Log, outcome, with_client};

on_every_driver! {
    fn certificates_that_are_not_acceptable_have_an_error_that_says_why(net) {
        let authority = Authority::new();
        let trusts = |pem: &str| ClientOptions::new().authorities_pem(pem).build().unwrap();
        let server = |identity: Identity| ServerContext::new(identity).unwrap();
        let good = authority.identity(&["127.0.0.1"]);
        for (server, client, code) in [
            (server(good.clone()), trusts(authority.pem()), "secure"),
            (
                server(good.clone()),
                trusts(Authority::new().pem()),
                "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
            ),
            (
                server(authority.identity(&["example.org"])),
                trusts(authority.pem()),
                "ERR_TLS_CERT_ALTNAME_INVALID",
            ),
            (server(authority.expired(&["127.0.0.1"])), trusts(authority.pem()), "CERT_HAS_EXPIRED"),
            (
                server(authority.not_yet_valid(&["127.0.0.1"])),
                trusts(authority.pem()),
                "CERT_NOT_YET_VALID",
            ),
            (
                server(good.clone()),
                ClientOptions::new().pin(good.fingerprint()).build().unwrap(),
                "secure",
            ),
            (
                server(authority.identity(&["127.0.0.1"])),
                ClientOptions::new().pin(good.fingerprint()).build().unwrap(),
                "ERR_TLS_CERT_INVALID",
            ),
            (
                server(authority.expired(&["example.org"])),
                ClientOptions::new().dangerous_accept_any_certificate().build().unwrap(),
                "secure",
            ),
        ] {
            let (at_client, at_server) = outcome(net, &server, &client);
            assert_eq!(at_client, code);
            let told = if code == "secure" { "secure" } else { "ERR_TLS_ALERT" };
            assert_eq!(at_server, told, "{code}");
        }
    }

    fn a_client_certificate_can_be_requested_or_required(net) {
        let (authority, others) = (Authority::new(), Authority::new());
        let server = || ServerOptions::new(authority.identity(&["127.0.0.1"]));
        let client = |identity: Option<Identity>| {
            let options = ClientOptions::new().authorities_pem(authority.pem());
            identity.map_or(options.clone(), |identity| options.identity(identity)).build().unwrap()
        };
        let (own, foreign) = (authority.identity(&["client"]), others.identity(&["client"]));
        let requests = server().request_client_certificate(authority.pem()).build().unwrap();
        let requires = server().require_client_certificate(authority.pem()).build().unwrap();
        let at_server = |server, identity| outcome(net, server, &client(identity)).1;
        assert_eq!(at_server(&requests, None), "secure");
        assert_eq!(at_server(&requests, Some(own.clone())), "secure");
        assert_eq!(at_server(&requires, Some(own)), "secure");
        assert_eq!(at_server(&requires, None), "ERR_TLS_CERT_REQUIRED");
        assert_eq!(at_server(&requires, Some(foreign)), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
    }

    fn a_replaced_certificate_is_used_by_the_next_connection_only(net) {
        let authority = Authority::new();
        let (old, new) = (authority.identity(&["127.0.0.1"]), authority.identity(&["127.0.0.1"]));
        let expected = [old.fingerprint(), new.fingerprint()];
        let server = ServerContext::new(old).unwrap();
        let client = ClientOptions::new().authorities_pem(authority.pem()).build().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let renewed = server.clone();
        let found = Rc::clone(&seen);
        net.run(|| {
            let server = create_server(&server, |socket| _ = socket.pipe(socket));
            server.listen_then(("127.0.0.1", 0), move |server| {
                let endpoint = server.endpoint().unwrap();
                let first = connect(endpoint.clone(), &client).unwrap();
                let (server, kept) = (server.clone(), first.clone());
                Tls::of(&first).unwrap().on_secure_connect(move |first| {
                    let print = |socket: &Socket| {
                        Tls::of(socket).unwrap().peer_certificate().unwrap().unwrap().fingerprint
                    };
                    found.borrow_mut().push(print(first));
                    renewed.set_identity(new.clone()).unwrap();
                    // A new context of the client, because a resumed session has the old certificate.
                    let client = ClientOptions::new().authorities_pem(authority.pem()).build().unwrap();
                    let second = connect(endpoint, &client).unwrap();
                    Tls::of(&second).unwrap().on_secure_connect(move |second| {
                        found.borrow_mut().push(print(second));
                        second.end();
                        kept.end_with("still works");
                        server.close();
                    });
                    second.resume();
                });
                first.on_text(|_, text| assert_eq!(text, "still works"));
            }).unwrap();
        });
        assert_eq!(*seen.borrow(), expected);
    }

    fn the_application_chooses_the_certificate_by_name_and_may_take_its_time(net) {
        let authority = Authority::new();
        let context = |name| ServerContext::new(authority.identity(&[name])).unwrap();
        let (default, other) = (context("default.example"), context("other.example"));
        for (name, answer) in [
            ("other.example", "secure"),
            ("default.example", "secure"),
            ("unknown.example", "ERR_TLS_CERT_ALTNAME_INVALID"),
            ("refused.example", "ERR_TLS_ALERT"),
        ] {
            let log = Log::new();
            let (seen, other) = (log.clone(), other.clone());
            let client = ClientOptions::new().authorities_pem(authority.pem());
            let client = client.server_name(name).build().unwrap();
            net.run(|| {
                let server = create_server(&default, |socket| _ = socket.end());
                server.on_client_hello(move |hello, reply| {
                    let name = hello.server_name().unwrap().to_owned();
                    let other = other.clone();
                    fyke::timer::set_timeout(Duration::from_millis(5), move || match &*name {
                        "other.example" => reply.use_context(&other),
                        "refused.example" => reply.refuse(),
                        _ => reply.use_default(),
                    })
                    .unwrap();
                });
                with_client(&server, &client, move |client| {
                    let log = seen.clone();
                    Tls::of(client).unwrap().on_secure_connect(move |client| {
                        log.add("secure");
                        client.end();
                    });
                    client.on_error(move |_, error| seen.add(error.code()));
                    client.resume();
                });
            });
            assert_eq!(log.take(), [answer], "{name}");
        }
    }

    fn certificates_by_name_include_wildcards(net) {
        let authority = Authority::new();
        let server = ServerOptions::new(authority.identity(&["default.example"]))
            .identity_for("one.example", authority.identity(&["one.example"]))
            .identity_for("*.many.example", authority.identity(&["*.many.example"]))
            .build()
            .unwrap();
        for (name, answer) in [
            ("one.example", "secure"),
            ("a.many.example", "secure"),
            ("default.example", "secure"),
            ("a.b.many.example", "ERR_TLS_CERT_ALTNAME_INVALID"),
        ] {
            let client = ClientOptions::new().authorities_pem(authority.pem()).server_name(name);
            assert_eq!(outcome(net, &server, &client.build().unwrap()).0, answer, "{name}");
        }
    }
}

#[test]
fn a_context_that_is_not_valid_is_an_error() {
    let authority = Authority::new();
    let code = |result: Result<(), Error>| result.unwrap_err().code();
    let invalid = fyke_tls::code::ERR_TLS_INVALID_CONTEXT;
    assert_eq!(code(Identity::from_pem(b"nothing", b"here").map(drop)), invalid);
    let (certificate, key) = authority.pem_pair(&["a.example"]);
    let (_, other_key) = authority.pem_pair(&["b.example"]);
    assert!(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).is_ok());
    let mixed = Identity::from_pem(certificate.as_bytes(), other_key.as_bytes());
    assert_eq!(code(mixed.map(drop)), invalid);
    assert_eq!(code(ClientOptions::new().authorities_pem("text").build().map(drop)), invalid);
    assert_eq!(code(ClientOptions::new().alpn_protocols([""]).build().map(drop)), invalid);
    let client = ClientOptions::new().authorities_pem(authority.pem()).server_name("not a name");
    assert_eq!(code(client.build().map(drop)), fyke_tls::code::ERR_TLS_INVALID_SERVER_NAME);
    let client = ClientOptions::new().authorities_pem(authority.pem()).build().unwrap();
    let failed = fyke::run(|| connect(("not a name", 1), &client).map(drop));
    assert_eq!(code(failed), fyke_tls::code::ERR_TLS_INVALID_SERVER_NAME);
}
