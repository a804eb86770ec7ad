//! Whether checking an address costs more with more rules.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use fyke::{BlockList, Result};

/// Nanoseconds per check, for addresses that are blocked and addresses that are not.
pub(crate) fn measure(rules: usize) -> Result<f64> {
    let list = BlockList::new();
    for rule in 0..rules as u32 {
        // A third of each kind, and none contains another.
        let address = |low: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + (rule << 6) + low));
        match rule % 3 {
            0 => list.add_address(address(0))?,
            1 => list.add_range(address(0), address(20))?,
            _ => list.add_subnet(address(0), 28)?,
        }
    }
    let mut next = 0_u32;
    Ok(crate::nanoseconds_each(|| {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let address = Ipv4Addr::from(0x0a00_0000 + (next >> 8));
        black_box(list.check(black_box(IpAddr::from(address))));
    }))
}
