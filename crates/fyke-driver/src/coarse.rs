//! A clock for long durations that is cheap to read.

use std::time::Duration;

/// Returns the time on a monotonic clock with an arbitrary start. Its resolution is a few milliseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn coarse_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    // Neither field is negative (clock_gettime(2)).
    let time = clock_gettime(ClockId::MonotonicCoarse);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the time on a monotonic clock that starts with the first call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn coarse_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
