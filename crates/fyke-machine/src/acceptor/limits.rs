//! How many connections a server accepts.

use std::net::{IpAddr, Ipv6Addr};

/// The default prefix length of IPv6 groups. A provider assigns a network of this size to one customer, who
/// can use all of its addresses (RFC 6177).
const PREFIX_V6: u8 = 64;

/// How many connections a server accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum in total. `None` means no limit.
    pub max_connections: Option<usize>,
    /// The maximum from one IPv4 address or one IPv6 network. `None` means no limit.
    pub max_per_group: Option<usize>,
    /// The number of leading bits that the addresses of an IPv6 network have in common: 1 to 128.
    prefix_v6: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: None, max_per_group: None, prefix_v6: PREFIX_V6 }
    }
}

impl Limits {
    /// Sets the number of bits, limited to the range from 1 to 128.
    pub fn set_prefix_v6(&mut self, bits: u8) {
        self.prefix_v6 = bits.clamp(1, 128);
    }

    /// Returns whether any limit is set.
    pub fn are_set(&self) -> bool {
        self.max_connections.is_some() || self.max_per_group.is_some()
    }

    /// The address under which connections from `ip` are counted: the IPv4 address, or the first address of
    /// the IPv6 network.
    pub(super) fn group_of(&self, ip: IpAddr) -> IpAddr {
        match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let mask = u128::MAX << (128 - u32::from(self.prefix_v6));
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
            ip => ip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(prefix_v6: u8, ip: &str) -> String {
        let mut limits = Limits::default();
        limits.set_prefix_v6(prefix_v6);
        limits.group_of(ip.parse().unwrap()).to_string()
    }

    #[test]
    fn ipv6_connections_are_counted_by_network_and_ipv4_by_address() {
        assert_eq!(group(PREFIX_V6, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(group(PREFIX_V6, "2001:db8:1:2:ffff::"), "2001:db8:1:2::");
        assert_eq!(group(PREFIX_V6, "2001:db8:1:3::1"), "2001:db8:1:3::");
        assert_eq!(group(PREFIX_V6, "192.0.2.1"), "192.0.2.1");
        assert_eq!(group(PREFIX_V6, "::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(group(200, "2001:db8::1"), "2001:db8::1");
        assert_eq!(group(0, "fe80::1"), "8000::");
    }
}
