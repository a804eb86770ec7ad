//! What the tests of `async` code share.

use std::future::Future;
use std::time::Duration;

use fyke::{Endpoint, EventLoop, Server, Socket, SocketStream, timer};

use super::{DEADLINE, Net};

/// Two connected streams, that of the client and that of the server.
pub(crate) type Pair = (SocketStream, SocketStream);

impl Net {
    /// Runs a future on a new loop. Fails at the deadline.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.block_on_loop(&self.event_loop(), future)
    }

    pub(crate) fn block_on_loop<F: Future>(&self, event_loop: &EventLoop, future: F) -> F::Output {
        // Virtual time passes at once.
        let limit = if self.is_sim() { Duration::from_secs(1_000_000) } else { DEADLINE };
        let limited = async { timer::timeout(limit, future).await.expect("it does not end") };
        event_loop.block_on(limited).unwrap()
    }
}

/// A server that listens on `endpoint`.
pub(crate) async fn listening(endpoint: Endpoint) -> Server {
    let server = Server::new();
    server.listen(endpoint).unwrap();
    server.listening().await.unwrap();
    server
}

/// Two connected sockets, that of the client and that of the server, which does not read yet.
pub(crate) async fn sockets(endpoint: Endpoint) -> (Socket, Socket) {
    let server = listening(endpoint).await;
    let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    let accepted = server.accept().await.unwrap();
    client.connected().await.unwrap();
    server.close();
    (client, accepted)
}

/// Two connected streams.
pub(crate) async fn streams(endpoint: Endpoint) -> Pair {
    let (client, accepted) = sockets(endpoint).await;
    (client.stream().unwrap(), accepted.stream().unwrap())
}
