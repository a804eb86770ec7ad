//! The system calls that a driver says it makes: its `tracing` events.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The calls made by `run` on this thread, each with what it was about:
/// `setsockopt option=NoDelay(true)`. Nothing without the feature `tracing`.
pub(crate) fn of(run: impl FnOnce()) -> Vec<String> {
    let steps = Steps::default();
    tracing::subscriber::with_default(Steps(Arc::clone(&steps.0)), run);
    std::mem::take(&mut steps.0.lock().unwrap())
}

/// Those of one call, without its name.
pub(crate) fn named(call: &str, run: impl FnOnce()) -> Vec<String> {
    let steps = of(run).into_iter();
    steps.filter_map(|step| Some(step.strip_prefix(call)?.trim().to_owned())).collect()
}

#[derive(Default)]
struct Steps(Arc<Mutex<Vec<String>>>);

impl Subscriber for Steps {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "fyke::step"
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event(&self, event: &Event<'_>) {
        let mut step = Step(String::new());
        event.record(&mut step);
        self.0.lock().unwrap().push(step.0);
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

struct Step(String);

impl Visit for Step {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "call" => write!(self.0, "{value:?}").unwrap(),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}
