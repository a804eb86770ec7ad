//! Shared by the tests of options that the system stores.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Endpoint, KeepAliveProbes, ServerOptions, Socket};

use super::Net;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// Connects `client` to a new server at `endpoint`, and inspects it in `connect`.
pub(crate) fn look(
    net: &Net,
    endpoint: Endpoint,
    client: &Socket,
    looker: impl FnOnce(&Socket) + 'static,
) {
    let server = fyke::create_server(|socket| {
        socket.server().unwrap().close();
        socket.resume();
    });
    let (client, looked) = (client.clone(), Rc::new(Cell::new(false)));
    let checked = looked.clone();
    client.on_close(move |_, had_error| assert!(checked.get() && !had_error));
    net.listen(&server, endpoint, move |endpoint| {
        let connected = move |client: &Socket| {
            looker(client);
            looked.set(true);
            client.resume().end();
        };
        client.connect_then(endpoint, connected).unwrap();
    });
}

/// Inspects a socket that a server with these options has accepted.
pub(crate) fn look_accepted(
    net: &Net,
    options: ServerOptions,
    looker: impl FnOnce(&Socket) + 'static,
) {
    let (looked, mut looker) = (Rc::new(Cell::new(false)), Some(looker));
    let seen = looked.clone();
    net.run(|| {
        let server = options.create_server(move |socket| {
            socket.server().unwrap().close();
            looker.take().unwrap()(socket);
            looked.set(true);
            socket.resume().end();
        });
        net.listen(&server, net.tcp(), |endpoint| {
            fyke::connect(endpoint).unwrap().resume();
        });
    });
    assert!(seen.get());
}

pub(crate) fn probes(initial_delay: u64, interval: u64, count: u32) -> KeepAliveProbes {
    KeepAliveProbes::new(SECOND * initial_delay as u32)
        .interval(SECOND * interval as u32)
        .count(count)
}
