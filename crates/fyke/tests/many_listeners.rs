//! Listeners that are added repeatedly cause one warning in the log for each object.
#![cfg(feature = "tracing")]

mod support;

use fyke::{Server, Socket};
use support::{Net, steps};

/// Returns what is logged while `f` runs inside a loop.
fn warnings(f: impl FnOnce()) -> Vec<String> {
    steps::warnings(|| Net::sim().run(f))
}

#[test]
fn more_than_ten_listeners_of_one_event_are_logged_once_for_each_socket() {
    let lines = warnings(|| {
        let sockets = [Socket::new(), Socket::new()];
        for socket in &sockets {
            for _ in 0..10 {
                socket.on_data(|_, _| {});
                socket.on_close(|_, _| {});
            }
        }
        sockets[0].on_data(|_, _| {});
        sockets[0].on_data(|_, _| {});
        sockets[0].on_close(|_, _| {});
        sockets[0].destroy();
        sockets[1].destroy();
    });
    assert_eq!(lines, ["event=Data count=11"]);
}

#[test]
fn listeners_that_were_removed_or_have_run_do_not_count() {
    let lines = warnings(|| {
        let socket = Socket::new();
        for _ in 0..100 {
            socket.off(socket.on_data(|_, _| {}));
        }
        for _ in 0..6 {
            socket.on_drain(|_| {});
            socket.once_finish(|_| {});
        }
        socket.destroy();
    });
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn the_maximum_can_be_changed_and_zero_means_no_limit() {
    let lines = warnings(|| {
        let (few, any, server) = (Socket::new(), Socket::new(), Server::new());
        few.set_max_listeners(1);
        any.set_max_listeners(0);
        server.set_max_listeners(2);
        for _ in 0..3 {
            few.on_end(|_| {});
            server.on_connection(|_, _| {});
        }
        for _ in 0..1000 {
            any.on_end(|_| {});
        }
        few.destroy();
        any.destroy();
    });
    assert_eq!(lines, ["event=End count=2", "event=Connection count=3"]);
}
