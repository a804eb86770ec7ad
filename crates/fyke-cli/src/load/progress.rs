//! A bar on a terminal.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::Load;

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    answers: Cell<u64>,
    told: Cell<(Duration, u64)>,
}

impl Progress {
    pub(super) fn new(options: &Load) -> Self {
        let seen = !options.quiet && std::io::stderr().is_terminal();
        let bar = seen.then(|| {
            let length = u64::try_from(options.duration.as_millis()).unwrap_or(u64::MAX);
            let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
                bar.set_style(style);
            }
            bar.set_message("connecting");
            bar
        });
        Self { bar, answers: Cell::default(), told: Cell::default() }
    }

    pub(super) fn begin(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message("");
        }
    }

    pub(super) fn answered(&self) {
        self.answers.set(self.answers.get() + 1);
    }

    pub(super) fn tick(&self, elapsed: Duration) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let (told_at, told) = self.told.get();
        let since = elapsed.saturating_sub(told_at);
        if since >= Duration::from_millis(500) {
            let answers = self.answers.get();
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            let rate = (answers - told) as f64 / since.as_secs_f64();
            bar.set_message(format!("{rate:.0}/s"));
            self.told.set((elapsed, answers));
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
