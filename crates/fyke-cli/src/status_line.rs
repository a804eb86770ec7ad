//! A line on standard error that is redrawn in place if standard error is a terminal.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::streams::{Stream, Writer};
use crate::visible;

/// The sequence that moves to the beginning of the line and clears it.
const ERASE: &str = "\r\x1b[K";

static SHOWN: AtomicBool = AtomicBool::new(false);

pub(crate) struct StatusLine(());

impl StatusLine {
    /// Returns `None` unless standard error is a terminal that can redraw a line.
    pub(crate) fn on_terminal() -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
        (!dumb && Stream::Errors.columns().is_some()).then_some(Self(()))
    }

    /// Returns the number of characters that fit.
    pub(crate) fn columns(&self) -> usize {
        // Some terminals wrap the line when the last column is used.
        Stream::Errors.columns().unwrap_or(80).saturating_sub(1)
    }

    /// Replaces the text of the line. Does nothing while earlier output waits to be written, for
    /// example on a terminal that is stopped (Ctrl-S).
    pub(crate) fn show(&self, text: &str) {
        let writer = Writer::of(Stream::Errors);
        if writer.is_idle(Stream::Errors) {
            let text: String = visible::of_text(text).chars().take(self.columns()).collect();
            writer.push_line(Stream::Errors, format!("{ERASE}{text}"));
            SHOWN.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps the line on the screen and moves to the next one.
    pub(crate) fn keep(&self) {
        if SHOWN.swap(false, Ordering::Relaxed) {
            Writer::of(Stream::Errors).push_line(Stream::Errors, String::from("\n"));
        }
    }

    pub(crate) fn clear(&self) {
        Writer::of(Stream::Errors).push_line(Stream::Errors, String::from(erased()));
    }
}

/// Returns the text to print before another line. It erases the status line.
pub(crate) fn erased() -> &'static str {
    if SHOWN.swap(false, Ordering::Relaxed) { ERASE } else { "" }
}
