//! What is told on standard error besides the reason of a failure.

use std::fmt::{Arguments, Display};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::arguments::Level;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Error as u8);

pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

pub(crate) fn is_on(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Who comes and goes.
pub(crate) fn info(line: Arguments<'_>) {
    if is_on(Level::Info) {
        note(line);
    }
}

/// Every attempt and decision.
pub(crate) fn debug(line: Arguments<'_>) {
    if is_on(Level::Debug) {
        note(line);
    }
}

/// Says something on standard error. If that is closed there is nobody to tell.
pub(crate) fn note(text: impl Display) {
    // One write, so that lines of several processes do not get mixed.
    let line = format!("fyke: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
