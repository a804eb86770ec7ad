//! Zones of link-local addresses (RFC 4007): the interface of the machine to which an address belongs.

use std::net::SocketAddr;

/// Linux's list of IPv6 addresses and their interfaces.
const LIST: &str = "/proc/net/if_inet6";

/// The number of the interface with this name, for the scope of an IPv6 address. `None` if there is no
/// such interface, if it has no IPv6 address, or on systems other than Linux.
pub fn scope_id(zone: &str) -> Option<u32> {
    let list = std::fs::read_to_string(LIST).ok()?;
    entries(&list).find(|entry| entry.interface == zone).map(|entry| entry.index)
}

/// Gives a link-local address without a zone that of the first interface which has one, as libuv does.
/// Other addresses are unchanged.
// CON-20.
#[cfg(any(unix, windows))]
pub(crate) fn with_zone(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(mut v6) = address else { return address };
    if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 {
        let list = std::fs::read_to_string(LIST).unwrap_or_default();
        v6.set_scope_id(first_link_local(&list).unwrap_or(0));
    }
    v6.into()
}

/// The kernel lists the addresses by their hashes. "First" means the lowest number.
fn first_link_local(list: &str) -> Option<u32> {
    entries(list).filter(|entry| entry.is_link_local).map(|entry| entry.index).min()
}

struct Entry<'a> {
    index: u32,
    is_link_local: bool,
    interface: &'a str,
}

/// Address, index, length of the prefix, scope, flags (all in hexadecimal) and name: the kernel's
/// `if6_seq_show`. The scope of link-local addresses is 0x20.
fn entries(list: &str) -> impl Iterator<Item = Entry<'_>> {
    list.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let index = u32::from_str_radix(words.next()?, 16).ok()?;
        let is_link_local = words.nth(1)? == "20";
        Some(Entry { index, is_link_local, interface: words.nth(1)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
fe800000000000000000000000000002 0c 40 20 80     eth1
fd000000000000000000000000000002 04 40 00 82     eth0
fe800000000000000000000000000001 04 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
";

    #[test]
    fn con_20_the_first_link_local_interface_is_the_one_with_the_lowest_number() {
        assert_eq!(first_link_local(SAMPLE), Some(4));
        assert_eq!(first_link_local("nonsense\n"), None);
    }

    #[test]
    fn con_20_interfaces_are_found_by_name() {
        let index = |name| entries(SAMPLE).find(|entry| entry.interface == name).map(|e| e.index);
        assert_eq!((index("lo"), index("eth1"), index("eth2")), (Some(1), Some(12), None));
    }

    #[test]
    #[cfg(any(unix, windows))]
    fn con_20_only_a_link_local_address_without_a_zone_gets_one() {
        for text in ["127.0.0.1:1", "[::1]:1", "[2001:db8::1]:1", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(with_zone(address), address);
        }
    }
}
