//! Receiving by calls: the ring says when there is something, a call reads it, as with readiness. It costs
//! what it costs with epoll.
//!
//! *Unix sockets and pipes*, because what a multishot receive has brought cannot be put back: a Unix
//! socket that is closed with unread bytes fails its peer with ECONNRESET, and only bytes that are still
//! with the kernel count as unread. (A TCP connection can be reset by hand, see
//! [`closing`](super::closing).)
//!
//! *Connections whose peer sends in bulk*: when a full piece has come. In one `enter` the kernel goes on
//! with a multishot receive for 32 pieces, or until the pool is empty, and all others wait that long
//! (contract rule 6). Single receives into the same pool are no way out: their completions come after
//! those of multishot receives that filled the buffer behind them, and only the order tells where in
//! a buffer the bytes are.
//!
//! *Connections that are read into memory of the caller*: it says where the bytes are to go only when it
//! reads.

use rustix::io::Errno;

use super::ring::Completed;
use super::token::Kind;
use super::{Slot, Uring};
use crate::completion::Wanted;
use crate::table::{Sending, receive};
use crate::{Completion, SocketId};

/// What the ring waits for. A hang-up is asked for by name: it makes no edge of its own later.
pub(super) const EVENTS: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;

/// Only of TCP, where there is something urgent: a Unix socket's message costs a tenth more with it.
const URGENT: i32 = libc::POLLPRI as i32;

const GONE: i32 = (libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR) as i32;

impl Uring {
    /// A completion of the poll that watches such a socket.
    pub(super) fn readable(
        &self,
        socket: SocketId,
        completed: Completed,
        on: &mut dyn FnMut(Completion<'_>),
    ) {
        let sends = {
            let mut sockets = self.table.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { return };
            if !completed.has_more() {
                self.watch_again(socket, slot, completed.error());
            }
            if completed.error() == Some(Errno::CANCELED) {
                return;
            }
            slot.flags.reading.readable = true;
            let gone = completed.result < 0 || completed.result & GONE != 0;
            slot.flags.reading.expect(gone, completed.result & URGENT != 0);
            if slot.flags.reading.in_backlog {
                // Once per turn is enough (contract rule 6).
                return;
            }
            // In the order of readiness. A Unix socket's poll says so before its data is read, and
            // there the read fails first.
            gone && slot.watch.bulk && slot.flags.sending != Sending::Nothing
        };
        match sends {
            true => self.receive_and_send(socket, on),
            false => receive::receive(self, socket, on),
        }
    }
}

impl Slot {
    /// What to poll one for that is read by calls.
    pub(super) fn events_for_calls(&self) -> u32 {
        if self.watch.bulk { EVENTS | URGENT as u32 } else { EVENTS }
    }

    /// Whether it is to be read by calls as soon as its multishot receive has ended.
    pub(super) fn changes_to_calls(&self) -> bool {
        let watch = &self.watch;
        let wanted = self.flags.reading.wanted != Wanted::Nothing;
        watch.bulk && !watch.by_call && wanted && watch.started.contains(Kind::Receive)
    }
}
