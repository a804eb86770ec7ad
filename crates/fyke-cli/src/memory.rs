//! Returning memory to the system.

use std::time::Duration;

use fyke::timer;

const PERIOD: Duration = Duration::from_secs(2);
/// A smaller amount is not worth the time, and is needed again soon.
const WORTH_BYTES: usize = 8 << 20;

/// Starts a timer that returns unused memory to the system, for example after many slow readers
/// have left. It does not keep the loop alive.
pub(crate) fn return_regularly() -> fyke::Result<()> {
    timer::set_interval(PERIOD, || _ = fyke::return_unused_memory(WORTH_BYTES))?.unref_loop();
    Ok(())
}
