//! The limits on sessions, in total and per client address. The server's own limits count the
//! connections of clients. But a session lasts until the connection to its target has closed too,
//! and with the PROXY protocol the client's address is known only after the connection was
//! accepted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::arguments::Limits;

#[derive(Debug, Default)]
pub(super) struct Seats {
    max: Option<u64>,
    max_per_ip: Option<u64>,
    taken: Cell<u64>,
    by_ip: RefCell<HashMap<IpAddr, u64>>,
}

/// The slot of one session. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Rc<Seats>,
    ip: Cell<Option<IpAddr>>,
}

impl Seats {
    pub(super) fn new(limits: &Limits) -> Rc<Self> {
        let (max, max_per_ip) = (limits.max_connections, limits.max_per_ip);
        Rc::new(Self { max, max_per_ip, ..Self::default() })
    }

    /// Returns a slot for another session if the limit allows it.
    pub(super) fn take(self: &Rc<Self>) -> Option<Seat> {
        let taken = self.taken.get();
        if self.max.is_some_and(|max| taken >= max) {
            return None;
        }
        self.taken.set(taken + 1);
        Some(Seat { seats: Rc::clone(self), ip: Cell::default() })
    }
}

impl Seat {
    /// Counts the session for this address. Returns whether the limit allows it. A client without
    /// an IP address (a Unix socket) is not limited.
    pub(super) fn belongs_to(&self, ip: Option<IpAddr>) -> bool {
        let (Some(max), Some(ip)) = (self.seats.max_per_ip, ip) else { return true };
        let ip = network(ip);
        let mut by_ip = self.seats.by_ip.borrow_mut();
        let count = by_ip.entry(ip).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        self.ip.set(Some(ip));
        true
    }
}

/// Returns the network that counts as one address, the same as for the library's servers: one
/// customer usually has a whole IPv6 network of this length.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.set(self.seats.taken.get() - 1);
        let Some(ip) = self.ip.get() else { return };
        let mut by_ip = self.seats.by_ip.borrow_mut();
        let Some(count) = by_ip.get_mut(&ip) else { return };
        *count -= 1;
        if *count == 0 {
            by_ip.remove(&ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_in_total_and_per_address_and_are_returned() {
        let limits = Limits { max_connections: Some(3), max_per_ip: Some(1), ..Limits::default() };
        let seats = Seats::new(&limits);
        let ip = |text: &str| Some(text.parse().unwrap());
        let first = seats.take().unwrap();
        assert!(first.belongs_to(ip("10.0.0.1")));
        let second = seats.take().unwrap();
        // A dual-stack server sees the same client with this address.
        assert!(!second.belongs_to(ip("::ffff:10.0.0.1")));
        assert!(second.belongs_to(None) && second.belongs_to(ip("10.0.0.2")));
        let third = seats.take().unwrap();
        assert!(seats.take().is_none());
        drop(first);
        assert!(third.belongs_to(ip("10.0.0.1")) && seats.take().is_some());
        let fourth = seats.take().unwrap();
        assert!(fourth.belongs_to(ip("fd00::1")));
        drop(fourth);
        assert_eq!(network("fd00:0:0:1:2::3".parse().unwrap()), ip("fd00:0:0:1::").unwrap());
        drop((second, third));
        assert!(seats.by_ip.borrow().is_empty() && seats.taken.get() == 0);
    }
}
