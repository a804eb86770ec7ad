//! Ending the writing side: all written data is sent, then end-of-stream.
// END-01 … END-17

use fyke_machine::error::MakeError;
use fyke_machine::writing::NoSpares;

use super::Callback;
use super::Socket;
use super::spares::LoopSpares;
use crate::{Error, Payload, Result};

/// # Ending
impl Socket {
    /// Ends this side: all written data is sent, then the peer gets end-of-stream. `finish` is emitted when
    /// the kernel has all of it. The peer may continue to send; when it has ended too, the socket closes
    /// automatically. While the socket is connecting, the end waits until the connection is established.
    /// Does nothing if this side has already ended. Node: `socket.end()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.pipe(socket));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let _ = client.write("hello");
    ///         client.end();
    ///         assert!(!client.is_writable() && client.is_readable());
    ///         client.on_text(|_, text| assert_eq!(text, "hello", "an answer is still received"));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn end(&self) -> &Self {
        self.end_payload(None, None);
        self
    }

    /// Writes `data`, then ends this side as [`end`](Self::end) does. Node: `socket.end(data)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.end_with("hello"));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|_, text| assert_eq!(text, "hello"));
    ///         client.on_end(|_| println!("that was all"));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "end")]
    pub fn end_with<'a>(&self, data: impl Into<Payload<'a>>) -> &Self {
        self.end_payload(Some(data.into()), None);
        self
    }

    /// Ends this side as [`end`](Self::end) does, and calls `callback` once: with `Ok` just before
    /// `finish`, or with the error that prevents `finish`: `ERR_STREAM_ALREADY_FINISHED`,
    /// `ERR_STREAM_DESTROYED`, or the error of the connection. Node: `socket.end(callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let _ = client.write("hello");
    ///         client.end_then(|client, result| {
    ///             assert!(result.is_ok(), "the kernel has all bytes and the end");
    ///             assert_eq!(client.write_queue_len(), 0);
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "end")]
    pub fn end_then(&self, callback: impl FnOnce(&Socket, Result<()>) + 'static) -> &Self {
        self.end_payload(None, Some(Box::new(callback)));
        self
    }

    /// Writes `data`, ends this side, and calls `callback` once, as [`end_then`](Self::end_then) does.
    /// Node: `socket.end(data, callback)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with_then("hello", |_, result| assert!(result.is_ok()));
    ///         client.end_then(|_, result| println!("the second call: {result:?}"));
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "end")]
    pub fn end_with_then<'a>(
        &self,
        data: impl Into<Payload<'a>>,
        callback: impl FnOnce(&Socket, Result<()>) + 'static,
    ) -> &Self {
        self.end_payload(Some(data.into()), Some(Box::new(callback)));
        self
    }

    fn end_payload(&self, payload: Option<Payload<'_>>, callback: Option<Callback>) {
        // Dropped at the end of the function, while nothing is borrowed.
        let mut payload = payload;
        self.step(|machine, cx, fx| match self.core() {
            Some(core) => machine.end(&mut payload, callback, &mut LoopSpares(core), cx, fx),
            None => machine.end(&mut payload, callback, &mut NoSpares, cx, fx),
        });
    }

    /// Handles a failed shutdown. "Not connected" counts as success, because the peer is gone.
    // END-16
    pub(super) fn shutdown_failed(&self, source: std::io::Error) {
        self.ask(|machine, _, fx| match source.kind() {
            std::io::ErrorKind::NotConnected => machine.was_shut_down(fx),
            _ => machine.shutdown_failed(Error::system("shutdown", source), fx),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    use fyke_driver::{Completion, DriverKind, Operation};

    use crate::sim::SimOptions;
    use crate::{EventLoop, Socket};

    /// No system makes a stream socket fail this way, so the test passes the error in the driver's place,
    /// before the driver's own answer arrives.
    fn ends_with(socket: &Socket, error: io::ErrorKind) {
        let id = socket.inner.state.borrow().connected().unwrap();
        let operation = Operation::Shutdown;
        socket.complete(Completion::Failed { socket: id, operation, error: error.into() });
    }

    fn events_after(kind: DriverKind, error: io::ErrorKind) -> Vec<String> {
        let log: Rc<RefCell<Vec<String>>> = Rc::default();
        let add = |log: &Rc<RefCell<Vec<String>>>| {
            let log = log.clone();
            move |entry: String| log.borrow_mut().push(entry)
        };
        let event_loop = EventLoop::builder().driver(kind).build().unwrap();
        let setup = || {
            let server = crate::create_server(|socket| {
                socket.server().unwrap().close();
                socket.on_error(|_, _| {});
                socket.resume();
            });
            let [reported, finished, failed, closed] = [(); 4].map(|()| add(&log));
            let target = server.clone();
            server.listen_then(("127.0.0.1", 0), move |_| {
                let client = Socket::new();
                client.on_finish(move |_| finished("finish".to_owned()));
                client.on_error(move |client, error| {
                    assert!(client.is_destroyed() && !client.is_writable_finished());
                    failed(format!("{} {}", error.syscall().unwrap(), error.code()));
                });
                client.on_close(move |_, had_error| closed(format!("close {had_error}")));
                let connected = move |client: &Socket| {
                    client.resume();
                    client.end_then(move |_, result| reported(format!("end {}", result.is_ok())));
                    ends_with(client, error);
                };
                client.connect_then(target.endpoint().unwrap(), connected).unwrap();
            })
        };
        event_loop.enter(setup).unwrap();
        event_loop.run().unwrap();
        drop(event_loop);
        log.take()
    }

    #[test]
    fn end_16_an_error_of_shutdown_destroys_the_socket_unless_it_is_not_connected() {
        let kinds = [DriverKind::Ready, DriverKind::Uring, DriverKind::Sim(SimOptions::default())];
        for kind in kinds {
            let refused = events_after(kind.clone(), io::ErrorKind::OutOfMemory);
            assert_eq!(refused, ["end false", "shutdown ENOMEM", "close true"]);
            let gone = events_after(kind, io::ErrorKind::NotConnected);
            assert_eq!(gone, ["end true", "finish", "close false"]);
        }
    }
}
