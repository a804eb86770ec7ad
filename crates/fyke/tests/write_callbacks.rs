//! Writes, when their callbacks come, and what a failure tells them.

mod support;

use fyke::Socket;
use support::{Log, word};

on_every_driver! {
    fn wr_24_an_empty_write_finds_out_that_the_connection_is_broken(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.on_data(|socket, _| socket.reset_and_destroy().unwrap()); },
            move |client| {
                // Paused from the beginning: only writing finds out.
                client.pause();
                client.on_ready(move |client| {
                    log.watch("", client);
                    client.write("x");
                    ask(client, &log);
                });
            },
        ));
        let mut entries = seen.take();
        entries.retain(|entry| entry != "ok");
        assert_eq!(entries, ["ECONNRESET", "error ECONNRESET", "close true"]);
    }
}

/// Writes nothing, again and again, until that fails.
fn ask(client: &Socket, log: &Log) {
    let log = log.clone();
    client.write_then("", move |client, result| {
        log.add(word(&result));
        let client = client.clone();
        if result.is_ok() {
            fyke::timer::set_immediate(move || ask(&client, &log)).unwrap();
        }
    });
}
