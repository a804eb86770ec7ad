//! Signals, as events of the loop: the handler writes to a socket pair whose other end is a socket
//! like any other.

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fyke::Socket;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::failure::Failure;

/// Runs `f` on the loop for every signal of this kind. It does not keep the loop alive.
pub(crate) fn on_signal(signal: i32, mut f: impl FnMut() + 'static) -> Result<(), Failure> {
    let failed = |error| Failure::System("a signal handler", error);
    let (ours, handlers) = UnixStream::pair().map_err(failed)?;
    low_level::pipe::register(signal, handlers).map_err(failed)?;
    let socket = Socket::from_fd(ours.into())?;
    socket.unref();
    // Several at once may be one byte or several.
    socket.on_data(move |_, _| f());
    Ok(())
}

/// The signals by which people and systems end a command.
#[derive(Clone, Default)]
pub(crate) struct Ending {
    by: Rc<Cell<Option<i32>>>,
}

impl Ending {
    /// Runs `f` at the first of them. A second one ends the process at once.
    pub(crate) fn watch(f: impl Fn() + 'static) -> Result<Self, Failure> {
        let ending = Self::default();
        let (f, armed) = (Rc::new(f), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let failed = |error| Failure::System("a signal handler", error);
            flag::register_conditional_default(signal, Arc::clone(&armed)).map_err(failed)?;
            flag::register(signal, Arc::clone(&armed)).map_err(failed)?;
            let (by, f) = (Rc::clone(&ending.by), Rc::clone(&f));
            on_signal(signal, move || {
                by.set(Some(signal));
                f();
            })?;
        }
        Ok(ending)
    }

    pub(crate) fn came(&self) -> bool {
        self.by.get().is_some()
    }

    /// Dies by the signal that came, so that a shell sees what it was. Returns if none did.
    pub(crate) fn die(&self) {
        if let Some(signal) = self.by.get() {
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}
