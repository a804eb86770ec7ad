//! Application protocols that the server chooses.

mod support;

use std::sync::{Arc, Mutex};

use fyke_tls::{
    ClientOptions, Hello, ServerContext, ServerOptions, Tls, create_server, upgrade_server,
};
use support::{Authority, Log, Net, with_client};

/// Returns what the client and the server see of a handshake in which the client offers these protocols.
fn agreement(
    net: &Net,
    server: &ServerContext,
    authority: &Authority,
    offers: &[&str],
) -> [String; 2] {
    fn protocol(tls: &Tls) -> String {
        tls.alpn_protocol().map_or("none".into(), |name| String::from_utf8(name).unwrap())
    }
    let client = ClientOptions::new().authorities_pem(authority.pem());
    let client = client.alpn_protocols(offers.iter().copied()).build().unwrap();
    let (at_client, at_server) = (Log::new(), Log::new());
    let (seen, accepted, refused) = (at_client.clone(), at_server.clone(), at_server.clone());
    net.run(|| {
        let server = create_server(server, move |socket| {
            accepted.add(protocol(&Tls::of(socket).unwrap()));
            socket.end();
        });
        server.on_tls_client_error(move |_, error| refused.add(error.code()));
        with_client(&server, &client, move |client| {
            let log = seen.clone();
            Tls::of(client).unwrap().on_secure_connect(move |client| {
                log.add(protocol(&Tls::of(client).unwrap()));
                client.end();
            });
            client.on_error(move |_, error| seen.add(error));
            client.resume();
        });
    });
    [at_client, at_server].map(|log| log.take().join(" "))
}

const REFUSED: &str = "ERR_TLS_ALERT: the peer closed the connection: alert no_application_protocol \
     (it supports none of our application protocols)";

on_every_driver! {
    fn a_callback_chooses_among_the_protocols_of_the_client(net) {
        let authority = Authority::new();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let choose = move |hello: &Hello| {
            assert_eq!(hello.server_name(), None, "an IP address is no name");
            let offered = hello.alpn_protocols();
            seen.lock().unwrap().push(offered.to_vec());
            match offered.last()?.as_slice() {
                b"unknown" => None,
                b"confused" => Some(b"another".to_vec()),
                last => Some(last.to_vec()),
            }
        };
        let server = ServerOptions::new(authority.identity(&["127.0.0.1"]));
        let server = server.alpn_callback(choose).build().unwrap();
        for (offers, at_client, at_server) in [
            (&["one", "two"][..], "two", "two"),
            (&[], "none", "none"),
            (&["one", "unknown"], REFUSED, "ERR_TLS_NO_APPLICATION_PROTOCOL"),
            (&["one", "confused"], REFUSED, "ERR_TLS_ALPN_CALLBACK_INVALID_RESULT"),
            (&["two", "one"], "one", "one"),
        ] {
            let [client, server] = agreement(net, &server, &authority, offers);
            assert_eq!([&*client, &*server], [at_client, at_server], "{offers:?}");
        }
        assert_eq!(calls.lock().unwrap().len(), 4, "not without an offer");
        assert_eq!(calls.lock().unwrap()[0], [b"one", b"two"]);
    }

    fn a_callback_of_a_context_chooses_after_starttls_and_after_an_answer_that_took_time(net) {
        let authority = Authority::new();
        let context = ServerOptions::new(authority.identity(&["127.0.0.1"]));
        let context = context.alpn_callback(|hello| hello.alpn_protocols().last().cloned());
        let context = context.build().unwrap();
        let client = ClientOptions::new().authorities_pem(authority.pem());
        let client = client.alpn_protocols(["one", "two"]).build().unwrap();
        let log = Log::new();
        let (seen, later, chosen) = (log.clone(), log.clone(), context.clone());
        net.run(|| {
            let without = ServerContext::new(authority.identity(&["127.0.0.1"])).unwrap();
            let server = create_server(&without, move |socket| {
                later.add(format!("{:?}", Tls::of(socket).unwrap().alpn_protocol()));
                socket.end();
            });
            server.on_client_hello(move |_, reply| {
                let context = chosen.clone();
                fyke::timer::set_immediate(move || reply.use_context(&context)).unwrap();
            });
            with_client(&server, &client, |client| {
                client.on_end(|client| _ = client.end());
                client.resume();
            });
            let plain = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                let log = seen.clone();
                upgrade_server(socket, &[], &context).unwrap().on_secure_connect(move |socket| {
                    log.add(format!("{:?}", Tls::of(socket).unwrap().alpn_protocol()));
                    socket.end();
                });
                socket.resume();
            });
            plain.listen_then(("127.0.0.1", 0), move |server| {
                let client = fyke_tls::connect(server.endpoint().unwrap(), &client).unwrap();
                client.on_end(|client| _ = client.end());
                client.resume();
            }).unwrap();
        });
        let two = format!("{:?}", Some(b"two".to_vec()));
        assert_eq!(log.take(), [two.clone(), two]);
    }
}

#[test]
fn a_list_of_protocols_and_a_callback_contradict_each_other() {
    let options = ServerOptions::new(Authority::new().identity(&["a.example"]));
    let both = options.alpn_protocols(["h2"]).alpn_callback(|_| None).build().unwrap_err();
    assert_eq!(both.code(), fyke_tls::code::ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS);
}
