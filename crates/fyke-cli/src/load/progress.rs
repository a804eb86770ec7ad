//! A progress bar on a terminal.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::arguments::Load;
use crate::status_line::StatusLine;

pub(super) struct Progress {
    line: Option<StatusLine>,
    duration: Duration,
    /// The text after the bar.
    message: RefCell<String>,
    answers: Cell<u64>,
    shown: Cell<(Duration, u64)>,
}

impl Progress {
    pub(super) fn new(options: &Load) -> Self {
        Self {
            line: if options.quiet { None } else { StatusLine::on_terminal() },
            duration: options.duration,
            message: RefCell::new(String::from("connecting")),
            answers: Cell::default(),
            shown: Cell::default(),
        }
    }

    pub(super) fn begin(&self) {
        self.message.borrow_mut().clear();
    }

    pub(super) fn answered(&self) {
        self.answers.set(self.answers.get() + 1);
    }

    pub(super) fn tick(&self, elapsed: Duration) {
        let Some(line) = &self.line else { return };
        let (shown_at, shown) = self.shown.get();
        let since = elapsed.saturating_sub(shown_at);
        if since >= Duration::from_millis(500) {
            let answers = self.answers.get();
            #[expect(clippy::cast_precision_loss, reason = "for display")]
            let rate = (answers - shown) as f64 / since.as_secs_f64();
            *self.message.borrow_mut() = format!("{rate:.0}/s");
            self.shown.set((elapsed, answers));
        }
        let message = self.message.borrow();
        let width = line.columns().saturating_sub(message.len() + 3);
        let part = elapsed.as_secs_f64() / self.duration.as_secs_f64().max(0.001);
        line.show(&format!("[{}] {message}", bar(part, width)));
    }

    pub(super) fn end(&self) {
        if let Some(line) = &self.line {
            line.clear();
        }
    }
}

fn bar(part: f64, width: usize) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "for display"
    )]
    let done = ((part * width as f64) as usize).min(width);
    format!("{:width$}", "=".repeat(done))
}
