//! How late a timer is while sockets are busy.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

const INTERVAL: Duration = Duration::from_millis(20);
static LATEST: Mutex<Duration> = Mutex::new(Duration::ZERO);

/// Prints `late MICROSECONDS`, the maximum over the timers of each second.
pub fn report_each_second() {
    tokio::spawn(async {
        loop {
            let due = Instant::now() + INTERVAL;
            sleep_until(due).await;
            let mut latest = LATEST.lock().expect("no code panics while holding it");
            *latest = due.elapsed().max(*latest);
        }
    });
    tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let latest =
                std::mem::take(&mut *LATEST.lock().expect("no code panics while holding it"));
            println!("late {}", latest.as_micros());
        }
    });
}
