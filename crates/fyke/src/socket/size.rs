//! The memory budget of a socket. A server has many connections, so each byte of a socket counts: before
//! you add a field, check whether it belongs in `Rare`. `tests/memory.rs` measures the total, with the
//! tables of the loop and the driver.

use std::mem::size_of;

use super::peer::Peer;
use super::{Callback, State};
use super::{Hears, Inner, Listener};
use crate::listeners::Listeners;
use fyke_machine::idle::Idle;
use fyke_machine::reading::ReadSide;
use fyke_machine::writing::WriteSide;

#[test]
fn the_size_of_a_socket_stays_within_its_budget() {
    assert!(size_of::<ReadSide>() <= 32);
    assert!(size_of::<WriteSide<Callback>>() <= 40);
    assert!(size_of::<Idle>() <= 32);
    assert!(size_of::<Peer>() <= 20);
    assert!(size_of::<State>() <= 192);
    // Two listeners are stored in place: for data, and for the idle timeout.
    assert!(size_of::<Listeners<Hears, Listener>>() <= 64);
    assert!(size_of::<Inner>() <= 272);
}
