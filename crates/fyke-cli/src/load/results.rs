//! The results and how they are printed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plot;
use crate::arguments::Load;
use crate::failure::Failure;
use crate::files::{Access, NewFile};
use crate::json::Line;
use crate::place::Place;
use crate::visible;

/// The percentiles that are printed.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// The files to write.
#[derive(Default)]
pub(super) struct Files {
    histogram: Option<NewFile>,
    hgrm: Option<NewFile>,
}

impl Files {
    /// Creates the files, so that an unusable path is reported before the run.
    pub(super) fn create(options: &Load) -> Result<Self, Failure> {
        let create = |path: &Option<PathBuf>| {
            path.as_deref()
                .map(|path| NewFile::create(path, options.overwrite, Access::Usual))
                .transpose()
        };
        Ok(Self { histogram: create(&options.histogram)?, hgrm: create(&options.hgrm)? })
    }
}

pub(super) struct Results {
    /// Latencies in nanoseconds, with three significant digits.
    latencies: Histogram<u64>,
    took: Duration,
    /// The number of connections that were established.
    pub(super) connections: u64,
    /// The number of established connections that failed later.
    pub(super) lost: u64,
    pub(super) unanswered: u64,
    errors: BTreeMap<String, u64>,
}

impl Results {
    pub(super) fn new() -> Self {
        // The histogram supports three digits, so this does not fail.
        #[expect(clippy::expect_used, reason = "the constant is valid")]
        let latencies = Histogram::new(3).expect("three digits");
        Self {
            latencies,
            took: Duration::ZERO,
            connections: 0,
            lost: 0,
            unanswered: 0,
            errors: BTreeMap::new(),
        }
    }

    pub(super) fn answer(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        // The histogram grows automatically, so this does not fail.
        let _ = self.latencies.record(nanoseconds.max(1));
    }

    pub(super) fn fail(&mut self, why: &str) {
        *self.errors.entry(why.to_owned()).or_default() += 1;
    }

    /// Sets the time measured so far: until the last answer, or until the end of the measuring
    /// time.
    pub(super) fn took(&mut self, time: Duration) {
        self.took = self.took.max(time);
    }

    fn per_second(&self, count: f64) -> f64 {
        count / self.took.as_secs_f64().max(0.001)
    }

    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub(super) fn print(&self, options: &Load, place: &Place, kept: Option<usize>) -> String {
        if options.json {
            return self.json(options, kept) + "\n";
        }
        let mut text = String::new();
        let where_to = match options.endpoint {
            Some(_) => place.to_string(),
            None => format!("{place}, the echo server in this process"),
        };
        let where_to = visible::of_text(&where_to);
        let seconds = self.took.as_secs_f64();
        let _ = writeln!(text, "{}, {seconds:.1} s, to {where_to}", describe(options));
        let _ = writeln!(
            text,
            "connections  {}{}",
            self.connections,
            match (kept, self.lost) {
                (Some(kept), _) => format!(", {kept} open at the end"),
                (None, 0) => String::new(),
                (None, lost) => format!(", {lost} lost"),
            }
        );
        if kept.is_none() {
            let count = self.latencies.len() as f64;
            let bytes = crate::size::text(self.per_second(count * options.size as f64));
            let _ = writeln!(
                text,
                "requests     {count}, {:.0}/s, {bytes}/s each way",
                self.per_second(count)
            );
            let _ = writeln!(text, "latency      {}", self.latency());
        }
        let errors = self.errors.iter().map(|(why, count)| format!("{why} {count}"));
        let mut errors: Vec<_> = errors.collect();
        if self.unanswered > 0 {
            errors.push(format!("unanswered {}", self.unanswered));
        }
        let errors = if errors.is_empty() { String::from("none") } else { errors.join(", ") };
        let _ = writeln!(text, "errors       {}", visible::of_text(&errors));
        text
    }

    /// `None` if nothing was answered.
    fn latency(&self) -> String {
        if self.latencies.is_empty() {
            return String::from("none, because no request was answered");
        }
        let each = PERCENTILES.iter().map(|(name, quantile)| {
            format!("{name} {}   ", milliseconds(self.latencies.value_at_quantile(*quantile)))
        });
        let max = milliseconds(self.latencies.max());
        format!("{}max {max}   ms", each.collect::<String>())
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON has only floating-point numbers")]
    fn json(&self, options: &Load, kept: Option<usize>) -> String {
        // Null if nothing was answered.
        let any = !self.latencies.is_empty();
        let latency = PERCENTILES.iter().fold(Line::new(), |line, (name, quantile)| {
            line.with(name, any.then(|| self.latencies.value_at_quantile(*quantile)))
        });
        let latency = latency
            .with("max", any.then(|| self.latencies.max()))
            .with("mean", any.then(|| self.latencies.mean()));
        let errors = self.errors.iter();
        let errors = errors.fold(Line::new(), |line, (why, count)| line.with(why, *count));
        let line = Line::new()
            .with("mode", describe(options))
            .with("seconds", self.took.as_secs_f64())
            .with("connections", self.connections)
            .with("lost", self.lost)
            .with("requests", self.latencies.len())
            .with("requests_per_second", self.per_second(self.latencies.len() as f64))
            .with("bytes_each_way", self.latencies.len() * options.size)
            .with("unanswered", self.unanswered);
        let line = match kept {
            Some(kept) => line.with("open_at_the_end", kept),
            None => line,
        };
        line.with_line("latency_ns", latency).with_line("errors", errors).finish()
    }

    pub(super) fn write_files(&self, options: &Load, files: Files) -> Result<(), Failure> {
        if let Some(file) = files.histogram {
            file.write_and_keep(&plot::svg(&self.latencies, &describe(options)))?;
        }
        if let Some(file) = files.hgrm {
            file.write_and_keep(&hgrm(&self.latencies))?;
        }
        Ok(())
    }

    /// Returns whether everything succeeded.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let count = self.errors.values().sum::<u64>();
        match (count, self.unanswered) {
            (0, 0) => Ok(()),
            (0, unanswered) => {
                Err(Failure::Bad(format!("{unanswered} requests were not answered")))
            }
            (count, _) => Err(Failure::Bad(format!("{count} errors"))),
        }
    }
}

fn describe(options: &Load) -> String {
    let (connections, size) = (options.connections, options.size);
    match (options.rate, options.connect_rate, options.idle) {
        (Some(rate), ..) => {
            format!("open loop: {rate} requests/s, {connections} connections, {size} bytes")
        }
        (_, Some(rate), _) => format!("{rate} connections/s, each for one request, {size} bytes"),
        (_, _, true) => format!("{connections} idle connections"),
        _ => {
            let depth = options.depth;
            format!("closed loop: {connections} connections, depth {depth}, {size} bytes")
        }
    }
}

/// Formats nanoseconds with three significant digits.
#[expect(clippy::cast_precision_loss, reason = "for display")]
fn milliseconds(nanoseconds: u64) -> String {
    let value = nanoseconds as f64 / 1e6;
    match value {
        ..0.1 => format!("{value:.4}"),
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

/// Formats the percentile distribution like HdrHistogram's `outputPercentileDistribution`, in
/// milliseconds.
#[expect(clippy::cast_precision_loss, reason = "the format has only floating-point numbers")]
fn hgrm(latencies: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for value in latencies.iter_quantiles(5) {
        let quantile = value.quantile_iterated_to();
        let at = value.value_iterated_to() as f64 / 1e6;
        let total = latencies.count_between(0, value.value_iterated_to());
        let _ = if quantile < 1.0 {
            writeln!(text, "{at:12.6} {quantile:2.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text, "{at:12.6} {quantile:2.12} {total:10}")
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.6}, StdDeviation   = {:12.6}]\n#[Max     = {:12.6}, Total count    = {:12}]\n#[Buckets = {:12}, SubBuckets     = {:12}]",
        latencies.mean() / 1e6,
        latencies.stdev() / 1e6,
        latencies.max() as f64 / 1e6,
        latencies.len(),
        latencies.buckets(),
        2048,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_contains_every_value_and_ends_at_the_maximum() {
        let mut results = Results::new();
        for micros in 1..=1000 {
            results.answer(Duration::from_micros(micros));
        }
        let text = hgrm(&results.latencies);
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let fields: Vec<_> = last.split_whitespace().collect();
        assert_eq!(fields[1..], ["1.000000000000", "1000"], "{text}");
        assert!(fields[0].starts_with("1.00"), "{text}");
    }

    #[test]
    fn milliseconds_have_three_significant_digits() {
        for (nanoseconds, expected) in
            [(12_345, "0.0123"), (123_456, "0.123"), (1_234_567, "1.23"), (123_456_789, "123.5")]
        {
            assert_eq!(milliseconds(nanoseconds), expected);
        }
    }

    #[test]
    fn the_run_succeeds_only_without_errors_and_with_every_answer() {
        let mut results = Results::new();
        assert!(results.verdict().is_ok());
        results.unanswered = 1;
        assert!(results.verdict().is_err());
        results.unanswered = 0;
        results.fail("ECONNRESET");
        assert!(results.verdict().is_err());
    }
}
