//! Pipelines: a pipe that destroys both sockets if one fails, and reports the outcome once.
// STR-07

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Socket;
use super::finished::{Directions, premature_close};
use crate::listeners::ListenerId;
use crate::{Error, ErrorCode, Result};

/// Pipes `source` into `destination`, and calls `callback` once with the outcome.
///
/// The outcome is `Ok` when the kernel has all data that `source` received until its peer's end, and
/// `destination` has ended: just after its `finish`. The two sockets then continue, or close,
/// independently.
///
/// If one of them fails before that, both are destroyed with its error, and `callback` gets the error. The
/// error then counts as handled, so `on_error` is not needed. A socket that closes too early without an
/// error counts as failed with `ERR_STREAM_PREMATURE_CLOSE`. A `source` whose peer has ended is not
/// destroyed. A TCP connection whose writing side has not ended is closed with RST, so that its peer does
/// not mistake partial data for all of it.
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
    /// The number of directions that are not done: reading from the source, writing to the destination.
    waits: Cell<u8>,
    error: RefCell<Option<Error>>,
    at_source: RefCell<Vec<ListenerId>>,
    at_destination: RefCell<Vec<ListenerId>>,
    callback: Cell<Option<Box<dyn FnOnce(Result<()>)>>>,
}

impl Pipeline {
    /// Listens for the failure of either socket, also after its own direction is done.
    fn listen(self: &Rc<Self>) {
        let [read_failed, over, write_failed, closed] = std::array::from_fn(|_| Rc::clone(self));
        if !self.source.has_closed() {
            // Until the `close` of the source: if the source fails later, while it ends by itself, no data
            // is lost, and the error need not be reported.
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

    /// Destroys both sockets, except one whose direction is done.
    fn fail(&self, error: &Error) {
        if self.waits.get() == 0 {
            return;
        }
        {
            let mut first = self.error.borrow_mut();
            // A premature close is replaced by the actual error.
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
