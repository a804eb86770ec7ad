//! The end of a connection that has failed. If requested, data that was received before is delivered first.

use super::Socket;

/// # Errors
impl Socket {
    /// Sets whether bytes that were received before the connection failed are delivered before `error` and
    /// `close`. Default false, as in Node: a socket that fails while it is paused discards the data that it
    /// has not delivered.
    ///
    /// If true, a socket whose peer resets the connection stays open until all received data is delivered;
    /// a paused socket delivers it after [`resume`](Self::resume). [`destroy`](Self::destroy) still
    /// discards it. This is meant for relays, which pause one connection while the other is slow. It has no
    /// effect on a [`node_exact`](crate::EventLoopBuilder::node_exact) loop. No counterpart in Node.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert!(!socket.delivers_before_error());
    /// socket.set_deliver_before_error(true);
    /// assert!(socket.delivers_before_error());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn set_deliver_before_error(&self, deliver: bool) {
        self.inner.state.borrow_mut().change().set_deliver_before_error(deliver);
    }

    /// Returns whether received bytes are delivered before an error. Default false. No counterpart in
    /// Node.
    pub fn delivers_before_error(&self) -> bool {
        self.inner.state.borrow().delivers_before_error()
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

    /// Returns what the peer sees of a connection on which an operation fails although the connection is
    /// intact. No system can be made to do that, so the test injects the failure in the driver's place.
    fn seen_by_the_peer(kind: DriverKind, exact: bool, operation: Operation) -> Vec<String> {
        let log: Rc<RefCell<Vec<String>>> = Rc::default();
        let event_loop = EventLoop::builder().driver(kind).node_exact(exact).build().unwrap();
        let [data, end, error, close] = std::array::from_fn(|_| log.clone());
        let setup = || {
            let server = crate::create_server(move |socket| {
                socket.server().unwrap().close();
                let [data, end, error, close] = [&data, &end, &error, &close].map(Rc::clone);
                socket.on_data(move |_, bytes| data.borrow_mut().push(format!("{}", bytes.len())));
                socket.on_end(move |_| end.borrow_mut().push("end".to_owned()));
                socket
                    .on_error(move |_, failed| error.borrow_mut().push(failed.code().to_string()));
                socket.on_close(move |_, _| close.borrow_mut().push("close".to_owned()));
                let _ = socket.write("go");
            });
            let target = server.clone();
            server.listen_then(("127.0.0.1", 0), move |_| {
                let client = Socket::new();
                client.on_error(|_, error| assert_eq!(error.code().as_str(), "ENOBUFS"));
                client.on_data(move |client, _| {
                    let id = client.inner.state.borrow().connected().unwrap();
                    let error =
                        io::Error::from_raw_os_error(rustix::io::Errno::NOBUFS.raw_os_error());
                    client.complete(Completion::Failed { socket: id, operation, error });
                });
                client.connect(target.endpoint().unwrap()).unwrap();
            })
        };
        event_loop.enter(setup).unwrap();
        event_loop.run().unwrap();
        drop(event_loop);
        log.take()
    }

    #[test]
    fn connection_is_reset_when_an_operation_fails_so_that_no_stream_looks_complete() {
        for kind in [DriverKind::Ready, DriverKind::Uring, DriverKind::Sim(SimOptions::default())] {
            for operation in [Operation::Send, Operation::Receive] {
                let seen = seen_by_the_peer(kind.clone(), false, operation);
                assert_eq!(seen, ["ECONNRESET", "close"], "{kind:?} {operation:?}");
            }
            let as_node = seen_by_the_peer(kind.clone(), true, Operation::Send);
            assert_eq!(as_node, ["end", "close"], "{kind:?}");
        }
    }
}
