//! Piping one socket into another: backpressure, and the end, carried over (STR-01 … STR-05).

use std::rc::{Rc, Weak};

use fyke_machine::connection::{self, Phase};

use super::{Event, Inner, Socket, callback};
use crate::few::Few;
use crate::listeners::ListenerId;
use crate::wiring::Tick;

/// The pipes that lead out of a socket.
#[derive(Default)]
pub(super) struct Pipes {
    pipes: Vec<Pipe>,
    /// Events `pipe` and `unpipe` of this socket that are deferred, with the other end.
    deferred: Few<(Event, Socket)>,
}

impl Pipes {
    pub(super) fn is_empty(&self) -> bool {
        self.pipes.is_empty() && self.deferred.is_empty()
    }
}

struct Pipe {
    to: Socket,
    on_source: Vec<ListenerId>,
    on_destination: Vec<ListenerId>,
    /// The destination has no room: the source waits for its `drain`.
    blocked: bool,
}

/// # Piping
impl Socket {
    /// Writes everything that comes from this socket to `destination`, no faster than it takes it,
    /// and ends it when this socket's peer ends. `socket.pipe(&socket)` is an echo server.
    ///
    /// With several destinations all get everything, and the slowest decides. A destination that
    /// finishes, fails or closes is unpiped, and this socket paused; if this socket fails, the
    /// destination stays as it is: [`pipeline`](crate::pipeline) looks after both. Returns the
    /// destination. Node: `source.pipe(destination)`.
    ///
    /// `examples/echo.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/echo.rs"), "```")]
    pub fn pipe<'a>(&self, destination: &'a Socket) -> &'a Socket {
        self.pipe_to(destination, true)
    }

    /// The same, but `destination` is not ended with this socket. Node:
    /// `source.pipe(destination, { end: false })`.
    #[doc(alias = "pipe")]
    pub fn pipe_without_end<'a>(&self, destination: &'a Socket) -> &'a Socket {
        self.pipe_to(destination, false)
    }

    fn pipe_to<'a>(&self, destination: &'a Socket, end: bool) -> &'a Socket {
        if self.is_over() {
            // Nothing comes from there any more, and nobody would undo the pipe.
            return destination;
        }
        let (source, to) = (Rc::downgrade(&self.inner), destination.clone());
        let mut on_source = vec![self.on_data(move |source, data| {
            if !to.write(data) {
                source.wait_for(&to);
            }
        })];
        if end && self.is_readable_ended() {
            destination.tick(Tick::Machine(connection::Tick::EndItself));
        } else if end {
            let to = destination.clone();
            on_source.push(self.on_end(move |_| {
                to.end();
            }));
        }
        let on_destination = {
            let unpipe = |source: &Weak<Inner>, to: &Socket| {
                if let Some(inner) = source.upgrade() {
                    Self { inner }.unpipe(to);
                }
            };
            let (drained, finished, gone) = (source.clone(), source.clone(), source);
            let gone = move |to: &Socket| unpipe(&gone, to);
            vec![
                destination.on_drain(move |to| {
                    if let Some(inner) = drained.upgrade() {
                        Self { inner }.drained(to);
                    }
                }),
                destination.on_finish(move |to| unpipe(&finished, to)),
                destination.add(Event::Gone, callback::plain(gone)),
            ]
        };
        let to = destination.clone();
        let pipe = Pipe { to, on_source, on_destination, blocked: false };
        self.inner.state.borrow_mut().rare().pipes.pipes.push(pipe);
        if destination.needs_drain() {
            self.wait_for(destination);
        } else {
            self.resume();
        }
        destination.defer_piped(Event::Pipe, self);
        destination.tick(Tick::Piped);
        destination
    }

    /// Undoes [`pipe`](Self::pipe). When the last pipe is gone, this socket is paused and keeps
    /// what comes. Node: `source.unpipe(destination)`.
    pub fn unpipe(&self, destination: &Socket) -> &Self {
        if self.cut_pipe(destination) {
            destination.defer_piped(Event::Unpipe, self);
            destination.tick(Tick::Unpiped);
        }
        self
    }

    /// Undoes all pipes that lead out of this socket. Node: `source.unpipe()`.
    #[doc(alias = "unpipe")]
    pub fn unpipe_all(&self) -> &Self {
        while let Some(destination) = self.first_destination() {
            self.unpipe(&destination);
        }
        self
    }

    /// Something is piped into this socket from now on: the second argument. Comes on the tick after
    /// the call of [`pipe`](Self::pipe). Node: `pipe`.
    #[doc(alias = "pipe")]
    pub fn on_pipe(&self, f: impl FnMut(&Socket, &Socket) + 'static) -> ListenerId {
        self.add(Event::Pipe, callback::pipe(f))
    }

    /// A pipe from the second argument into this socket was undone: by [`unpipe`](Self::unpipe), or
    /// because this socket has finished, failed or closed. On the tick after the call, or just
    /// before `error` and `close`. Node: `unpipe`.
    #[doc(alias = "unpipe")]
    pub fn on_unpipe(&self, f: impl FnMut(&Socket, &Socket) + 'static) -> ListenerId {
        self.add(Event::Unpipe, callback::pipe(f))
    }

    /// The pipes into this socket are undone: it fails, or closes (STR-03). Told before that, because
    /// nothing comes after `close` (contract C2).
    pub(super) fn leave_pipes(&self) {
        self.emit(Event::Gone);
        while self.run_piped(Event::Unpipe) {}
    }

    fn defer_piped(&self, event: Event, source: &Socket) {
        let mut state = self.inner.state.borrow_mut();
        state.rare().pipes.deferred.push((event, source.clone()));
    }

    /// Emits the first `pipe` or `unpipe` that is deferred. Returns whether there was one.
    pub(super) fn run_piped(&self, event: Event) -> bool {
        let source = {
            let mut state = self.inner.state.borrow_mut();
            state.rare_if_any_mut().and_then(|rare| {
                let deferred = &mut rare.pipes.deferred;
                let first = deferred.iter().position(|(other, _)| *other == event)?;
                Some(deferred.remove(first).1)
            })
        };
        if let Some(source) = &source {
            self.emit_piped(event, source);
        }
        source.is_some()
    }

    /// Says whether there was one.
    fn cut_pipe(&self, destination: &Socket) -> bool {
        let (pipe, last) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(rare) = state.rare_if_any_mut() else { return false };
            let pipes = &mut rare.pipes.pipes;
            let Some(index) = pipes.iter().position(|pipe| pipe.to == *destination) else {
                return false;
            };
            (pipes.remove(index), pipes.is_empty())
        };
        self.off_all(pipe.on_source);
        destination.off_all(pipe.on_destination);
        if last {
            self.pause();
        } else if pipe.blocked {
            self.resume_if_unblocked();
        }
        true
    }

    /// This socket is closed: its pipes go, their destinations stay as they are and are told
    /// nothing (STR-04).
    pub(super) fn drop_pipes(&self) {
        while let Some(destination) = self.first_destination() {
            self.cut_pipe(&destination);
        }
    }

    fn first_destination(&self) -> Option<Socket> {
        let state = self.inner.state.borrow();
        let first = state.rare_if_any().and_then(|rare| rare.pipes.pipes.first());
        first.map(|pipe| pipe.to.clone())
    }

    /// Closed, and not to be connected again.
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

    /// Says whether that changed anything.
    fn set_blocked(&self, destination: &Socket, blocked: bool) -> bool {
        let mut state = self.inner.state.borrow_mut();
        let Some(rare) = state.rare_if_any_mut() else { return false };
        let pipe = rare.pipes.pipes.iter_mut().find(|pipe| pipe.to == *destination);
        pipe.is_some_and(|pipe| std::mem::replace(&mut pipe.blocked, blocked) != blocked)
    }

    fn resume_if_unblocked(&self) {
        let blocked = {
            let state = self.inner.state.borrow();
            let pipes = state.rare_if_any().map(|rare| &rare.pipes.pipes);
            pipes.is_some_and(|pipes| pipes.iter().any(|pipe| pipe.blocked))
        };
        if !blocked {
            self.resume();
        }
    }
}
