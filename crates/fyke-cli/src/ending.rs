//! Ending a connection so that nothing is lost on the way.

use std::time::Duration;

use fyke::{Socket, timer};

/// How long a peer may take to end after us.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends what is queued, ends our side, and throws away what still comes until the peer ends too.
///
/// Closing at once would do harm: a system that closes a connection with bytes in it that nobody has
/// read sends RST (RFC 9293, 3.6.1 and RFC 2525, 2.17), and that makes the peer's system throw away
/// what our last words were.
pub(crate) fn end_in_peace(socket: &Socket) {
    if socket.destroyed() {
        return;
    }
    socket.set_allow_half_open(true);
    socket.end();
    if socket.readable_ended() {
        return;
    }
    socket.on_data(|_, _| {});
    socket.resume();
    let late = socket.clone();
    // Without a loop there is nothing that could be late.
    if let Ok(timer) = timer::set_timeout(PATIENCE, move || {
        late.destroy();
    }) {
        timer.unref();
        socket.on_close(move |_, _| timer.cancel());
    }
}

/// Breaks a connection off, so that the peer sees it: by RST over TCP. A Unix socket knows none.
pub(crate) fn reset(socket: &Socket) {
    if socket.reset_and_destroy().is_err() {
        socket.destroy();
    }
}
