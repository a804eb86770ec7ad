//! Text instead of bytes.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use fyke::{Encoding, Socket};
use support::{Log, Net};

/// The text that a client receives for these pieces. The next piece is sent when the previous one has
/// arrived.
fn hears(net: &Net, encoding: Encoding, pieces: &'static [&'static [u8]]) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        net.pair(
            net.tcp(),
            |socket| {
                let next = RefCell::new(pieces.iter());
                let send = move |socket: &Socket| match next.borrow_mut().next() {
                    Some(piece) => _ = socket.write(*piece),
                    None => _ = socket.end(),
                };
                send(socket);
                socket.on_data(move |socket, _| send(socket));
            },
            move |client| {
                client.set_encoding(encoding);
                client.set_allow_half_open(true);
                client.on_data(|client, _| _ = client.write("next"));
                let text = log.clone();
                client.on_text(move |_, piece| text.add(piece));
                client.on_end(move |client| {
                    log.add("end");
                    client.end();
                });
            },
        );
    });
    seen.take()
}

on_every_driver! {
    fn rd_15_split_characters_are_joined(net) {
        assert_eq!(hears(net, Encoding::Utf8, &[b"\xe2\x82", b"\xacA"]), ["€A", "end"]);
    }

    fn rd_15_an_incomplete_character_is_replaced_just_before_end(net) {
        assert_eq!(hears(net, Encoding::Utf8, &[b"a\xe2\x82"]), ["a", "\u{fffd}", "end"]);
    }

    fn rd_16_base64_waits_for_groups_of_three_bytes(net) {
        let pieces: &[&[u8]] = &[&[1], &[2, 3], &[4, 5, 6, 7]];
        assert_eq!(hears(net, Encoding::Base64, pieces), ["AQID", "BAUG", "Bw==", "end"]);
    }

    fn rd_16_latin1_decodes_every_byte_as_a_character(net) {
        assert_eq!(hears(net, Encoding::Latin1, &[b"\xe9\xff"]), ["éÿ", "end"]);
    }

    fn rd_17_the_encoding_stays_when_the_socket_connects_again(net) {
        let heard: Rc<RefCell<String>> = Rc::default();
        let text = heard.clone();
        net.run(|| {
            let server = fyke::create_server(|socket| { socket.end_with(b"\xe9"); });
            net.listen(&server.clone(), net.tcp(), move |endpoint| {
                let client = Socket::new();
                client.set_encoding(Encoding::Latin1);
                client.on_text(move |_, piece| text.borrow_mut().push_str(piece));
                let again = endpoint.clone();
                let rounds = std::cell::Cell::new(0);
                client.on_close(move |client, _| match rounds.replace(rounds.get() + 1) {
                    0 => client.connect(&again).unwrap(),
                    _ => _ = server.close(),
                });
                client.connect(endpoint).unwrap();
            });
        });
        assert_eq!(heard.take(), "éé");
    }
}

#[test]
fn rd_17_names_of_encodings_are_nodes_in_any_case() {
    for (name, encoding) in [("UTF-8", Encoding::Utf8), ("BINARY", Encoding::Latin1)] {
        assert_eq!(name.parse::<Encoding>().unwrap(), encoding);
    }
    let code = "klingon".parse::<Encoding>().unwrap_err().code();
    assert_eq!(code.as_str(), "ERR_UNKNOWN_ENCODING");
}
