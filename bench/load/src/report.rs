//! One line of JSON.

use std::fmt::Write;

use crate::arguments::Arguments;
use crate::histogram::Histogram;
use crate::window::Measured;

#[derive(Default)]
pub(crate) struct Report {
    fields: String,
    wrong_bytes: u64,
}

impl Report {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let mut report = Self::default();
        let _ = write!(report.fields, "\"mode\":\"{}\"", arguments.mode.name());
        report.number("connections", arguments.connections as f64);
        report.number("size_bytes", arguments.size_bytes as f64);
        report.number("depth", arguments.depth as f64);
        report
    }

    pub(crate) fn number(&mut self, name: &str, value: f64) {
        let _ = write!(self.fields, ",\"{name}\":{}", (value * 1000.0).round() / 1000.0);
    }

    /// Rates, and costs per unit for `count` messages, connections or reads with `bytes` in total.
    pub(crate) fn measured(&mut self, measured: &Measured, count: u64, bytes: u64) {
        let seconds = measured.elapsed.as_secs_f64();
        self.number("seconds", seconds);
        self.number("count", count as f64);
        self.number("per_second", count as f64 / seconds);
        self.number("megabytes_per_second", bytes as f64 / seconds / 1e6);
        self.number("load_utilization", measured.own_time.as_secs_f64() / seconds);
        if let Some(server) = measured.server_time {
            let nanoseconds = server.as_nanos() as f64;
            self.number("server_nanoseconds", nanoseconds / count.max(1) as f64);
            self.number("server_nanoseconds_per_kib", nanoseconds / (bytes.max(1) as f64 / 1024.0));
            self.number("server_utilization", nanoseconds / 1e9 / seconds);
            let switches = measured.server_switches as f64;
            self.number("server_switches", switches / count.max(1) as f64);
        }
    }

    pub(crate) fn latency(&mut self, histogram: &Histogram) {
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)] {
            self.number(&format!("{name}_microseconds"), histogram.quantile(share));
        }
    }

    pub(crate) fn wrong(&mut self, count: u64) {
        self.wrong_bytes = count;
    }

    pub(crate) fn wrong_bytes(&self) -> u64 {
        self.wrong_bytes
    }

    pub(crate) fn to_json(&self) -> String {
        format!("{{{},\"wrong\":{}}}", self.fields, self.wrong_bytes)
    }
}
