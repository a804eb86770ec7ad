//! The echo server that `load` starts if no target is given: a separate thread with a separate loop,
//! so that it and the clients do not wait for each other.

use std::sync::mpsc;
use std::thread;

use fyke::{Endpoint, Server};

use crate::failure::Failure;
use crate::tls;

pub(super) fn start(tls: Option<tls::Server>) -> Result<Endpoint, Failure> {
    let (sender, receiver) = mpsc::channel();
    let serve = move || {
        let (listens, fails) = (sender.clone(), sender.clone());
        let ran = fyke::run(|| {
            let server = fyke::create_server(move |socket| {
                // Nagle's algorithm would wait for more data, but no more data follows.
                let _ = socket.set_no_delay(true);
                // The client's side of the connection reports the failure.
                socket.on_error(|_, _| {});
                match &tls {
                    None => _ = socket.pipe(socket),
                    Some(tls) if tls.begin(socket, |socket| _ = socket.pipe(socket)).is_ok() => {}
                    Some(_) => _ = socket.destroy(),
                }
            });
            server.on_error(move |_, error| _ = fails.send(Err(error.clone())));
            server.listen_then(("127.0.0.1", 0), move |server: &Server| {
                // The receiver is gone if the command has ended.
                let _ = listens.send(Ok(server.endpoint()));
            })
        });
        if let Err(error) = ran {
            let _ = sender.send(Err(error));
        }
    };
    let spawned = thread::Builder::new().name(String::from("echo")).spawn(serve);
    spawned.map_err(|error| Failure::System("cannot start a thread", error))?;
    let gone = || Failure::Bad(String::from("the echo server has failed"));
    receiver.recv().map_err(|_| gone())??.ok_or_else(gone)
}
