//! Connections that go on with a certificate that is not acceptable.

mod support;

use fyke_tls::{
    ClientContext, ClientOptions, Identity, ServerContext, ServerOptions, Tls, Version,
    create_server,
};
use support::{Authority, Log, Net, with_client};

/// What both sides say about the certificate of the other one, once the handshake is done.
fn judgements(net: &Net, server: &ServerContext, client: &ClientContext) -> (String, String) {
    fn judgement(tls: &Tls) -> String {
        let error =
            tls.authorization_error().map_or("none".into(), |error| error.code().to_string());
        let resumed = if tls.is_session_reused() { " resumed" } else { "" };
        format!("{} {error}{resumed}", tls.is_authorized())
    }
    let (at_server, at_client) = (Log::new(), Log::new());
    let (seen, refused, noted) = (at_server.clone(), at_server.clone(), at_client.clone());
    net.run(|| {
        let server = create_server(server, move |socket| {
            seen.add(judgement(&Tls::of(socket).unwrap()));
            socket.end_with("a ticket comes before");
            socket.resume();
        });
        server.on_tls_client_error(move |_, error| refused.add(error.code()));
        with_client(&server, client, move |socket| {
            let tls = Tls::of(socket).unwrap();
            assert!(!tls.is_authorized(), "before the handshake");
            let log = noted.clone();
            tls.on_secure_connect(move |socket| {
                log.add(judgement(&Tls::of(socket).unwrap()));
            });
            socket.on_error(move |_, error| {
                let (code, chain) = (error.code(), tls.peer_certificate_chain().len());
                let known = tls
                    .authorization_error()
                    .map_or("none".into(), |error| error.code().to_string());
                noted.add(format!("{code}: {} {known} {chain}", tls.is_authorized()));
            });
            socket.on_end(|socket| _ = socket.end());
            socket.resume();
        });
    });
    (at_client.take().join(", "), at_server.take().join(", "))
}

on_every_driver! {
    fn a_certificate_that_is_not_acceptable_is_reported_if_the_connection_goes_on(net) {
        let authority = Authority::new();
        let others = Authority::new();
        let good = authority.identity(&["127.0.0.1"]);
        let options = || ClientOptions::new().dangerous_accept_any_certificate();
        let trusts = || options().authorities_pem(authority.pem());
        for (identity, client, at_client) in [
            (good.clone(), trusts(), "true none"),
            (good.clone(), options().authorities_pem(others.pem()), "false UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
            (authority.identity(&["example.org"]), trusts(), "false ERR_TLS_CERT_ALTNAME_INVALID"),
            (authority.expired(&["127.0.0.1"]), trusts(), "false CERT_HAS_EXPIRED"),
            (good.clone(), options().pin(good.fingerprint()), "true none"),
            (authority.identity(&["127.0.0.1"]), options().pin(good.fingerprint()), "false ERR_TLS_CERT_INVALID"),
            (good.clone(), options(), "false UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
        ] {
            for version in [Version::Tls12, Version::Tls13] {
                let server = ServerContext::new(identity.clone()).unwrap();
                let client = client.clone().min_version(version).build().unwrap();
                let (client, server) = judgements(net, &server, &client);
                assert_eq!((&*client, &*server), (at_client, "false none"));
            }
        }
    }

    fn the_reason_and_the_certificates_stay_known_if_the_handshake_fails(net) {
        let authority = Authority::new();
        let server = ServerContext::new(authority.expired(&["127.0.0.1"])).unwrap();
        let client = ClientOptions::new().authorities_pem(authority.pem()).build().unwrap();
        let expected = ("CERT_HAS_EXPIRED: false CERT_HAS_EXPIRED 1".into(), "ERR_TLS_ALERT".into());
        assert_eq!(judgements(net, &server, &client), expected);
    }

    fn a_verified_server_is_authorized(net) {
        let (server, client) = support::contexts();
        assert_eq!(judgements(net, &server, &client), ("true none".into(), "false none".into()));
        let resumed = ("true none resumed".into(), "false none resumed".into());
        assert_eq!(judgements(net, &server, &client), resumed);
    }

    fn a_server_can_go_on_with_any_certificate_of_a_client(net) {
        let (authority, others) = (Authority::new(), Authority::new());
        let server = || ServerOptions::new(authority.identity(&["127.0.0.1"]));
        let client = |identity: Option<Identity>| {
            let options = ClientOptions::new().authorities_pem(authority.pem());
            identity.map_or(options.clone(), |identity| options.identity(identity)).build().unwrap()
        };
        let (own, foreign) = (authority.identity(&["client"]), others.identity(&["client"]));
        let requests = server().request_client_certificate(authority.pem());
        let requests = requests.dangerous_accept_any_client_certificate().build().unwrap();
        let requires = server().require_client_certificate(authority.pem());
        let requires = requires.dangerous_accept_any_client_certificate().build().unwrap();
        let at_server = |server, identity: Option<&Identity>| {
            judgements(net, server, &client(identity.cloned())).1
        };
        assert_eq!(at_server(&requests, Some(&own)), "true none");
        assert_eq!(at_server(&requests, None), "false none");
        assert_eq!(at_server(&requests, Some(&foreign)), "false UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
        assert_eq!(at_server(&requires, Some(&foreign)), "false UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
        assert_eq!(at_server(&requires, None), "ERR_TLS_CERT_REQUIRED");
        let strict = server().request_client_certificate(authority.pem()).build().unwrap();
        assert_eq!(at_server(&strict, Some(&own)), "true none");
        assert_eq!(at_server(&strict, Some(&foreign)), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
    }

    // In a resumed handshake rustls verifies nothing, so a certificate that was not acceptable must not become so.
    fn a_resumed_session_is_not_more_authorized_than_before(net) {
        let (authority, others) = (Authority::new(), Authority::new());
        let server = ServerOptions::new(authority.identity(&["127.0.0.1"]));
        let server = server.request_client_certificate(authority.pem());
        let server = server.dangerous_accept_any_client_certificate().build().unwrap();
        let client = ClientOptions::new().authorities_pem(others.pem());
        let client = client.identity(others.identity(&["client"])).dangerous_accept_any_certificate();
        let client = client.build().unwrap();
        let reason = "false UNABLE_TO_GET_ISSUER_CERT_LOCALLY";
        assert_eq!(judgements(net, &server, &client), (reason.into(), reason.into()));
        let resumed = format!("{reason} resumed");
        assert_eq!(judgements(net, &server, &client), (resumed.clone(), resumed));
    }
}

#[test]
fn accepting_any_certificate_of_clients_needs_one_to_be_requested() {
    let options = ServerOptions::new(Authority::new().identity(&["a.example"]));
    let failed = options.dangerous_accept_any_client_certificate().build().unwrap_err();
    assert_eq!(failed.code(), fyke_tls::code::ERR_TLS_INVALID_CONTEXT);
}
