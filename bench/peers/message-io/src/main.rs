//! message-io: network events in a callback. It cannot send until the buffer is full, so there is no
//! source.

use std::env;

use message_io::network::{NetEvent, Transport};
use message_io::node::{self, NodeEvent};

fn main() {
    let echo = env::var("MODE").as_deref() != Ok("sink");
    let port = env::var("PORT").expect("PORT");
    let (handler, listener) = node::split::<()>();
    let network = handler.clone();
    network.network().listen(Transport::Tcp, format!("127.0.0.1:{port}")).expect("listens");
    listener.for_each(move |event| {
        if let NodeEvent::Network(NetEvent::Message(peer, bytes)) = event {
            if echo {
                handler.network().send(peer, bytes);
            }
        }
    });
}
