//! Session tickets whose keys several servers share.

mod support;

use std::sync::Arc;

use fyke_tls::{ClientContext, ServerContext, ServerOptions, TicketKeys, Tls, create_server};
use rustls::ClientConfig;
use support::{Authority, Log, Net, peer, with_client};

/// Returns whether the client continues a session with this server.
fn resumes(net: &Net, server: &ServerContext, client: &ClientContext) -> bool {
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let server = create_server(server, |socket| _ = socket.end_with("a ticket comes before"));
        with_client(&server, client, move |client| {
            Tls::of(client).unwrap().on_secure_connect(move |client| {
                seen.add(Tls::of(client).unwrap().is_session_reused());
            });
            client.on_end(|client| _ = client.end());
            client.resume();
        });
    });
    log.take() == ["true"]
}

/// Contexts of clients of TLS 1.3 and 1.2 that have no session yet.
fn clients(authority: &Authority) -> [ClientContext; 2] {
    let twelve = peer::client_config_of(authority, &[&rustls::version::TLS12]);
    let thirteen = peer::client_config(authority);
    [thirteen, twelve].map(|config: ClientConfig| ClientContext::from_config(Arc::new(config)))
}

on_every_driver! {
    fn servers_with_the_same_keys_resume_the_sessions_of_each_other(net) {
        let authority = Authority::new();
        let keys = TicketKeys::generate().unwrap();
        let server = |keys: &TicketKeys| {
            let options = ServerOptions::new(authority.identity(&["127.0.0.1"]));
            options.ticket_keys(keys.clone()).build().unwrap()
        };
        let (one, two) = (server(&keys), server(&TicketKeys::from_bytes(&keys.to_bytes()).unwrap()));
        let foreign = server(&TicketKeys::generate().unwrap());
        for client in clients(&authority) {
            assert!(!resumes(net, &one, &client), "it has no session");
            assert!(resumes(net, &two, &client));
            assert!(resumes(net, &one, &client));
            assert!(!resumes(net, &foreign, &client), "a full handshake, and a ticket of another key");
        }
    }

    fn rotated_keys_accept_old_tickets_and_make_new_ones(net) {
        let authority = Authority::new();
        let keys = TicketKeys::generate().unwrap();
        let server = |keys: Option<TicketKeys>| {
            let options = ServerOptions::new(authority.identity(&["127.0.0.1"]));
            keys.map_or(options.clone(), |keys| options.ticket_keys(keys)).build().unwrap()
        };
        for client in clients(&authority) {
            let context = server(None);
            context.clone().set_ticket_keys(keys.clone()).unwrap();
            assert!(!resumes(net, &context, &client), "it has no session");
            let rotated = keys.rotated().unwrap();
            let (old, new) = (server(Some(keys.clone())), {
                server(Some(TicketKeys::from_bytes(&rotated.to_bytes()[..48]).unwrap()))
            });
            context.set_ticket_keys(rotated).unwrap();
            assert!(resumes(net, &context, &client), "the old ticket is accepted");
            assert!(resumes(net, &new, &client), "the new one is of the new key");
            assert!(!resumes(net, &old, &client));
        }
    }
}

#[test]
fn the_keys_of_a_configuration_of_rustls_cannot_be_replaced() {
    let context = support::only_tls12(&Authority::new());
    let failed = context.set_ticket_keys(TicketKeys::generate().unwrap()).unwrap_err();
    assert_eq!(failed.code(), fyke_tls::code::ERR_TLS_INVALID_CONTEXT);
}
