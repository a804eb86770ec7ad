//! The measured window of time: it begins after the warm-up, and ends after the requested time.

use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::process::{processor_time, voluntary_switches};

/// A window without any event is extended up to this factor, because busy machines have pauses.
const PATIENCE: Duration = Duration::from_secs(10);

/// The values that are compared at both ends of the window.
#[derive(Clone, Copy, Default)]
struct Sample {
    server_time: Duration,
    own_time: Duration,
    server_switches: u64,
}

pub(crate) struct Window {
    pid: Option<String>,
    begins: Instant,
    began: Option<(Instant, Sample)>,
    measured: Duration,
}

/// What happened in the window.
pub(crate) struct Measured {
    pub elapsed: Duration,
    pub server_time: Option<Duration>,
    pub own_time: Duration,
    pub server_switches: u64,
}

pub(crate) enum Phase {
    WarmUp,
    /// The counts so far belong to the warm-up: they are reset.
    Begins,
    Measuring,
    Over(Measured),
}

impl Window {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self {
            pid: arguments.pid.map(|pid| pid.to_string()),
            begins: Instant::now() + arguments.warm_up,
            began: None,
            measured: arguments.measured,
        }
    }

    fn sample(&self) -> Sample {
        let own_time = processor_time("self");
        let Some(pid) = &self.pid else { return Sample { own_time, ..Sample::default() } };
        Sample {
            own_time,
            server_time: processor_time(pid),
            server_switches: voluntary_switches(pid),
        }
    }

    /// `anything`: whether an event occurred since the window began.
    pub(crate) fn phase(&mut self, now: Instant, anything: bool) -> Phase {
        let patience = if anything { Duration::ZERO } else { PATIENCE };
        match self.began {
            None if now < self.begins => Phase::WarmUp,
            None => {
                let sample = self.sample();
                self.began = Some((Instant::now(), sample));
                Phase::Begins
            }
            Some((began, _)) if now < began + self.measured + patience => Phase::Measuring,
            Some((began, before)) => {
                let after = self.sample();
                Phase::Over(Measured {
                    elapsed: began.elapsed(),
                    server_time: self.pid.as_ref().map(|_| after.server_time - before.server_time),
                    own_time: after.own_time - before.own_time,
                    server_switches: after.server_switches - before.server_switches,
                })
            }
        }
    }
}
