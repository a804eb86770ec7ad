//! Whether a timer costs more when others are pending.

use std::time::Duration;

use fyke::{EventLoop, Result, timer};

/// Nanoseconds to set a timer and cancel it.
pub(crate) fn measure(pending: usize) -> Result<f64> {
    let event_loop = EventLoop::new()?;
    event_loop.enter(|| {
        let mut timers = Vec::with_capacity(pending);
        for number in 0..pending as u64 {
            // Different times in no particular order.
            let seconds = 60 + number.wrapping_mul(2_654_435_761) % 100_000;
            timers.push(timer::set_timeout(Duration::from_secs(seconds), || {})?);
        }
        let mut number = 0_u64;
        let each = crate::nanoseconds_each(|| {
            number = number.wrapping_add(1);
            let delay = Duration::from_secs(60 + number.wrapping_mul(48_271) % 100_000);
            timer::set_timeout(delay, || {}).expect("inside of a loop").cancel();
        });
        timers.iter().for_each(timer::Timer::cancel);
        Ok(each)
    })
}
