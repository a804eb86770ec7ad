//! Reads until the client has ended, and only then answers: the connection is half open meanwhile.
//! Try `printf 'some text' | nc -N 127.0.0.1 8888`.

use std::cell::Cell;
use std::rc::Rc;

fn main() -> fyke::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    fyke::run(|| {
        // Without this the socket would end itself as soon as the client does.
        let options = fyke::ServerOptions::new().allow_half_open(true);
        let server = options.create_server(|socket| {
            let words = Rc::new(Cell::new(0));
            let in_word = Cell::new(false);
            let count = Rc::clone(&words);
            socket.on_data(move |_, data| {
                for byte in data {
                    let letter = !byte.is_ascii_whitespace();
                    if letter && !in_word.replace(letter) {
                        count.set(count.get() + 1);
                    }
                    in_word.set(letter);
                }
            });
            socket.on_end(move |socket| {
                socket.end_with(format!("{} words\n", words.get()));
            });
        });
        server.listen_then(("127.0.0.1", port), |server| {
            println!("listening on {}", server.address().expect("it listens"));
        })
    })
}
