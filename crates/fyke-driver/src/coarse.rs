//! A clock for long times, which costs little to read.

use std::time::Duration;

/// The time on a clock that never goes back, counted from any moment. It is exact to a few milliseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn coarse_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    // Neither is negative (clock_gettime(2)).
    let time = clock_gettime(ClockId::MonotonicCoarse);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The time on a clock that never goes back, counted from the first call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn coarse_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
