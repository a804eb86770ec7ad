//! The log on standard error.

use std::fmt::{Arguments, Display};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::arguments::Level;
use crate::streams::{Stream, Writer};
use crate::{status_line, visible};

static LEVEL: AtomicU8 = AtomicU8::new(Level::Error as u8);
static MUTED: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Disables the log, because standard error is the connection to a peer.
pub(crate) fn mute() {
    MUTED.store(true, Ordering::Relaxed);
}

pub(crate) fn is_on(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Logs connections and disconnections.
pub(crate) fn info(line: Arguments<'_>) {
    if is_on(Level::Info) {
        note(line);
    }
}

/// Logs every attempt and decision.
pub(crate) fn debug(line: Arguments<'_>) {
    if is_on(Level::Debug) {
        note(line);
    }
}

/// Prints a line on standard error without waiting. If too many lines are queued, the line is
/// dropped and counted.
pub(crate) fn note(text: impl Display) {
    if !MUTED.load(Ordering::Relaxed) {
        Writer::of(Stream::Errors).push_line(Stream::Errors, line(text));
    }
}

/// Prints the final error message. The queue always has room for it.
pub(crate) fn last_words(text: impl Display) {
    if !MUTED.load(Ordering::Relaxed) {
        Writer::of(Stream::Errors).push_last_line(Stream::Errors, line(text));
    }
}

/// Escapes text from a peer or a host name, so that it can neither end the line nor control the
/// terminal.
fn line(text: impl Display) -> String {
    let erased = status_line::erased();
    format!("{erased}fyke: {}\n", visible::of_text(&text.to_string()))
}
