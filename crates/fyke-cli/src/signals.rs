//! Signals as events of the loop. The signal handler writes to a socket pair, whose other end is an
//! ordinary socket of the loop.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fyke::{Socket, timer};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

use crate::failure::Failure;
use crate::{log, streams};

/// Whether a signal that ends the command was received. Threads and code that waits outside of the
/// loop also read it.
static ENDING: AtomicBool = AtomicBool::new(false);
/// The signal's number, or 0.
static ENDING_BY: AtomicUsize = AtomicUsize::new(0);

/// The pause before a socket that failed is replaced.
const REPLACE_PAUSE: Duration = Duration::from_millis(100);

/// Returns whether a signal that ends the command was received. It is always false for commands
/// that do not [watch](Ending::watch) signals: the system ends them.
pub(crate) fn have_come() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Makes a write that exceeds the file size limit (`ulimit -f`) fail, like a write to a full disk,
/// instead of ending the process.
pub(crate) fn survive_file_size_limit() {
    static IGNORED: AtomicBool = AtomicBool::new(false);
    // If the handler cannot be installed, the signal ends the process, as by default.
    let _ = flag::register(SIGXFSZ, &IGNORED);
}

/// Runs `f` on the loop for every signal of this kind. It does not keep the loop alive.
pub(crate) fn on_signal(signal: i32, f: impl FnMut() + 'static) -> Result<(), Failure> {
    let failed = |error| Failure::System("cannot install a signal handler", error);
    let come = Arc::new(AtomicBool::new(false));
    flag::register(signal, Arc::clone(&come)).map_err(failed)?;
    Rc::new(Watch { signal, come, f: RefCell::new(f) }).connect()
}

struct Watch<F> {
    signal: i32,
    /// A signal was received for which `f` has not been run yet.
    come: Arc<AtomicBool>,
    f: RefCell<F>,
}

impl<F: FnMut() + 'static> Watch<F> {
    /// Creates the socket pair. If the loop's end fails or is closed, a new pair replaces it.
    fn connect(self: &Rc<Self>) -> Result<(), Failure> {
        let failed = |error| Failure::System("cannot install a signal handler", error);
        let (ours, handlers) = UnixStream::pair().map_err(failed)?;
        let id = low_level::pipe::register(self.signal, handlers).map_err(failed)?;
        let socket = Socket::from_fd(ours.into())?;
        socket.unref_loop();
        let same = Rc::clone(self);
        // Several signals at once may arrive as one byte or as several.
        socket.on_data(move |_, _| same.look());
        socket.on_error(|_, error| log::note(format_args!("signals may be delayed: {error}")));
        let same = Rc::clone(self);
        socket.on_close(move |_, _| {
            low_level::unregister(id);
            same.replace();
        });
        Ok(())
    }

    fn look(&self) {
        if self.come.swap(false, Ordering::SeqCst) {
            (self.f.borrow_mut())();
        }
    }

    fn replace(self: &Rc<Self>) {
        let same = Rc::clone(self);
        let again = timer::set_timeout(REPLACE_PAUSE, move || {
            match same.connect() {
                // A signal may have been received in the meantime.
                Ok(()) => same.look(),
                Err(_) => same.replace(),
            }
        });
        // This fails only if the loop has ended.
        if let Ok(timer) = again {
            timer.unref_loop();
        }
    }
}

/// The signals by which users and systems end a command.
#[derive(Clone, Copy)]
pub(crate) struct Ending(());

impl Ending {
    /// Runs `f` at the first of these signals. A second signal ends the process at once.
    pub(crate) fn watch(f: impl Fn() + 'static) -> Result<Self, Failure> {
        Self::watch_each(&[SIGINT, SIGTERM, SIGHUP], &Rc::new(f))
    }

    /// Watches signals as [`watch`](Self::watch) does, except for SIGHUP, which runs `reload`. It still ends the command
    /// if it was sent because the terminal was closed.
    pub(crate) fn watch_with_reload(
        f: impl Fn() + 'static,
        reload: impl Fn() + 'static,
    ) -> Result<Self, Failure> {
        let f = Rc::new(f);
        let ending = Self::watch_each(&[SIGINT, SIGTERM], &f)?;
        let had_terminal = has_terminal();
        on_signal(SIGHUP, move || {
            if had_terminal && !has_terminal() {
                ENDING_BY.store(usize::try_from(SIGHUP).unwrap_or_default(), Ordering::SeqCst);
                ENDING.store(true, Ordering::SeqCst);
                f();
            } else {
                reload();
            }
        })?;
        Ok(ending)
    }

    fn watch_each(signals: &[i32], f: &Rc<impl Fn() + 'static>) -> Result<Self, Failure> {
        for signal in signals.iter().copied() {
            let failed = |error| Failure::System("cannot install a signal handler", error);
            flag::register_conditional_default(signal, &ENDING).map_err(failed)?;
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, &ENDING_BY, number).map_err(failed)?;
            flag::register(signal, &ENDING).map_err(failed)?;
            let f = Rc::clone(f);
            on_signal(signal, move || f())?;
        }
        Ok(Self(()))
    }

    pub(crate) fn came(self) -> bool {
        have_come()
    }

    /// Ends the process by the signal that was received, so that a shell sees which signal it was.
    /// Returns if there was none.
    pub(crate) fn die(self) {
        if let Ok(signal @ 1..) = i32::try_from(ENDING_BY.load(Ordering::SeqCst)) {
            streams::flush();
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

/// Returns whether this session has a terminal. One that is closed is removed from its session before SIGHUP is sent.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}
