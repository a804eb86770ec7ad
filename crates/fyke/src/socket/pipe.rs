//! Piping one socket into another: backpressure, and the end, carried over (STR-01 … STR-05).

use std::rc::{Rc, Weak};

use super::{Inner, Socket};
use crate::listeners::ListenerId;

/// The pipes that lead out of a socket.
#[derive(Default)]
pub(super) struct Pipes {
    pipes: Vec<Pipe>,
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
    /// finishes or closes is unpiped, and this socket paused; if this socket fails, the
    /// destination stays as it is. Node: `source.pipe(destination)`.
    ///
    /// `examples/echo.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/echo.rs"), "```")]
    pub fn pipe(&self, destination: &Socket) -> &Self {
        self.pipe_to(destination, true)
    }

    /// The same, but `destination` is not ended with this socket. Node:
    /// `source.pipe(destination, { end: false })`.
    pub fn pipe_without_end(&self, destination: &Socket) -> &Self {
        self.pipe_to(destination, false)
    }

    fn pipe_to(&self, destination: &Socket, end: bool) -> &Self {
        let (source, to) = (Rc::downgrade(&self.inner), destination.clone());
        let mut on_source = vec![self.on_data(move |source, data| {
            if !to.write(data) {
                source.wait_for(&to);
            }
        })];
        if end {
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
            let (drained, finished, closed) = (source.clone(), source.clone(), source);
            vec![
                destination.on_drain(move |to| {
                    if let Some(inner) = drained.upgrade() {
                        Self { inner }.drained(to);
                    }
                }),
                destination.on_finish(move |to| unpipe(&finished, to)),
                destination.on_close(move |to, _| unpipe(&closed, to)),
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
        self
    }

    /// Undoes [`pipe`](Self::pipe). When the last pipe is gone, this socket is paused and keeps
    /// what comes. Node: `source.unpipe(destination)`.
    pub fn unpipe(&self, destination: &Socket) -> &Self {
        let (pipe, last) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(rare) = state.rare_if_any_mut() else { return self };
            let pipes = &mut rare.pipes.pipes;
            let Some(index) = pipes.iter().position(|pipe| pipe.to == *destination) else {
                return self;
            };
            (pipes.remove(index), pipes.is_empty())
        };
        for id in pipe.on_source {
            self.off(id);
        }
        for id in pipe.on_destination {
            destination.off(id);
        }
        if last {
            self.pause();
        } else if pipe.blocked {
            self.resume_if_unblocked();
        }
        self
    }

    /// This socket is closed: its pipes go, their destinations stay as they are (STR-04).
    pub(super) fn drop_pipes(&self) {
        loop {
            let destination = {
                let state = self.inner.state.borrow();
                let first = state.rare_if_any().and_then(|rare| rare.pipes.pipes.first());
                let Some(pipe) = first else { return };
                pipe.to.clone()
            };
            self.unpipe(&destination);
        }
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
