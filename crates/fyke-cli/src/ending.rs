//! Breaking a connection off: all data that precedes the reset is delivered, and the peer sees that
//! the stream was cut off.

use std::cell::Cell;
use std::time::Duration;

use fyke::{Socket, timer};

/// How long a peer may accept none of the data that precedes a reset.
const PATIENCE: Duration = Duration::from_secs(5);
/// The period at which to check whether the peer's system has received all data.
const ASK_PERIOD: Duration = Duration::from_millis(5);

/// Closes an idle connection: with an end if the peer's system has received all written data,
/// otherwise by a reset.
pub(crate) fn close_idle(socket: &Socket) {
    if undelivered(socket) == 0 {
        socket.destroy();
    } else {
        reset(socket);
    }
}

/// Breaks a connection off so that the peer notices. This sends RST over TCP. A Unix socket has no
/// RST and is closed.
pub(crate) fn reset(socket: &Socket) {
    // While connecting, `reset_and_destroy` would wait until the connection is established.
    if socket.is_connecting() || socket.reset_and_destroy().is_err() {
        socket.destroy();
    }
}

/// Delivers all written data, then resets the connection. The peer's system must have acknowledged
/// the data first, because a reset discards what the kernel has not sent yet. If the peer stops
/// accepting data, the connection is reset by [`reset_when_stalled`].
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

/// Resets the connection if data is waiting and the peer accepts none of it for 5 to 10 seconds.
pub(crate) fn reset_when_stalled(socket: &Socket) {
    // The number of waiting bytes alone says nothing, because more may be written as fast as the
    // peer accepts it.
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
        // Outside of a loop, waiting is impossible.
        Err(_) => reset(socket),
    }
}

/// The number of written bytes that the peer's system has not received yet.
fn undelivered(socket: &Socket) -> usize {
    socket.write_queue_len() + socket.unacknowledged_bytes().unwrap_or(0)
}
