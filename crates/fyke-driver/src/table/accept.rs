//! Accepts connections. Every backend uses this loop, so that each error has the same meaning on all of them.
//!
//! A backend calls [`accept`] when the kernel has reported that connections wait at a listener. Connections
//! that were not accepted stay in the kernel's queue, so they move with a listener that is passed to another
//! owner.

use std::net::SocketAddr;

use super::{AgainOnPanic, SystemBackend, receive};
use crate::completion::Wanted;
use crate::limits::{ACCEPT_FAILED_ROUNDS_MAX, ACCEPTS_PER_TURN_MAX};
use crate::system::{self, Errno, Failure, Fd};
use crate::trace::step;
use crate::{Completion, Operation, SocketId};

/// Retries the sockets whose delay is over: listeners, sockets that could not be watched, and those that are
/// checked because their state changes without an event.
#[inline]
pub(crate) fn retry(driver: &impl SystemBackend, on: &mut dyn FnMut(Completion<'_>)) {
    if !driver.table().retries.is_empty() {
        retry_due(driver, on);
    }
}

#[cold]
fn retry_due(driver: &impl SystemBackend, on: &mut dyn FnMut(Completion<'_>)) {
    let table = driver.table();
    let now = table.clock.now();
    while let Some(socket) = table.retries.take(now) {
        let (flags, check) = {
            let mut sockets = table.sockets.borrow_mut();
            let Some(slot) = sockets.get_mut(socket) else { continue };
            let check = slot.check();
            // This cannot fail, because the socket was watched before.
            let _ = driver.watch(socket, slot);
            (slot.flags, check)
        };
        table.check_later(socket, check);
        let _again = AgainOnPanic { driver, socket };
        if flags.listener {
            accept(driver, socket, on);
        }
        if check.shut_down {
            on(Completion::ShutDown { socket });
        }
        if check.changed && flags.reading.connecting {
            super::connected(driver, socket, on);
        } else if check.changed {
            receive::receive_and_send(driver, socket, on);
        }
    }
}

/// Accepts the connections that wait at a listener, at most [`ACCEPTS_PER_TURN_MAX`]. While descriptors
/// are exhausted, each is refused: one for each accept that fails, so that a connection that arrives
/// after descriptors were freed is accepted.
pub(crate) fn accept(
    driver: &impl SystemBackend,
    listener: SocketId,
    on: &mut dyn FnMut(Completion<'_>),
) {
    let mut any = false;
    let mut shed = 0;
    let mut end = None;
    for _ in 0..ACCEPTS_PER_TURN_MAX {
        match next(driver, listener, any) {
            Next::Accepted(connection, peer) => {
                any = true;
                report_shed(listener, &mut shed, on);
                step!("accept",);
                let unix = peer.is_none() && system::is_unix(system::borrow(&connection));
                // If no id is left, `insert` closes the connection.
                if let Ok(socket) = driver.insert(connection, unix) {
                    on(Completion::Accepted { listener, socket, peer, unix });
                }
            }
            Next::Shed => {
                any = true;
                shed += 1;
            }
            Next::Failed(errno) if Failure::of(errno) == Failure::Next => {}
            Next::Failed(errno) => {
                end = Some(errno);
                break;
            }
            Next::Stopped => return,
        }
    }
    report_shed(listener, &mut shed, on);
    match end.map(|errno| (errno, Failure::of(errno))) {
        None | Some((_, Failure::Next)) => accept_later(driver, listener, any),
        Some((_, Failure::Drained)) => drained(driver, listener, on),
        Some((_, Failure::Exhausted)) => driver.table().retry_later(listener),
        Some((errno, Failure::Dead)) => fail(driver, listener, errno, on),
    }
}

/// What became of a waiting connection.
enum Next {
    Accepted(Fd, Option<SocketAddr>),
    /// It was refused, because descriptors are exhausted.
    Shed,
    Failed(Errno),
    /// The listener no longer accepts.
    Stopped,
}

/// Accepts a connection, or refuses it if descriptors are exhausted. `any`: whether this turn has accepted
/// or refused one before.
fn next(driver: &impl SystemBackend, listener: SocketId, any: bool) -> Next {
    let table = driver.table();
    let next = table.with_reading(listener, |reading, fd| {
        if reading.wanted != Wanted::Delivery {
            return Next::Stopped;
        }
        if any && !system::is_acceptable(fd) {
            return Next::Failed(Errno::AGAIN);
        }
        match system::accept(fd) {
            Ok((connection, peer)) => Next::Accepted(connection, peer),
            Err(errno) if Failure::of(errno) == Failure::Exhausted => table
                .spare
                .shed(fd)
                .unwrap_or(Err(errno))
                .map_or_else(Next::Failed, |()| Next::Shed),
            Err(errno) => Next::Failed(errno),
        }
    });
    next.unwrap_or(Next::Stopped)
}

/// Reports the connections that were refused since the last report.
fn report_shed(listener: SocketId, shed: &mut usize, on: &mut dyn FnMut(Completion<'_>)) {
    let count = std::mem::take(shed);
    if count > 0 {
        on(Completion::Shed { listener, count });
    }
}

/// Handles EAGAIN: no connection waits. On a Unix listener that was shut down, accept returns EAGAIN too,
/// although no connection will follow; there the listener fails. On TCP, accept returns EINVAL in that case.
fn drained(driver: &impl SystemBackend, listener: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
    let shut_down = driver.table().with_reading(listener, |reading, _| {
        reading.readable = false;
        reading.has_hung_up()
    });
    if shut_down.unwrap_or(false) {
        fail(driver, listener, Errno::INVAL, on);
    }
}

/// Handles a used-up budget: the listener continues in the next turn. If all its accepts have failed for
/// [`ACCEPT_FAILED_ROUNDS_MAX`] consecutive turns, it pauses, so that a permanent error does not occupy a
/// processor.
fn accept_later(driver: &impl SystemBackend, listener: SocketId, any: bool) {
    let mut sockets = driver.table().sockets.borrow_mut();
    let Some(slot) = sockets.get_mut(listener) else { return };
    if slot.flags.reading.note_accepts(any) >= ACCEPT_FAILED_ROUNDS_MAX {
        driver.table().retry_later(listener);
    } else {
        driver.work_later(listener, slot);
    }
}

/// Ends accepting after a permanent error: the listener is not retried, and `Failed` is reported once.
fn fail(
    driver: &impl SystemBackend,
    listener: SocketId,
    errno: Errno,
    on: &mut dyn FnMut(Completion<'_>),
) {
    let listens = driver.table().with_reading(listener, |reading, _| {
        reading.readable = false;
        std::mem::take(&mut reading.wanted)
    });
    if listens == Some(Wanted::Delivery) {
        let (operation, error) = (Operation::Accept, errno.into());
        on(Completion::Failed { socket: listener, operation, error });
    }
}
