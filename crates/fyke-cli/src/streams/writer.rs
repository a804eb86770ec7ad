//! The threads that write to standard output and standard error, so that the event loop never waits
//! for the processes that read them.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fyke::LoopHandle;

use super::queue::{Item, Queue};
use super::{Stream, is_same_file};
use crate::json::Line;
use crate::signals;

/// A line is dropped and counted if others are queued and it would make the queue longer than this.
const LINES_BYTES_MAX: usize = 128 * 1024;
/// `push_data` waits while more bytes than this are queued.
const DATA_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections are paused while more bytes than the first limit are queued, and resumed at the
/// second limit.
const FULL_BYTES: usize = 256 * 1024;
const LOW_BYTES: usize = 64 * 1024;
/// The period at which a waiting thread checks for a signal.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How long to wait for a queue that makes no progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) usual: Option<Duration>,
    /// The limit after a signal that ends the command was received.
    pub(crate) signalled: Duration,
}

impl Patience {
    /// Data waits for its reader without a time limit.
    pub(crate) const DATA: Self = Self { usual: None, signalled: Duration::from_millis(200) };
    pub(crate) const LOG: Self =
        Self { usual: Some(Duration::from_secs(1)), signalled: Duration::from_millis(200) };

    fn limit(self) -> Option<Duration> {
        if signals::have_come() { Some(self.signalled) } else { self.usual }
    }
}

/// Writes to one of the streams, or to both if they are the same file, so that their order is kept.
pub(crate) struct Writer {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: Queue,
    started: bool,
    /// The number of bytes written so far.
    progress: u64,
    /// The error because of which nothing more can be printed.
    output_failed: Option<io::Error>,
    /// The loop to wake up when there is room again, or when printing fails.
    event_loop: Option<LoopHandle>,
    wakes: bool,
}

/// The writer of standard output. It also writes standard error if both are the same file.
static FIRST: Writer = Writer::new();
/// The writer of standard error if that is another file.
static SECOND: Writer = Writer::new();
static IS_SAME_FILE: OnceLock<bool> = OnceLock::new();

/// Waits until everything is written, or until there is no progress.
pub(crate) fn flush() {
    FIRST.flush(Stream::Output, Patience::LOG);
    Writer::of(Stream::Errors).flush(Stream::Errors, Patience::LOG);
}

impl Writer {
    const fn new() -> Self {
        Self { state: Mutex::new(State::new()), changed: Condvar::new() }
    }

    pub(crate) fn of(stream: Stream) -> &'static Self {
        let is_same = || is_same_file(io::stdout(), io::stderr());
        match stream {
            Stream::Errors if !*IS_SAME_FILE.get_or_init(is_same) => &SECOND,
            _ => &FIRST,
        }
    }

    /// Sets the loop that is woken up when there is room again after [`is_full`](Self::is_full), or
    /// when standard output fails.
    pub(crate) fn wakes(&self, event_loop: LoopHandle) {
        self.lock().event_loop = Some(event_loop);
    }

    /// Queues data. It waits only while far too much is queued, until the reader has caught up or a
    /// signal was received.
    pub(crate) fn push_data(&'static self, stream: Stream, bytes: &[u8]) {
        let mut state = self.lock();
        while state.queue.level(stream).bytes > DATA_BYTES_MAX
            && state.output_failed.is_none()
            && !signals::have_come()
        {
            state = self.wait(state);
        }
        if stream == Stream::Output && state.output_failed.is_some() {
            return;
        }
        // If the reader is fast, which is usual, this saves a copy and a thread switch.
        let direct = state.queue.is_all_written();
        let written = if direct { stream.write_now(bytes) } else { 0 };
        if written < bytes.len() {
            state.queue.push_data(stream, &bytes[written..]);
            self.start(state);
        }
    }

    /// Queues a line if there is room for it. Otherwise the line is dropped and counted, and the
    /// next line for which there is room reports the number of missing lines before it.
    pub(crate) fn push_line(&'static self, stream: Stream, line: String) {
        let mut state = self.lock();
        if stream == Stream::Output && state.output_failed.is_some() {
            return;
        }
        let level = state.queue.level(stream);
        // Few long gaps are better than many short ones.
        let most = if level.dropped > 0 { LINES_BYTES_MAX / 2 } else { LINES_BYTES_MAX };
        if level.bytes > 0 && level.bytes + line.len() > most {
            level.dropped += 1;
            return;
        }
        state.report_dropped(stream);
        state.queue.push_line(stream, line);
        self.start(state);
    }

    /// Queues a line regardless of the length of the queue.
    pub(crate) fn push_last_line(&'static self, stream: Stream, line: String) {
        let mut state = self.lock();
        state.report_dropped(stream);
        state.queue.push_line(stream, line);
        self.start(state);
    }

    /// Returns whether nothing waits to be written.
    pub(crate) fn is_idle(&self, stream: Stream) -> bool {
        self.lock().queue.level(stream).bytes == 0
    }

    /// Returns whether no more data for standard output should be read for now. If so, the loop is
    /// woken up when there is room again.
    pub(crate) fn is_full(&self, was_full: bool) -> bool {
        let mut state = self.lock();
        let most = if was_full { LOW_BYTES } else { FULL_BYTES };
        let full = state.output_failed.is_none() && state.queue.level(Stream::Output).bytes > most;
        state.wakes |= full;
        full
    }

    pub(crate) fn output_has_failed(&self) -> bool {
        self.lock().output_failed.is_some()
    }

    /// Returns the error because of which nothing more can be printed. Its details are returned
    /// once.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        let mut state = self.lock();
        let error = state.output_failed.as_ref()?;
        let gone = io::Error::from(error.kind());
        state.output_failed.replace(gone)
    }

    /// Waits until everything is written or nothing more can be written, within the limits of
    /// `patience`.
    pub(crate) fn flush(&self, stream: Stream, patience: Patience) {
        let mut state = self.lock();
        let (mut progress, mut since) = (state.progress, Instant::now());
        while state.queue.level(stream).bytes > 0 || state.queue.level(stream).dropped > 0 {
            if state.progress != progress {
                (progress, since) = (state.progress, Instant::now());
            }
            if patience.limit().is_some_and(|limit| since.elapsed() >= limit) {
                return;
            }
            state = self.wait(state);
        }
    }

    /// Ignores a panic of another thread that held the lock, because it leaves no inconsistent
    /// state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, LOOK_PERIOD);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Ensures that queued items are written.
    fn start(&'static self, mut state: MutexGuard<'_, State>) {
        if !state.started {
            let thread = thread::Builder::new().name(String::from("writer"));
            state.started = thread.spawn(|| self.run()).is_ok();
        }
        let started = state.started;
        drop(state);
        if started {
            self.changed.notify_all();
        } else {
            // If no thread could be started, the caller writes, and waits.
            while let Some(item) = self.next_item() {
                self.write(&item);
            }
        }
    }

    /// The body of the thread.
    fn run(&self) {
        loop {
            while let Some(item) = self.next_item() {
                self.write(&item);
            }
            let idle = |state: &mut State| state.queue.is_empty();
            drop(self.changed.wait_while(self.lock(), idle));
        }
    }

    fn next_item(&self) -> Option<Item> {
        let mut state = self.lock();
        if state.queue.is_empty() {
            state.report_dropped(Stream::Output);
            state.report_dropped(Stream::Errors);
        }
        state.queue.pop()
    }

    fn write(&self, item: &Item) {
        let mut rest = item.bytes.len();
        let written = item.stream.write_all_and_count(&item.bytes, |count| {
            rest -= count;
            self.wrote(item.stream, count);
        });
        if let Err(error) = written {
            self.failed(item.stream, rest, error);
        }
    }

    fn wrote(&self, stream: Stream, count: usize) {
        let mut state = self.lock();
        state.queue.written(stream, count);
        state.progress += count as u64;
        if state.wakes && state.queue.level(Stream::Output).bytes <= LOW_BYTES {
            state.wake();
        }
        drop(state);
        self.changed.notify_all();
    }

    fn failed(&self, stream: Stream, rest: usize, error: io::Error) {
        let mut state = self.lock();
        match stream {
            Stream::Output => {
                state.output_failed = Some(error);
                state.queue.discard(stream);
                state.wake();
            }
            // The next line is tried again, because a disk may have room again.
            Stream::Errors => state.queue.written(stream, rest),
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    const fn new() -> Self {
        Self {
            queue: Queue::new(),
            started: false,
            progress: 0,
            output_failed: None,
            event_loop: None,
            wakes: false,
        }
    }

    /// Queues a line with the number of missing lines at this point.
    fn report_dropped(&mut self, stream: Stream) {
        let count = std::mem::take(&mut self.queue.level(stream).dropped);
        if count > 0 {
            self.queue.push_line(stream, notice(stream, count));
        }
    }

    fn wake(&mut self) {
        self.wakes = false;
        if let Some(event_loop) = &self.event_loop {
            event_loop.wake();
        }
    }
}

fn notice(stream: Stream, count: u64) -> String {
    match stream {
        Stream::Output => Line::event("dropped").with("lines", count).finish() + "\n",
        Stream::Errors => {
            let lines = if count == 1 { "line" } else { "lines" };
            format!("fyke: {count} {lines} dropped, because standard error is not read\n")
        }
    }
}
