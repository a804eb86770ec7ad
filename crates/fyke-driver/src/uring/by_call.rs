//! Receiving by system calls: the ring polls a socket and a system call reads it, as with readiness. The
//! cost is the same as with epoll.
//!
//! *Unix sockets and pipes* are read by system calls because bytes from a multishot receive cannot be put
//! back: a Unix socket that is closed with unread bytes fails its peer with ECONNRESET, and only bytes
//! that are still in the kernel count as unread. (The driver can reset a TCP connection itself, see
//! [`closing`](super::closing).)
//!
//! *Connections whose peer sends in bulk* are read by system calls after the first full piece. In one
//! `enter` the kernel continues a multishot receive for 32 pieces, or until the pool is empty, and all
//! other sockets wait that long (contract rule 6). Single receives into the same pool are not an
//! alternative: their completions are posted after those of multishot receives that filled the buffer
//! behind them, and only the order determines where in a buffer the bytes are.
//!
//! *Connections that are read with `read_into`* are read by system calls because the caller provides the
//! memory only when it reads.

use rustix::io::Errno;

use super::ring::Completed;
use super::token::Kind;
use super::{Slot, Uring};
use crate::completion::Wanted;
use crate::table::{Sending, receive};
use crate::{Completion, SocketId};

/// The events that the ring polls for. The hang-up is requested explicitly, because it makes no separate
/// edge later.
pub(super) const EVENTS: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;

/// Polled for TCP only, which has urgent data: with it each message of a Unix socket costs a tenth more.
const URGENT: i32 = libc::POLLPRI as i32;

const GONE: i32 = (libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR) as i32;

impl Uring {
    /// Handles a completion of the poll of a socket that system calls read.
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
            // The order is that of readiness. The poll of a Unix socket reports a hang-up before its data
            // is read, and there the read fails first.
            gone && slot.watch.bulk && slot.flags.sending != Sending::Nothing
        };
        match sends {
            true => self.receive_and_send(socket, on),
            false => receive::receive(self, socket, on),
        }
    }
}

impl Slot {
    /// The events to poll for on a socket that system calls read.
    pub(super) fn events_for_calls(&self) -> u32 {
        if self.watch.bulk { EVENTS | URGENT as u32 } else { EVENTS }
    }

    /// Whether the socket changes to reading by system calls as soon as its multishot receive has ended.
    pub(super) fn changes_to_calls(&self) -> bool {
        let watch = &self.watch;
        let wanted = self.flags.reading.wanted != Wanted::Nothing;
        watch.bulk && !watch.by_call && wanted && watch.started.contains(Kind::Receive)
    }
}
