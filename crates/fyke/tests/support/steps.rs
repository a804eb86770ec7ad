//! What is logged as `tracing` events: the system calls of a driver, and fyke's warnings.

use std::fmt::{Debug, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// The calls made by `run` on this thread, each with its details: `setsockopt option=NoDelay(true)`.
/// Empty without the feature `tracing`.
pub(crate) fn of(run: impl FnOnce()) -> Vec<String> {
    logged("fyke::step", Level::TRACE, run)
}

/// The fields of the warnings logged on this thread while `run` runs: `event=Data count=11`.
pub(crate) fn warnings(run: impl FnOnce()) -> Vec<String> {
    let lines = logged("fyke", Level::WARN, run);
    lines.iter().map(|line| line.trim().to_owned()).collect()
}

fn logged(target: &'static str, level: Level, run: impl FnOnce()) -> Vec<String> {
    let lines = Arc::default();
    with_subscriber(Log { target, level, lines: Arc::clone(&lines) }, run);
    std::mem::take(&mut lines.lock().unwrap())
}

/// Runs `run` with a subscriber on this thread.
///
/// For each event in the code, `tracing` caches whether a subscriber is interested in it. While at most
/// one subscriber exists, only the current thread's is asked when an event is reached for the first
/// time. Another thread has none, and neither has a thread that is inside a subscriber, so the event
/// would be disabled everywhere. A second subscriber makes `tracing` ask all of them.
pub(crate) fn with_subscriber(subscriber: impl Subscriber + Send + Sync, run: impl FnOnce()) {
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
    LazyLock::force(&SECOND);
    tracing::subscriber::with_default(subscriber, run);
}

/// The details of one call, without its name.
pub(crate) fn named(call: &str, run: impl FnOnce()) -> Vec<String> {
    let steps = of(run).into_iter();
    steps.filter_map(|step| Some(step.strip_prefix(call)?.trim().to_owned())).collect()
}

/// Records the events of one target, down to a level.
struct Log {
    target: &'static str,
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == self.target && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    // Spans are not enabled, so these are never called.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "call" => write!(self.0, "{value:?}").unwrap(),
            "message" => {}
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}
