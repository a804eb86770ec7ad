//! Sessions that the application keeps.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use fyke_tls::{
    ClientContext, ClientOptions, ServerContext, Session, Tls, create_server, upgrade_client,
};
use support::{Authority, Log, Net, contexts, only_tls12, with_client};

/// Connects once. Returns the events of the client, and the sessions if it listens for them.
fn visit(
    net: &Net,
    server: &ServerContext,
    client: &ClientContext,
    listens: bool,
) -> (Vec<String>, Vec<Session>) {
    let (log, sessions) = (Log::new(), Rc::new(RefCell::new(Vec::new())));
    let (seen, kept) = (log.clone(), Rc::clone(&sessions));
    net.run(|| {
        let server = create_server(server, |socket| _ = socket.end_with("tickets come before"));
        with_client(&server, client, move |client| {
            let tls = Tls::of(client).unwrap();
            if listens {
                let log = seen.clone();
                tls.on_session(move |_, session| {
                    log.add("session");
                    kept.borrow_mut().push(session);
                });
            }
            tls.on_secure_connect(move |client| {
                let reused = Tls::of(client).unwrap().is_session_reused();
                seen.add(if reused { "resumed" } else { "new" });
            });
            client.on_end(|client| _ = client.end());
            client.resume();
        });
    });
    (log.take(), sessions.take())
}

fn client(authority: &Authority) -> ClientContext {
    ClientOptions::new().authorities_pem(authority.pem()).build().unwrap()
}

on_every_driver! {
    fn a_session_continues_in_a_later_connection_that_is_given_it(net) {
        let authority = Authority::new();
        let thirteen = ServerContext::new(authority.identity(&["127.0.0.1"])).unwrap();
        for (server, count) in [(thirteen, 2), (only_tls12(&authority), 1)] {
            let context = client(&authority);
            let (events, mut sessions) = visit(net, &server, &context, true);
            let expected: Vec<&str> = std::iter::once("new").chain(std::iter::repeat_n("session", count)).collect();
            assert_eq!(events, expected, "sessions follow the handshake");
            assert_eq!(visit(net, &server, &context, true).0[0], "new", "the listener has them");
            let session = sessions.pop().unwrap();
            let again = context.with_session(session);
            assert_eq!(visit(net, &server, &again, true).0[0], "resumed");
            assert_eq!(visit(net, &server, &again, true).0[0], "new", "it was used");
        }
    }

    fn a_context_continues_sessions_itself_without_a_listener(net) {
        let (server, client) = contexts();
        assert_eq!(visit(net, &server, &client, false).0, ["new"]);
        assert_eq!(visit(net, &server, &client, false).0, ["resumed"]);
    }

    // Its certificate was verified for the other name, or by other rules.
    fn a_session_of_another_server_or_context_is_not_offered(net) {
        let authority = Authority::new();
        let server = ServerContext::new(authority.identity(&["127.0.0.1", "other.example"])).unwrap();
        let context = client(&authority);
        let (_, sessions) = visit(net, &server, &context, true);
        let [first, second] = <[Session; 2]>::try_from(sessions).unwrap();
        let log = Log::new();
        let (seen, offers) = (log.clone(), context.with_session(first.clone()));
        net.run(|| {
            let server = create_server(&server, |socket| _ = socket.end());
            server.on_connection(|server, _| _ = server.close());
            server.listen_then(("127.0.0.1", 0), move |server| {
                let socket = fyke::connect(server.endpoint().unwrap()).unwrap();
                let tls = upgrade_client(&socket, "other.example", &[], &offers).unwrap();
                tls.on_secure_connect(move |socket| {
                    seen.add(Tls::of(socket).unwrap().is_session_reused());
                    socket.end();
                });
                socket.resume();
            }).unwrap();
        });
        assert_eq!(log.take(), ["false"]);
        assert_eq!(visit(net, &server, &context.with_session(first), true).0[0], "resumed", "it was not offered");
        assert_eq!(visit(net, &server, &client(&authority).with_session(second), true).0[0], "new");
    }

    fn a_listener_that_destroys_the_socket_gets_one_session(net) {
        let (server, client) = contexts();
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let server = create_server(&server, |socket| {
                socket.on_error(|_, _| {});
                socket.end_with("tickets come before");
            });
            with_client(&server, &client, move |client| {
                let log = seen.clone();
                Tls::of(client).unwrap().on_session(move |client, _| {
                    log.add("session");
                    client.destroy();
                });
                client.on_data(|_, _| unreachable!("it is destroyed"));
                client.on_close(move |_, _| seen.add("close"));
            });
        });
        assert_eq!(log.take(), ["session", "close"]);
    }
}
