//! Breaking a connection off: nothing that precedes the reset is lost on the way, and a stream that was
//! cut off does not look whole.

use std::cell::Cell;
use std::time::Duration;

use fyke::{Socket, timer};

/// How long a peer may accept nothing of what precedes a reset.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to ask whether the peer's system has everything.
const ASK_PERIOD: Duration = Duration::from_millis(5);

/// Closes an idle connection: with an end if the peer has everything that was written, else by a reset.
pub(crate) fn close_idle(socket: &Socket) {
    if undelivered(socket) == 0 {
        socket.destroy();
    } else {
        reset(socket);
    }
}

/// Breaks a connection off so that the peer notices: with RST over TCP. A Unix socket has no RST.
pub(crate) fn reset(socket: &Socket) {
    // While connecting, a reset would wait for the connection.
    if socket.is_connecting() || socket.reset_and_destroy().is_err() {
        socket.destroy();
    }
}

/// Delivers everything that was written, then resets the connection. The peer's system must have
/// acknowledged the bytes first, because a reset discards what the kernel has not sent yet. A peer
/// that stops accepting bytes is reset as [`reset_when_stalled`] does it.
pub(crate) fn reset_when_delivered(socket: &Socket) {
    if socket.is_destroyed() {
        return;
    }
    if undelivered(socket) == 0 {
        return reset(socket);
    }
    reset_when_stalled(socket);
    repeat_until_closed(socket, ASK_PERIOD, |socket| {
        if undelivered(socket) == 0 {
            reset(socket);
        }
    });
}

/// Resets the connection when bytes wait and the peer accepts none of them for 5 to 10 seconds.
pub(crate) fn reset_when_stalled(socket: &Socket) {
    // Not what is left: more may be written as fast as the peer accepts it.
    let before = Cell::new(None);
    repeat_until_closed(socket, PATIENCE, move |socket| {
        let left = undelivered(socket);
        let accepted = Some(socket.bytes_written().saturating_sub(left as u64));
        if left > 0 && accepted == before.replace(accepted) {
            reset(socket);
        }
    });
}

fn repeat_until_closed(socket: &Socket, period: Duration, f: impl Fn(&Socket) + 'static) {
    let same = socket.clone();
    match timer::set_interval(period, move || f(&same)) {
        Ok(timer) => _ = socket.on_close(move |_, _| timer.cancel()),
        // Outside of a loop nothing can be waited for.
        Err(_) => reset(socket),
    }
}

/// How many of the bytes written the peer's system does not have yet.
fn undelivered(socket: &Socket) -> usize {
    socket.write_queue_len() + socket.unacknowledged_bytes().unwrap_or(0)
}
