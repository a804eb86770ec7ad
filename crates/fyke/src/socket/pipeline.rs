//! Piping with an outcome: a pipe that destroys both ends when one fails, and tells once how it
//! went (STR-07).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Socket;
use super::finished::{Directions, premature_close};
use crate::listeners::ListenerId;
use crate::{Error, ErrorCode, Result};

/// Pipes `source` into `destination`, and tells `callback` once how that went.
///
/// `Ok` when everything that came from `source` until its peer's end is with the kernel, and
/// `destination` is ended: just after its `finish`. The two sockets then go on, or close, as they do
/// by themselves.
///
/// If one of them fails before that, both are destroyed with its error, and `callback` gets it; the
/// error counts as heard, also without an `on_error`. A socket that is closed too early without an
/// error counts as failed with `ERR_STREAM_PREMATURE_CLOSE`. A `source` whose peer has ended is left
/// alone. A TCP connection whose side has not ended is closed by RST, so that its peer does not take
/// what it has received for the whole.
///
/// Node: `stream.pipeline(source, destination, callback)`, which closes the connections without RST.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|client| {
///         client.server().unwrap().close();
///         fyke::pipeline(client, client, |result| assert!(result.is_ok()));
///     });
///     server.listen_then(0, |server| {
///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
///         client.end_with("hello").resume();
///     })
/// })
/// # }
/// ```
pub fn pipeline(
    source: &Socket,
    destination: &Socket,
    callback: impl FnOnce(Result<()>) + 'static,
) {
    let pipeline = Rc::new(Pipeline {
        source: source.clone(),
        destination: destination.clone(),
        waits: Cell::new(2),
        error: RefCell::default(),
        at_source: RefCell::default(),
        at_destination: RefCell::default(),
        callback: Cell::new(Some(Box::new(callback))),
    });
    pipeline.listen();
    source.pipe(destination);
    let [read, written] = [Rc::clone(&pipeline), pipeline];
    source.when_done(Directions::Reading, Box::new(move |_, result| read.one_done(result)));
    destination.when_done(Directions::Writing, Box::new(move |_, result| written.one_done(result)));
}

struct Pipeline {
    source: Socket,
    destination: Socket,
    /// How many directions are not done: the reading of the source, the writing of the destination.
    waits: Cell<u8>,
    error: RefCell<Option<Error>>,
    at_source: RefCell<Vec<ListenerId>>,
    at_destination: RefCell<Vec<ListenerId>>,
    callback: Cell<Option<Box<dyn FnOnce(Result<()>)>>>,
}

impl Pipeline {
    /// What happens to one after its own direction is done is the other's business too.
    fn listen(self: &Rc<Self>) {
        let [read_failed, over, write_failed, closed] = std::array::from_fn(|_| Rc::clone(self));
        if !self.source.has_closed() {
            // Until its `close`: when it fails later, while it ends by itself, nothing is lost, and
            // nobody need hear of it.
            *self.at_source.borrow_mut() = vec![
                self.source.on_error(move |_, error| read_failed.fail(error)),
                self.source.on_close(move |source, _| source.off_all(over.at_source.take())),
            ];
        }
        if !self.destination.has_closed() {
            *self.at_destination.borrow_mut() = vec![
                self.destination.on_error(move |_, error| write_failed.fail(error)),
                self.destination.on_close(move |_, _| {
                    if !closed.source.is_readable_ended() {
                        closed.fail(&premature_close());
                    }
                }),
            ];
        }
    }

    fn one_done(&self, result: Result<()>) {
        if let Err(error) = result {
            self.fail(&error);
        }
        self.waits.set(self.waits.get() - 1);
        if self.waits.get() > 0 {
            return;
        }
        self.destination.off_all(self.at_destination.take());
        let Some(callback) = self.callback.take() else { return };
        callback(self.error.take().map_or(Ok(()), Err));
    }

    /// Destroys both, but for one whose direction is done.
    fn fail(&self, error: &Error) {
        if self.waits.get() == 0 {
            return;
        }
        {
            let mut first = self.error.borrow_mut();
            // That it was closed is no reason, if there is one.
            let vague = ErrorCode::ERR_STREAM_PREMATURE_CLOSE;
            if first.as_ref().is_none_or(|first| first.code() == vague) {
                *first = Some(error.clone());
            }
        }
        if !self.source.is_readable_ended() {
            let failed = error.clone();
            self.source.step(|machine, cx, fx| machine.fail_with_reset(failed, cx, fx));
        }
        if !self.destination.is_writable_finished() {
            let failed = error.clone();
            self.destination.step(|machine, cx, fx| machine.fail_with_reset(failed, cx, fx));
        }
    }
}
