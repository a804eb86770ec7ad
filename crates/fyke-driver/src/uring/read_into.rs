//! Reading into memory of the caller: first the bytes that the ring has already received, then by system
//! calls ([`by_call`](super::by_call)).

use std::io;

use bytes::Buf;

use super::held::Held;
use super::{Slot, Uring};
use crate::SocketId;
use crate::completion::{Wanted, dead};
use crate::table::{self, SystemBackend, receive};
use crate::uninit::{Unfilled, copy_into};

impl Uring {
    /// Starts to receive, or to wait for something to read.
    pub(super) fn start_reading(&self, socket: SocketId, wanted: Wanted) -> io::Result<()> {
        table::start(self, socket, wanted)?;
        let mut sockets = self.table.sockets.borrow_mut();
        let slot = sockets.get_mut(socket).ok_or_else(dead)?;
        if wanted == Wanted::Notice && !slot.watch.by_call {
            slot.watch.bulk = true;
        }
        if slot.watch.holding {
            self.work_later(socket, slot);
        }
        Ok(())
    }

    pub(super) fn read_into<'a>(
        &self,
        socket: SocketId,
        buffer: Unfilled<'a>,
    ) -> io::Result<&'a mut [u8]> {
        if let Some(slot) = self.table.sockets.borrow_mut().get_mut(socket) {
            if slot.watch.holding {
                return self.read_held(socket, slot, buffer);
            }
        }
        receive::read_into(self, socket, buffer)
    }

    pub(super) fn peek_into<'a>(
        &self,
        socket: SocketId,
        buffer: Unfilled<'a>,
    ) -> io::Result<&'a mut [u8]> {
        let holding = self.table.with_slot(socket, |slot| slot.watch.holding);
        let held = self.held.borrow();
        match held.get(&socket).and_then(|held| held.front()).filter(|_| holding == Some(true)) {
            Some(Held::Bytes(bytes)) => Ok(copy_into(bytes, buffer)),
            Some(Held::Failed(errno)) => Err((*errno).into()),
            Some(Held::End) => Ok(&mut []),
            None => receive::peek_into(self, socket, buffer),
        }
    }

    /// Reads what the ring has received. Bytes that do not fit into `buffer` stay first in the queue.
    fn read_held<'a>(
        &self,
        socket: SocketId,
        slot: &mut Slot,
        buffer: Unfilled<'a>,
    ) -> io::Result<&'a mut [u8]> {
        let held = self.take_held(socket, slot);
        self.note_change(socket, slot);
        match held {
            Some(Held::Bytes(mut bytes)) => {
                let read = copy_into(&bytes, buffer);
                bytes.advance(read.len());
                if !bytes.is_empty() {
                    self.hold_first(socket, slot, Held::Bytes(bytes));
                }
                Ok(read)
            }
            Some(Held::Failed(errno)) => Err(errno.into()),
            Some(Held::End) | None => Ok(&mut []),
        }
    }
}
