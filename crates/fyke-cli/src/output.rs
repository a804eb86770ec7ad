//! Standard output.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, Write};
use std::rc::Rc;

use crate::failure::Failure;

/// Standard output, which may be closed or full at any time. The first failure is kept, and ends
/// the command.
#[derive(Clone, Default)]
pub(crate) struct Output {
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl Output {
    /// Prints bytes as they are, at once: who reads is waiting for them.
    ///
    /// Whoever reads slowly makes this call wait, and with it the event loop. That is the
    /// backpressure: nothing more is received meanwhile, the kernel's buffers fill, and the peer
    /// has to wait.
    pub(crate) fn write(&self, bytes: &[u8]) {
        if self.is_broken() {
            return;
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if let Err(error) = written {
            *self.failed.borrow_mut() = Some(error);
        }
    }

    /// Prints a line of text.
    pub(crate) fn line(&self, line: impl Display) {
        self.write(format!("{line}\n").as_bytes());
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.failed.borrow().is_some()
    }

    /// What the command answers for it. That nobody reads any more (`| head -1`) is no failure.
    pub(crate) fn result(&self) -> Result<(), Failure> {
        match self.failed.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::System("standard output", error))
            }
            _ => Ok(()),
        }
    }
}
