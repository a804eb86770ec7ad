//! Closing a connection after all data was sent, but not before it is delivered.
//!
//! Closing at once could lose data. A system that closes a connection with unread bytes in it, or
//! that receives bytes after that, sends RST (RFC 9293, 3.6.1 and RFC 2525, 2.17). The bytes that
//! it has not sent by then are lost, and the peer's system may discard bytes that the peer has not
//! read.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{Socket, timer};

/// How long a peer may take to end after all data was delivered to its system.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a peer that keeps sending may take to end, if the caller does not wait for its end.
const COURTESY: Duration = Duration::from_secs(2);
/// Delivery emits no event, so it is polled.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// Sends the queued data, ends our side, and discards received data until the peer ends too. A peer
/// that reads slowly has unlimited time. The connection is closed if the peer does not end within
/// [`PATIENCE`] after its system has received all data.
pub(crate) fn end_when_delivered(socket: &Socket) {
    if socket.is_destroyed() {
        return;
    }
    socket.set_allow_half_open(true);
    socket.end();
    if socket.is_readable_ended() {
        return;
    }
    socket.on_data(|_, _| {});
    socket.resume();
    Delivery::watch(socket, PATIENCE, PATIENCE);
}

/// Sends the queued data, ends our side, and closes as soon as that cannot lose data: when all data
/// is delivered, or, if the peer sends data meanwhile, when the peer ends (at most [`COURTESY`]
/// later). The caller continues to read.
pub(crate) fn leave(socket: &Socket) {
    socket.set_allow_half_open(true);
    socket.end();
    Delivery::watch(socket, Duration::ZERO, COURTESY);
}

/// Waits until all data is delivered, and then closes the connection.
struct Delivery {
    socket: Socket,
    /// How long to wait after delivery for the end of a silent peer, and of a peer that keeps
    /// sending.
    silent: Duration,
    talking: Duration,
    /// The number of bytes that the peer had sent when our side ended.
    heard: u64,
    delivered_at: Cell<Option<Instant>>,
}

impl Delivery {
    fn watch(socket: &Socket, silent: Duration, talking: Duration) {
        let heard = socket.bytes_read();
        let delivered_at = Cell::new(None);
        let delivery =
            Rc::new(Self { socket: socket.clone(), silent, talking, heard, delivered_at });
        if socket.is_writable_finished() {
            delivery.begin();
        } else {
            socket.on_finish(move |_| delivery.begin());
        }
    }

    /// The peer's system has received all data.
    fn begin(self: &Rc<Self>) {
        self.look();
        if self.socket.is_destroyed() {
            return;
        }
        let same = Rc::clone(self);
        // Without a loop, waiting is impossible.
        if let Ok(timer) = timer::set_interval(LOOK_PERIOD, move || same.look()) {
            timer.unref_loop();
            self.socket.on_close(move |_, _| timer.cancel());
        }
    }

    fn look(&self) {
        // A Unix socket delivers data at once. On systems that do not report unacknowledged bytes,
        // every peer gets the time to end.
        let tcp = self.socket.remote_address().is_some();
        let unacknowledged = self.socket.unacknowledged_bytes();
        if tcp && unacknowledged.is_some_and(|bytes| bytes > 0) {
            return;
        }
        let unknown = tcp && unacknowledged.is_none();
        let talks = self.socket.bytes_read() > self.heard;
        let patience = if talks || unknown { self.talking } else { self.silent };
        let now = Instant::now();
        let delivered_at = self.delivered_at.get().unwrap_or(now);
        self.delivered_at.set(Some(delivered_at));
        if now - delivered_at >= patience {
            self.socket.destroy();
        }
    }
}
