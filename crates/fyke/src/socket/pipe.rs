//! Piping one socket into another, with backpressure and the end of the stream.
// STR-01 … STR-05

use std::cell::Cell;
use std::rc::{Rc, Weak};

use fyke_machine::connection::{self, Phase};

use super::listener::{self, Flow, News, Own};
use super::{Event, Hears, Inner, Listener, Socket};
use crate::listeners::{Lasts, ListenerId};
use crate::wiring::Tick;

/// # Piping
impl Socket {
    /// Writes everything that this socket receives to `destination`, at the pace of the destination, and
    /// ends `destination` when this socket's peer ends. `socket.pipe(&socket)` is an echo server.
    ///
    /// Every destination receives all data; the slowest one sets the pace. If a destination finishes, fails
    /// or closes, it is unpiped and this socket is paused. If this socket fails, the destination is not
    /// changed; [`pipeline`](crate::pipeline) handles the failure of both. Returns `destination`. Node:
    /// `source.pipe(destination)`.
    ///
    /// `examples/echo.rs`:
    ///
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.pipe(socket));
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with("an echo");
    ///         client.on_text(|_, text| assert!("an echo".starts_with(text)));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc = concat!("```no_run\n", include_str!("../../examples/echo.rs"), "```")]
    pub fn pipe<'a>(&self, destination: &'a Socket) -> &'a Socket {
        self.pipe_to(destination, true)
    }

    /// Pipes this socket into `destination` as [`pipe`](Self::pipe) does, but does not end `destination`
    /// when this socket's peer ends. Node: `source.pipe(destination, { end: false })`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.pipe_without_end(socket);
    ///         socket.on_end(|socket| _ = socket.end_with(", and this"));
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with("an echo");
    ///         client.on_end(|client| assert_eq!(client.bytes_read(), 17));
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "pipe")]
    pub fn pipe_without_end<'a>(&self, destination: &'a Socket) -> &'a Socket {
        self.pipe_to(destination, false)
    }

    fn pipe_to<'a>(&self, destination: &'a Socket, end: bool) -> &'a Socket {
        if self.is_over() {
            // This socket receives nothing more, and nothing would remove the pipe.
            return destination;
        }
        let ended = end && self.is_readable_ended();
        let flow = Flow { ends: end && !ended, blocked: false };
        let add = |socket: &Self, hears, end| {
            socket.inner.listeners.add(hears, Lasts::Always, Listener::Own(Rc::new(end)));
        };
        if self == destination {
            add(self, Hears::PipeItself, Own::PipeItself(Cell::new(flow)));
        } else {
            add(self, Hears::PipeSource, Own::PipeTo(destination.clone(), Cell::new(flow)));
            add(destination, Hears::PipeDestination, Own::PipeFrom(self.downgrade()));
        }
        self.data_listened();
        if ended {
            destination.tick(Tick::Machine(connection::Tick::EndItself));
        }
        if destination.needs_drain() {
            self.wait_for(destination);
        } else {
            self.resume();
        }
        destination.defer_piped(Event::Pipe, self);
        destination.tick(Tick::Piped);
        destination
    }

    /// Removes the pipe to `destination`. When the last pipe is removed, this socket is paused, and
    /// received data is queued. Node: `source.unpipe(destination)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         socket.pipe(socket);
    ///         let socket = socket.clone();
    ///         let stop = move || {
    ///             assert!(socket.unpipe(&socket).is_paused(), "further data is queued");
    ///             socket.destroy();
    ///         };
    ///         fyke::timer::set_timeout(std::time::Duration::from_millis(5), stop).unwrap();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let _ = client.write("hello");
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn unpipe(&self, destination: &Socket) -> &Self {
        if self.cut_pipe(destination) {
            destination.defer_piped(Event::Unpipe, self);
            destination.tick(Tick::Unpiped);
        }
        self
    }

    /// Removes all pipes from this socket to others. Node: `source.unpipe()`.
    #[doc(alias = "unpipe")]
    pub fn unpipe_all(&self) -> &Self {
        while let Some(destination) = self.first_destination() {
            self.unpipe(&destination);
        }
        self
    }

    /// Emitted on the tick after a call of [`pipe`](Self::pipe) has piped a socket, the second argument,
    /// into this socket. Node: `pipe`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let (source, destination) = (fyke::Socket::new(), fyke::Socket::new());
    ///     let expected = source.clone();
    ///     destination.on_pipe(move |_, source| assert!(*source == expected));
    ///     destination.on_unpipe(|_, _| println!("unpiped"));
    ///     source.pipe(&destination);
    ///     source.unpipe_all();
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "pipe")]
    pub fn on_pipe(&self, f: impl FnMut(&Socket, &Socket) + 'static) -> ListenerId {
        self.add(Event::Pipe, listener::pipe(f))
    }

    /// Emitted when the pipe from the second argument into this socket is removed by
    /// [`unpipe`](Self::unpipe), or because this socket has finished, failed or closed. It is emitted on
    /// the tick after the call, or just before `error` and `close`. Node: `unpipe`.
    #[doc(alias = "unpipe")]
    pub fn on_unpipe(&self, f: impl FnMut(&Socket, &Socket) + 'static) -> ListenerId {
        self.add(Event::Unpipe, listener::pipe(f))
    }

    /// Removes the pipes into this socket when it fails or closes. They are removed before `error` and
    /// `close`, because no event may follow `close`.
    // STR-03, contract C2
    pub(super) fn leave_pipes(&self) {
        self.emit(Event::Gone);
        while self.run_piped(Event::Unpipe) {}
    }

    fn defer_piped(&self, event: Event, source: &Socket) {
        self.inner.state.borrow_mut().rare().piped.push((event, source.clone()));
    }

    /// Runs the pipe's own listener when an event of one of its two sockets is emitted.
    pub(super) fn run_pipe(
        &self,
        end: &Own<Socket, Weak<Inner>>,
        event: Event,
        news: News<'_, Socket>,
    ) {
        match (event, news) {
            (Event::Data, News::Data(bytes)) => {
                let Some(to) = end.destination(self) else { return };
                if !to.write(bytes) {
                    self.wait_for(&to);
                }
            }
            (Event::End, _) => {
                let ends = end.flow().is_some_and(|flow| flow.get().ends);
                if let Some(to) = end.destination(self).filter(|_| ends) {
                    to.end();
                }
            }
            _ => {
                let source = match end {
                    Own::PipeFrom(source) => source.upgrade().map(|inner| Self { inner }),
                    _ => Some(self.clone()),
                };
                match (source, event) {
                    (Some(source), Event::Drain) => source.drained(self),
                    (Some(source), _) => _ = source.unpipe(self),
                    (None, _) => {}
                }
            }
        }
    }

    /// Emits the first deferred `pipe` or `unpipe`. Returns whether there was one.
    pub(super) fn run_piped(&self, event: Event) -> bool {
        let source = {
            let mut state = self.inner.state.borrow_mut();
            let source = state.rare_if_any_mut().and_then(|rare| {
                let first = rare.piped.iter().position(|(other, _)| *other == event)?;
                Some(rare.piped.remove(first).1)
            });
            state.tidy();
            source
        };
        if let Some(source) = &source {
            self.emit_piped(event, source);
        }
        source.is_some()
    }

    /// Removes the first pipe to a destination. Returns whether there was one.
    fn cut_pipe(&self, destination: &Socket) -> bool {
        let Some((listener, flow)) = self.find_pipe(destination, Cell::get) else {
            return false;
        };
        let source_end = self.inner.listeners.remove(listener);
        let destination_end = (self != destination).then(|| {
            let is_from_here = |callback: &mut Listener| match callback {
                Listener::Own(end) => match &**end {
                    Own::PipeFrom(source) if source.as_ptr() == Rc::as_ptr(&self.inner) => Some(()),
                    _ => None,
                },
                Listener::User(_) => None,
            };
            let listeners = &destination.inner.listeners;
            listeners.find(is_from_here).and_then(|(listener, ())| listeners.remove(listener))
        });
        // Dropped while nothing is borrowed, because this may drop the last handle of the destination.
        drop((source_end, destination_end));
        self.listener_removed();
        if self.first_destination().is_none() {
            self.pause();
        } else if flow.blocked {
            self.resume_if_unblocked();
        }
        true
    }

    /// Finds the first pipe to a destination. Returns its listener and the result of `with`.
    fn find_pipe<R>(
        &self,
        destination: &Socket,
        mut with: impl FnMut(&Cell<Flow>) -> R,
    ) -> Option<(ListenerId, R)> {
        self.inner.listeners.find(|callback| match callback {
            Listener::Own(end) if end.leads_to(self, destination) => end.flow().map(&mut with),
            _ => None,
        })
    }

    /// Removes the pipes of this closed socket. Their destinations do not change and get no event.
    // STR-04
    pub(super) fn drop_pipes(&self) {
        while let Some(destination) = self.first_destination() {
            self.cut_pipe(&destination);
        }
    }

    fn first_destination(&self) -> Option<Socket> {
        let found = self.inner.listeners.find(|callback| match callback {
            Listener::Own(end) => end.destination(self),
            Listener::User(_) => None,
        });
        found.map(|(_, destination)| destination)
    }

    /// Returns whether the socket is closed and cannot connect again.
    fn is_over(&self) -> bool {
        let state = self.inner.state.borrow();
        state.phase == Phase::Closed && !state.keeps_listeners
    }

    fn wait_for(&self, destination: &Socket) {
        self.set_blocked(destination, true);
        self.pause();
    }

    fn drained(&self, destination: &Socket) {
        if self.set_blocked(destination, false) {
            self.resume_if_unblocked();
        }
    }

    /// Sets whether a destination blocks this socket. Returns whether the value changed.
    fn set_blocked(&self, destination: &Socket, blocked: bool) -> bool {
        let set = |flow: &Cell<Flow>| {
            let before = flow.get();
            flow.set(Flow { blocked, ..before });
            before.blocked != blocked
        };
        self.find_pipe(destination, set).is_some_and(|(_, changed)| changed)
    }

    fn resume_if_unblocked(&self) {
        let blocked = self.inner.listeners.find(|callback| match callback {
            Listener::Own(end) => end.flow().filter(|flow| flow.get().blocked).map(|_| ()),
            Listener::User(_) => None,
        });
        if blocked.is_none() {
            self.resume();
        }
    }
}
