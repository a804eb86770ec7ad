//! Closing a connection that has said everything, not before all of it is delivered.
//!
//! Closing at once would do harm: a system that closes a connection with unread bytes in it, or that
//! receives bytes after that, sends RST (RFC 9293, 3.6.1 and RFC 2525, 2.17). What it had not sent by
//! then is lost, and the peer's system may throw away what the peer has not read.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{Socket, timer};

/// How long a peer may take to end after everything was delivered to its system.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a peer that goes on talking may take, when it is not waited for.
const COURTESY: Duration = Duration::from_secs(2);
/// Delivery makes no event, so it is looked for.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// Sends what is queued, ends our side, and discards what still comes until the peer ends too. A peer
/// that reads slowly has all the time that it needs; only one that does not end after its system has
/// got everything is given up after a while.
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

/// Sends what is queued, ends our side, and closes as soon as that cannot lose anything: when
/// everything was delivered, or if the peer talks meanwhile, when it ends. The caller goes on reading.
pub(crate) fn leave(socket: &Socket) {
    socket.set_allow_half_open(true);
    socket.end();
    Delivery::watch(socket, Duration::ZERO, COURTESY);
}

/// Waits until everything was delivered, and then closes.
struct Delivery {
    socket: Socket,
    /// How long to wait after that for the end of a peer that is silent, and of one that talks.
    silent: Duration,
    talking: Duration,
    /// What the peer had said when we ended.
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

    /// The system has everything.
    fn begin(self: &Rc<Self>) {
        self.look();
        if self.socket.is_destroyed() {
            return;
        }
        let same = Rc::clone(self);
        // Without a loop there is nothing to wait for.
        if let Ok(timer) = timer::set_interval(LOOK_PERIOD, move || same.look()) {
            timer.unref_loop();
            self.socket.on_close(move |_, _| timer.cancel());
        }
    }

    fn look(&self) {
        // A Unix socket has delivered what it was given. Where the system does not tell, all peers are
        // waited for.
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
