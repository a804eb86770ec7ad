//! Ending our side: everything written goes out, then the peer is told (END-01 … END-17).

use fyke_driver::SocketId;

use super::callback::Done;
use super::writing::queue_is_full;
use super::{Event, Socket};
use crate::payload::Payload;
use crate::wiring::Tick;
use crate::{Error, ErrorCode, Result};

/// # Ending
impl Socket {
    /// Ends our side: everything written is sent, then the peer gets end-of-stream. `finish` tells
    /// when the kernel has it all. The peer may go on sending; when it has ended too, the socket
    /// closes by itself. While connecting, the end waits for the connection. Repeating it does
    /// nothing. Node: `socket.end()`.
    pub fn end(&self) -> &Self {
        self.end_payload(None, None);
        self
    }

    /// Writes a last piece, and ends. Node: `socket.end(data)`.
    pub fn end_with<'a>(&self, data: impl Into<Payload<'a>>) -> &Self {
        self.end_payload(Some(data.into()), None);
        self
    }

    /// Ends, and tells `callback` just before `finish`, or why it will never come:
    /// `ERR_STREAM_ALREADY_FINISHED`, `ERR_STREAM_DESTROYED`, or the error of the connection.
    /// Node: `socket.end(callback)`.
    pub fn end_then(&self, callback: impl FnOnce(&Socket, Result<()>) + 'static) -> &Self {
        self.end_payload(None, Some(Box::new(callback)));
        self
    }

    /// Writes a last piece, ends, and tells `callback`. Node: `socket.end(data, callback)`.
    pub fn end_with_then<'a>(
        &self,
        data: impl Into<Payload<'a>>,
        callback: impl FnOnce(&Socket, Result<()>) + 'static,
    ) -> &Self {
        self.end_payload(Some(data.into()), Some(Box::new(callback)));
        self
    }

    fn end_payload(&self, payload: Option<Payload<'_>>, callback: Option<Done>) {
        let refused = match payload {
            Some(payload) => self.last_write(payload),
            None => None,
        };
        self.uncork_to_end();
        let failed = refused.or_else(|| self.begin_end());
        if let Some(callback) = callback {
            let exact = self.node_exact();
            let finished = self.inner.state.borrow().write.finished;
            match failed {
                Some(error) => self.reply(callback, Err(error)),
                None if finished => self.reply(callback, Ok(())),
                None if self.inner.state.borrow().has_too_many_end_callbacks(exact) => {
                    self.refused(queue_is_full(), Some(callback));
                }
                None => self.inner.state.borrow_mut().write.push_end_callback(callback),
            }
        }
        self.sync_hold();
    }

    /// The write in `end(data)`. Says why it was refused.
    fn last_write(&self, payload: Payload<'_>) -> Option<Error> {
        let code = {
            let state = self.inner.state.borrow();
            match (state.write.ending, state.destroyed()) {
                // Not EPIPE, whoever ended first: that is for `write` alone (END-03).
                (true, _) => Some(ErrorCode::ERR_STREAM_WRITE_AFTER_END),
                (_, true) => Some(ErrorCode::ERR_STREAM_DESTROYED),
                _ => None,
            }
        };
        let error = code.map(|code| Error::new(code, "the socket takes no more writes"));
        // What else there is: the queue is too long.
        let error = error.or_else(|| self.refuse_write());
        match &error {
            Some(error) => self.refused(error.clone(), None),
            None => _ = self.write_payload(payload, None),
        }
        error
    }

    fn uncork_to_end(&self) {
        let exact = self.node_exact();
        let leaves = {
            let mut state = self.inner.state.borrow_mut();
            let corked = state.write.corked() > 0;
            state.write.uncork_all();
            if state.connecting && exact {
                state.write.park();
            }
            corked && state.connected().is_some() && state.write.can_hand_over()
        };
        if leaves {
            // As in `uncork` (TMO-02).
            self.touch();
        }
        if exact {
            // An error that shows now keeps the end from being one (WR-17).
            self.hand_over();
        }
    }

    /// Says why there is nothing to end.
    fn begin_end(&self) -> Option<Error> {
        let over = |code| Some(Error::new(code, "the socket has ended already"));
        {
            let exact = self.node_exact();
            let mut state = self.inner.state.borrow_mut();
            if state.write.finished {
                return over(ErrorCode::ERR_STREAM_ALREADY_FINISHED);
            }
            let first = !state.has_failed() && !state.write.ending;
            // Counts for later writes also when destroyed (WR-16).
            state.write.ending |= first;
            if state.destroyed() {
                // Always told, where Node forgets a callback (DST-18).
                return if first && exact { None } else { over(ErrorCode::ERR_STREAM_DESTROYED) };
            }
            if state.has_failed() {
                return state.errored();
            }
        }
        self.hand_over();
        self.finish_if_done();
        None
    }

    /// Ends the connection's writing side when `end` was called and everything is sent.
    pub(super) fn finish_if_done(&self) {
        if self.never_finishes() {
            return;
        }
        let exact = self.node_exact();
        let id = {
            let mut state = self.inner.state.borrow_mut();
            // News of the last writes may be due in the next turn (`tell_written`), and comes first.
            let told = exact || !state.write.owes_callbacks();
            let can = state.write.can_finish() && !state.destroyed() && !state.has_failed();
            if !can || !told || state.write.shutting_down {
                return;
            }
            state.write.shutting_down = true;
            if state.connecting {
                // Goes on when the connection stands (END-04).
                return;
            }
            state.id
        };
        match id {
            Some(id) => self.shut_down(id),
            // Never connected: there is nothing to wait for (END-05).
            None => self.tick(Tick::FinishAlone),
        }
    }

    fn shut_down(&self, id: SocketId) {
        let Some(core) = self.core() else { return };
        if core.node_exact {
            self.shut_down_later(id);
        } else if self.closes_next() {
            self.tick(Tick::ShutDown);
        } else {
            core.driver.shutdown(id);
        }
    }

    /// Whether nothing is left but `finish`, after which the socket is closed (END-13). Closing ends
    /// the connection too, with FIN as everything was received (RFC 9293, 3.6): that saves a system
    /// call. Not of a descriptor that came from outside, which others may hold open.
    fn closes_next(&self) -> bool {
        let state = self.inner.state.borrow();
        state.origin.is_some() && state.read.end_emitted && state.read.has_ended()
    }

    /// The connection stands, and an end waited for it.
    pub(super) fn end_after_connect(&self) {
        if self.never_finishes() {
            return;
        }
        let id = {
            let state = self.inner.state.borrow();
            state.connected().filter(|_| state.write.shutting_down)
        };
        if let Some(id) = id {
            self.shut_down(id);
        }
    }

    pub(super) fn was_shut_down(&self) {
        let state = self.inner.state.borrow();
        let due = state.write.can_finish() && !state.destroyed() && !state.has_failed();
        drop(state);
        if due {
            self.emit(Event::Prefinish);
            self.tick_now(Tick::Finish);
        }
    }

    /// "Not connected" counts as done: the peer is gone (END-16).
    pub(super) fn shutdown_failed(&self, source: std::io::Error) {
        if source.kind() == std::io::ErrorKind::NotConnected {
            return self.was_shut_down();
        }
        let error = Error::system("shutdown", source);
        let callbacks = self.inner.state.borrow_mut().write.take_end_callbacks();
        for callback in callbacks {
            callback(self, Err(error.clone()));
        }
        self.fail(error);
    }

    /// The tick of `finish` of a socket that was never connected.
    pub(super) fn run_finish_alone(&self) {
        if !self.destroyed() {
            self.emit(Event::Prefinish);
        }
        self.run_finish();
    }

    /// The tick of `finish`: the callbacks of `end`, then the event, then the end of the socket if
    /// the peer has ended too (END-13).
    pub(super) fn run_finish(&self) {
        {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                return;
            }
            state.write.finished = true;
        }
        let callbacks = self.inner.state.borrow_mut().write.take_end_callbacks();
        for callback in callbacks {
            callback(self, Ok(()));
        }
        self.emit(Event::Finish);
        let destroy = {
            let state = self.inner.state.borrow();
            state.read.end_emitted || state.destroy_on_finish
        };
        if destroy {
            self.destroy_finished();
        }
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

    /// No system lets a stream socket fail so: what a driver would say is said in its place, while
    /// its own answer is still to come.
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
            let [told, finished, failed, closed] = [(); 4].map(|()| add(&log));
            let target = server.clone();
            server.listen(("127.0.0.1", 0), move |_| {
                let client = Socket::new();
                client.on_finish(move |_| finished("finish".to_owned()));
                client.on_error(move |client, error| {
                    assert!(client.destroyed() && !client.writable_finished());
                    failed(format!("{} {}", error.syscall().unwrap(), error.code()));
                });
                client.on_close(move |_, had_error| closed(format!("close {had_error}")));
                let connected = move |client: &Socket| {
                    client.resume();
                    client.end_then(move |_, result| told(format!("end {}", result.is_ok())));
                    ends_with(client, error);
                };
                client.connect(target.endpoint().unwrap(), connected).unwrap();
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
