//! Giving memory back to the system.

use std::time::Duration;

use fyke::timer;

const PERIOD: Duration = Duration::from_secs(2);
/// Less is not worth the time, and is soon needed again.
const WORTH_BYTES: usize = 8 << 20;

/// From now on, memory that a wave of slow readers has left behind is returned to the system. Does not
/// keep the loop alive.
pub(crate) fn return_regularly() -> fyke::Result<()> {
    timer::set_interval(PERIOD, || _ = fyke::return_unused_memory(WORTH_BYTES))?.unref_loop();
    Ok(())
}
