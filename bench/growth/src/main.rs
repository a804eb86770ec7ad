//! How costs inside one process grow with the number of things. Prints a line of JSON for each number.
//!
//! `fyke-bench-growth block-list|timers|simulated NUMBER…`
#![forbid(unsafe_code)]

mod block_list;
mod simulated;
mod timers;

use std::time::{Duration, Instant};

use fyke::Result;

/// Long enough for the resolution of the clock.
const MEASURED: Duration = Duration::from_millis(200);

/// Nanoseconds per call of `step`, the best of three.
fn nanoseconds_each(mut step: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let (mut count, began) = (0_u32, Instant::now());
        while began.elapsed() < MEASURED {
            (0..100).for_each(|_| step());
            count += 100;
        }
        best = best.min(began.elapsed().as_nanos() as f64 / f64::from(count));
    }
    best
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let measure = match words.next().as_deref() {
        Some("block-list") => block_list::measure,
        Some("timers") => timers::measure,
        Some("simulated") => simulated::measure,
        other => {
            eprintln!("block-list, timers or simulated, not {}", other.unwrap_or("nothing"));
            std::process::exit(2);
        }
    };
    for word in words {
        let Ok(number) = word.parse() else {
            eprintln!("not a number: {word}");
            std::process::exit(2);
        };
        println!("{{\"number\":{number},\"value\":{:.2}}}", measure(number)?);
    }
    Ok(())
}
