//! Peers that violate the protocol, and callbacks that destroy or panic.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use fyke::{Endpoint, Socket, timer};
use fyke_tls::{ServerContext, Tls, TlsServer, connect, create_server};
use support::peer::{Peer, client_config, server_config, split_records};
use support::{Authority, Log, Net, settled, when};

/// Listens with a server that accepts one client, records how its handshake ended, and calls `attack` with its
/// address.
fn attacked(
    context: &ServerContext,
    log: &Log,
    on_secure: impl Fn(&Socket) + 'static,
    attack: impl FnOnce(Endpoint) + 'static,
) -> TlsServer {
    let server = create_server(context, on_secure);
    let seen = log.clone();
    server.on_tls_client_error(move |_, error| seen.add(error.code()));
    let seen = log.clone();
    server.on_connection(move |server, socket| {
        server.close();
        let seen = seen.clone();
        socket.on_close(move |_, had_error| seen.add(format!("close {had_error}")));
    });
    server.listen_then(("127.0.0.1", 0), |server| attack(server.endpoint().unwrap())).unwrap();
    server
}

fn trusted() -> (Authority, ServerContext) {
    let authority = Authority::new();
    let server = ServerContext::new(authority.identity(&["127.0.0.1"])).unwrap();
    (authority, server)
}

/// Sends one byte in each turn.
fn trickle(socket: &Socket, mut bytes: impl Iterator<Item = u8> + 'static) {
    let Some(byte) = bytes.next() else { return };
    let _ = socket.write(&[byte]);
    let socket = socket.clone();
    timer::set_immediate(move || trickle(&socket, bytes)).unwrap();
}

/// What the server reports for bytes of a client that sends nothing else.
fn answer_to(net: &Net, bytes: Vec<u8>) -> Vec<String> {
    let (_, server) = trusted();
    let log = Log::new();
    net.run(|| {
        attacked(
            &server,
            &log,
            |_| unreachable!("there is no handshake"),
            move |endpoint| {
                let client = fyke::connect(endpoint).unwrap();
                client.on_error(|_, _| {});
                let _ = client.write(&bytes);
                client.resume();
            },
        );
    });
    log.take()
}

/// Runs an attack of a client after the handshake: `attack` gets the peer once it is secure.
fn after_handshake(net: &Net, attack: impl Fn(&Rc<Peer>) + 'static) -> Vec<String> {
    let (authority, server) = trusted();
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        let secured = move |socket: &Socket| {
            let log = seen.clone();
            socket.on_error(move |_, error| log.add(error.code()));
            socket.resume();
        };
        attacked(&server, &log, secured, move |endpoint| {
            let peer = Peer::client(client_config(&authority), endpoint);
            let mut attacks = true;
            peer.run(move |peer| {
                if peer.is_secure() && std::mem::take(&mut attacks) {
                    attack(peer);
                }
            });
        });
    });
    log.take()
}

on_every_driver! {
    fn a_client_hello_in_single_bytes_is_understood(net) {
        let (authority, server) = trusted();
        let log = Log::new();
        let received = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&received);
        net.run(|| {
            attacked(&server, &log, |socket| _ = socket.end_with("hello"), move |endpoint| {
                let peer = Peer::client(client_config(&authority), endpoint);
                trickle(&peer.socket, peer.records().into_iter());
                peer.run(move |peer| {
                    if !peer.received.borrow().is_empty() {
                        sink.replace(peer.received.take());
                        peer.end();
                    }
                });
            });
        });
        assert_eq!(*received.borrow(), b"hello");
        assert_eq!(log.take(), ["close false"]);
    }

    fn a_client_hello_that_never_ends_is_refused_before_it_costs_memory(net) {
        // A message of 16 MB, in full records and in records of a single byte.
        for piece in [16_384, 1] {
            let mut message = vec![1, 0xff, 0xff, 0xff];
            message.resize(80_000, 0);
            let records = message.chunks(piece).flat_map(|piece| {
                let len = (piece.len() as u16).to_be_bytes();
                [&[22, 3, 1, len[0], len[1]], piece].concat()
            });
            assert_eq!(answer_to(net, records.collect()), ["ERR_TLS_PROTOCOL", "close true"]);
        }
    }

    fn a_record_that_is_too_long_is_refused_by_its_header(net) {
        for kind in [22, 23] {
            let answer = answer_to(net, vec![kind, 3, 1, 0xff, 0xff]);
            assert_eq!(answer, ["ERR_TLS_PROTOCOL", "close true"], "{kind}");
        }
    }

    fn an_alert_instead_of_a_client_hello_is_reported(net) {
        assert_eq!(answer_to(net, vec![21, 3, 3, 0, 2, 2, 40]), ["ERR_TLS_ALERT", "close true"]);
    }

    fn garbage_after_the_handshake_is_an_error(net) {
        for (record, code) in [
            (&[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20][..],
                "ERR_TLS_DECRYPT"),
            (b"GET / HTTP/1.1\r\n\r\n", "ERR_TLS_NOT_TLS"),
            (&[23, 3, 3, 0xff, 0xff], "ERR_TLS_PROTOCOL"),
            (&[22, 3, 3, 0, 4, 0, 0, 0, 0], "ERR_TLS_PROTOCOL"),
        ] {
            let entries = after_handshake(net, move |peer| peer.send(record));
            assert_eq!(entries, [code, "close true"]);
        }
    }

    fn a_flood_of_key_updates_is_refused(net) {
        let entries = after_handshake(net, |peer| {
            for _ in 0..100 {
                peer.tls.borrow_mut().refresh_traffic_keys().unwrap();
                peer.send(&peer.records());
            }
        });
        assert_eq!(entries, ["ERR_TLS_PROTOCOL", "close true"]);
    }

    fn key_updates_between_data_are_answered(net) {
        let (authority, server) = trusted();
        let log = Log::new();
        let echoed = Rc::new(Cell::new(0));
        let count = Rc::clone(&echoed);
        net.run(|| {
            attacked(&server, &log, |socket| _ = socket.pipe(socket), move |endpoint| {
                let peer = Peer::client(client_config(&authority), endpoint);
                peer.run(move |peer| {
                    let len = peer.received.borrow().len();
                    if len == 200 {
                        peer.end();
                    } else if peer.is_secure() && len == count.get() {
                        count.set(len + 1);
                        peer.tls.borrow_mut().refresh_traffic_keys().unwrap();
                        peer.send(&peer.coded(b"x"));
                    }
                });
            });
        });
        assert_eq!(echoed.get(), 200);
        assert_eq!(log.take(), ["close false"]);
    }

    fn key_updates_of_a_server_between_data_are_answered(net) {
        let authority = Authority::new();
        let config = Arc::new(server_config(&authority));
        let client = fyke_tls::ClientOptions::new().authorities_pem(authority.pem());
        let client = client.build().unwrap();
        let echoed = Rc::new(Cell::new(0));
        let count = Rc::clone(&echoed);
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                let (peer, count) = (Peer::server(&config, socket), Rc::clone(&count));
                peer.run(move |peer| {
                    let len = peer.received.borrow().len();
                    if len == 200 {
                        peer.end();
                    } else if peer.is_secure() && len == count.get() {
                        count.set(len + 1);
                        peer.tls.borrow_mut().refresh_traffic_keys().unwrap();
                        peer.send(&peer.coded(b"x"));
                    }
                });
            });
            server.listen_then(("127.0.0.1", 0), move |server| {
                let socket = connect(server.endpoint().unwrap(), &client).unwrap();
                socket.pipe(&socket);
            }).unwrap();
        });
        assert_eq!(echoed.get(), 200);
    }

    fn writing_between_the_pieces_of_a_session_ticket_works(net) {
        let (authority, _) = trusted();
        let mut config = server_config(&authority);
        // A ticket takes several records.
        config.max_fragment_size = Some(32);
        let config = Arc::new(config);
        let client = fyke_tls::ClientOptions::new().authorities_pem(authority.pem());
        let client = client.build().unwrap();
        let sizes = Rc::new(RefCell::new((0, 0)));
        let seen = Rc::clone(&sizes);
        net.run(|| {
            let server = fyke::create_server(move |socket| {
                socket.server().unwrap().close();
                let peer = Peer::server(&config, socket);
                let tickets = RefCell::new(Vec::new().into_iter());
                let seen = Rc::clone(&seen);
                socket.on_data(move |_, bytes| {
                    let was_secure = peer.is_secure();
                    let (records, failure) = peer.feed(bytes);
                    assert_eq!(failure, None);
                    if peer.is_secure() && !was_secure {
                        let pieces = split_records(&records);
                        seen.borrow_mut().0 = pieces.len();
                        tickets.replace(pieces.into_iter());
                    } else {
                        peer.send(&records);
                    }
                    let piece = tickets.borrow_mut().next();
                    match piece {
                        Some(piece) => peer.send(&piece),
                        None if peer.is_secure() => {
                            seen.borrow_mut().1 = peer.received.borrow().len();
peer.end();
                        }
                        None => {}
                    }
                });
            });
            server.listen_then(("127.0.0.1", 0), move |server| {
                let socket = connect(server.endpoint().unwrap(), &client).unwrap();
                fn write_on(socket: &Socket) {
                    if socket.is_writable() {
                        let _ = socket.write("x");
                        let socket = socket.clone();
                        timer::set_immediate(move || write_on(&socket)).unwrap();
                    }
                }
                Tls::of(&socket).unwrap().on_secure_connect(write_on);
                socket.resume();
            }).unwrap();
        });
        let (pieces, written) = *sizes.borrow();
        assert!(pieces > 8 && written > 0, "{pieces} pieces, {written} bytes written");
    }

    fn a_peer_that_never_reads_does_not_cost_memory(net) {
        let (authority, server) = trusted();
        let log = Log::new();
        let sent = Rc::new(Cell::new(0));
        let total = Rc::clone(&sent);
        let silent = Rc::new(RefCell::new(None));
        let peer_of = Rc::clone(&silent);
        net.run(|| {
            let fills = move |socket: &Socket| {
                let total = Rc::clone(&total);
                let fill = move |socket: &Socket| {
                    while socket.write(&[7; 5000]) {
                        total.set(total.get() + 5000);
                    }
                    total.set(total.get() + 5000);
                };
                fill(socket);
                socket.on_drain(fill);
                let (socket, silent) = (socket.clone(), Rc::clone(&silent));
                settled(move || {
                    assert!((1..1 << 17).contains(&socket.write_queue_len()));
                    socket.destroy();
                    let silent: Option<Socket> = silent.take();
                    silent.unwrap().destroy();
                });
            };
            attacked(&server, &log, fills, move |endpoint| {
                let peer = Peer::client(client_config(&authority), endpoint);
                peer.run(move |peer| {
                    if peer.is_secure() {
                        peer.socket.pause();
                        peer_of.replace(Some(peer.socket.clone()));
                    }
                });
            });
        });
        assert!(sent.get() < 1 << 24, "{} bytes were accepted", sent.get());
        assert_eq!(log.take(), ["close false"]);
    }

    fn a_client_that_sends_while_its_certificate_is_chosen_does_not_cost_memory(net) {
        let (authority, server) = trusted();
        let log = Log::new();
        let sent = Rc::new(Cell::new(0));
        let accepted = Rc::clone(&sent);
        net.run(|| {
            let replies = Rc::new(RefCell::new(Vec::new()));
            let (waiting, asked) = (Rc::clone(&replies), Rc::clone(&replies));
            let flooded = attacked(&server, &log, |_| unreachable!("it is no TLS"), move |endpoint| {
                let peer = Peer::client(client_config(&authority), endpoint);
                peer.send(&peer.records());
                peer.socket.resume();
                // More than the buffers of any system take.
                let len: usize = 1 << 25;
                let _ = peer.socket.write(vec![1; len]);
                when(move || !waiting.borrow().is_empty(), move || {
                    settled(move || {
                        accepted.set(len.saturating_sub(peer.socket.write_queue_len()));
                        asked.take().into_iter().for_each(fyke_tls::ContextReply::use_default);
                    });
                });
            });
            flooded.on_client_hello(move |_, reply| replies.borrow_mut().push(reply));
        });
        assert!(sent.get() < 1 << 24, "{} bytes were accepted", sent.get());
        assert_eq!(log.take(), ["ERR_TLS_NOT_TLS", "close true"]);
    }
}
