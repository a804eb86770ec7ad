//! `--idle-timeout`: closes connections on which no byte moves.
//!
//! The library's own timeout follows Node: a write that has progressed since the timeout was set
//! postpones it by a whole period. So a peer that never reads is detected only after up to twice
//! the time. Here every byte counts at the time when it moves.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::timer::{self, Timer};
use fyke::{Result, Socket};

/// The number of checks per timeout. An idle connection is detected late by at most one check
/// period.
const LOOKS: u32 = 20;
const PERIOD_MIN: Duration = Duration::from_millis(5);

/// Calls `is_over` once, when `progress` has not changed for `timeout`. The watch ends when
/// `progress` returns `None`. The timer does not keep the loop alive.
pub(crate) fn watch(
    timeout: Duration,
    progress: impl Fn() -> Option<u64> + 'static,
    is_over: impl Fn() + 'static,
) -> Result<()> {
    let quiet = Cell::new((None, Instant::now()));
    let own: Rc<Cell<Option<Timer>>> = Rc::default();
    let place = Rc::clone(&own);
    let end = move || {
        if let Some(timer) = own.take() {
            timer.cancel();
        }
    };
    let look = move || {
        let (now, (last, since)) = (Instant::now(), quiet.get());
        let Some(moved) = progress() else { return end() };
        if last != Some(moved) {
            quiet.set((Some(moved), if last.is_none() { since } else { now }));
        } else if now - since >= timeout {
            end();
            is_over();
        }
    };
    let timer = timer::set_interval((timeout / LOOKS).max(PERIOD_MIN), look)?;
    timer.unref_loop();
    place.set(Some(timer));
    Ok(())
}

/// Returns a number that grows with every byte that is received, and with every byte that the
/// peer's system acknowledges (or that the kernel takes, where it does not report that).
pub(crate) fn progress(socket: &Socket) -> u64 {
    let queued = u64::try_from(socket.write_queue_len()).unwrap_or(u64::MAX);
    let unacknowledged = socket.unacknowledged_bytes().unwrap_or(0);
    let unsent = queued.saturating_add(u64::try_from(unacknowledged).unwrap_or(u64::MAX));
    // `bytes_written` includes queued bytes.
    socket.bytes_read().wrapping_add(socket.bytes_written().wrapping_sub(unsent))
}
