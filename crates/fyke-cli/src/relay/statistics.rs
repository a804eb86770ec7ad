//! The statistics of a relay, printed as one line of text or one line of JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::json::Line;
use crate::size;

use super::targets::Targets;

/// The counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Clients that were admitted.
    pub(super) connections: u64,
    /// Clients that are connected now.
    pub(super) open: u64,
    /// Bytes from clients to targets, and from targets to clients.
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
    /// Refused clients, by reason.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// Errors of connections and attempts, by code.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn refuse(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }

    pub(super) fn fail(&mut self, code: &str) {
        *self.errors.entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    pub(super) fn errors_in_all(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Converts counts into rates. It stores the counts of the previous call.
pub(super) struct Rates {
    at: Instant,
    last: Counts,
}

/// Rates per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    connections: f64,
    up: f64,
    down: f64,
}

impl Rates {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, last: Counts::default() }
    }

    pub(super) fn since(&mut self, now: Instant, counts: &Counts) -> Rate {
        let seconds = now.saturating_duration_since(self.at).max(Duration::from_millis(1));
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let per_second =
            |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds.as_secs_f64();
        let rate = Rate {
            connections: per_second(counts.connections, self.last.connections),
            up: per_second(counts.bytes_up, self.last.bytes_up),
            down: per_second(counts.bytes_down, self.last.bytes_down),
        };
        (self.at, self.last) = (now, counts.clone());
        rate
    }
}

/// Formats the statistics as one line:
///
/// `12 open, 340 in all (5/s)   up 1.2 MiB/s   down 3.4 MiB/s   2 errors, 1 refused`
pub(super) fn text(counts: &Counts, rate: Rate) -> String {
    format!(
        "{} open, {} in all ({:.0}/s)   up {}/s   down {}/s   {} errors, {} refused",
        counts.open,
        counts.connections,
        rate.connections,
        size::text(rate.up),
        size::text(rate.down),
        counts.errors_in_all(),
        counts.refused_in_all(),
    )
}

pub(super) fn json(counts: &Counts, rate: Rate, targets: &Targets) -> String {
    let number = |map: &BTreeMap<String, u64>| {
        map.iter().fold(Line::new(), |line, (name, count)| line.with(name, *count))
    };
    let refused =
        counts.refused.iter().fold(Line::new(), |line, (why, count)| line.with(why, *count));
    let targets = targets.iter().map(|target| {
        serde_json::json!({
            "target": target.place.to_string(), "up": target.is_up(), "open": target.connections,
            "connections": target.total, "failures": target.failures,
        })
    });
    Line::event("statistics")
        .with("open", counts.open)
        .with("connections", counts.connections)
        .with("bytes_up", counts.bytes_up)
        .with("bytes_down", counts.bytes_down)
        .with("connections_per_second", rate.connections.round())
        .with("bytes_up_per_second", rate.up.round())
        .with("bytes_down_per_second", rate.down.round())
        .with_line("errors", number(&counts.errors))
        .with_line("refused", refused)
        .with("targets", targets.collect::<Vec<_>>())
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_cover_the_time_since_the_previous_report() {
        let now = Instant::now();
        let mut rates = Rates::new(now);
        let mut counts = Counts { connections: 10, bytes_up: 2048, ..Counts::default() };
        counts.refuse("limit");
        counts.fail("ECONNRESET");
        let later = now + Duration::from_secs(2);
        let rate = rates.since(later, &counts);
        assert_eq!(rate, Rate { connections: 5.0, up: 1024.0, down: 0.0 });
        let line = text(&counts, rate);
        assert_eq!(
            line,
            "0 open, 10 in all (5/s)   up 1.0 KiB/s   down 0 B/s   1 errors, 1 refused"
        );
        let again = rates.since(later + Duration::from_secs(1), &counts);
        assert_eq!(again, Rate { connections: 0.0, up: 0.0, down: 0.0 });
    }
}
