//! How late a timer is while sockets are busy.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{Result, timer};

const INTERVAL: Duration = Duration::from_millis(20);

/// Prints `late MICROSECONDS`, the maximum over the timers of each second.
pub(crate) fn report_each_second() -> Result<()> {
    let latest = Rc::new(Cell::new(Duration::ZERO));
    arm(Rc::clone(&latest))?;
    timer::set_interval(Duration::from_secs(1), move || {
        println!("late {}", latest.take().as_micros());
    })?;
    Ok(())
}

fn arm(latest: Rc<Cell<Duration>>) -> Result<()> {
    let due = Instant::now() + INTERVAL;
    timer::set_timeout(INTERVAL, move || {
        latest.set(latest.get().max(due.elapsed()));
        arm(latest).expect("the loop of the first timer");
    })?;
    Ok(())
}
