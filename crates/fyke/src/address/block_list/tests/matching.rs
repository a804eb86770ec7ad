//! Which addresses a rule matches.
// BLK-01 to BLK-09

use std::net::{Ipv6Addr, SocketAddr};

use super::{code, v6};
use crate::{BlockList, ErrorCode, Family, SocketAddress};

#[test]
fn blk_01_an_ipv4_rule_matches_the_mapped_address_and_the_other_way_round() {
    let list = BlockList::new();
    list.add_address("1.1.1.1").unwrap();
    list.add_address(v6("::ffff:1.1.1.2")).unwrap();
    list.add_address(v6("2001:db8::1")).unwrap();
    for text in ["::ffff:1.1.1.1", "::FFFF:101:101", "0:0:0:0:0:ffff:101:101", "2001:db8:0::1"] {
        assert!(list.check_text(text, Family::V6).unwrap(), "{text}");
    }
    assert!(list.check([1, 1, 1, 1]) && list.check([1, 1, 1, 2]));
    assert!(!list.check([1, 1, 1, 3]) && !list.check(Ipv6Addr::LOCALHOST));
    // IPv4-compatible, not mapped.
    assert!(!list.check(v6("::1.1.1.1")));
}

#[test]
fn blk_02_text_of_the_other_family_and_invalid_text_are_errors() {
    let list = BlockList::new();
    list.add_cidrs(["0.0.0.0/0", "::/0"]).unwrap();
    let invalid =
        |text, family| code(list.check_text(text, family)) == ErrorCode::ERR_INVALID_ADDRESS;
    assert!(list.check_text("1.1.1.1", Family::V4).unwrap());
    assert!(list.check_text("::1", Family::V6).unwrap());
    assert!(list.check_text("fe80::1%lo", Family::V6).unwrap());
    assert!(invalid("1.1.1.1", Family::V6) && invalid("::1", Family::V4));
    for text in ["", "nonsense", "999.1.1.1", "1.1.1", "[::1]", " ::1", "1.1.1.1%lo"] {
        assert!(invalid(text, Family::V4) && invalid(text, Family::V6), "{text:?}");
    }
}

#[test]
fn blk_03_text_that_is_not_an_address_of_its_family_is_not_added() {
    let list = BlockList::new();
    assert_eq!(code(list.add_address("nonsense")), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(code(list.add_address("::1")), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(code(list.add_address(("1.1.1.1", Family::V6))), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(code(list.add_range("1.1.1.1", "x")), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(code(list.add_subnet("", 8)), ErrorCode::ERR_INVALID_ADDRESS);
    assert!(list.is_empty());
}

#[test]
fn blk_04_a_socket_address_is_accepted_everywhere_and_its_port_ignored() {
    let list = BlockList::new();
    let address = |text: &str| SocketAddress::parse(text).unwrap();
    list.add_address(address("1.1.1.1:80")).unwrap();
    list.add_address("[::1]:80".parse::<SocketAddr>().unwrap()).unwrap();
    list.add_range(address("2.0.0.1:9"), address("2.0.0.9:1")).unwrap();
    list.add_subnet(address("[2001:db8::]:80"), 32).unwrap();
    for text in ["1.1.1.1:81", "[::1]:1", "2.0.0.1", "[2001:db8::1]:2", "[::ffff:1.1.1.1]:3"] {
        assert!(list.check(address(text)), "{text}");
    }
    assert!(list.remove_address(address("1.1.1.1:9999")).unwrap());
    assert!(list.remove_range(address("2.0.0.1"), address("2.0.0.9")).unwrap());
    assert!(list.remove_subnet(address("[2001:db8::]"), 32).unwrap());
    assert_eq!(list.rules(), ["Address: IPv6 ::1"]);
}

#[test]
fn blk_05_a_range_includes_both_ends() {
    let list = BlockList::new();
    list.add_range("10.0.0.2", "10.0.0.10").unwrap();
    list.add_range(("::1", Family::V6), ("::f", Family::V6)).unwrap();
    let blocked = |last: u8| (2..=10).contains(&last);
    for last in 0..=255 {
        assert_eq!(list.check([10, 0, 0, last]), blocked(last), "{last}");
        assert_eq!(list.check(v6(&format!("::ffff:10.0.0.{last}"))), blocked(last), "{last}");
        assert_eq!(list.check(v6(&format!("::{last:x}"))), (1..=15).contains(&last), "{last}");
    }
    for ip in [[192, 168, 0, 3], [2, 2, 2, 2], [255; 4]] {
        assert!(!list.check(ip), "{ip:?}");
    }
}

#[test]
fn blk_05_a_range_of_mapped_addresses_matches_ipv4() {
    let list = BlockList::new();
    list.add_range(v6("::ffff:1.1.1.1"), v6("::ffff:1.1.1.9")).unwrap();
    assert!(list.check([1, 1, 1, 1]) && list.check([1, 1, 1, 9]) && !list.check([1, 1, 1, 10]));
    assert_eq!(list.rules(), ["Range: IPv6 ::ffff:1.1.1.1-::ffff:1.1.1.9"]);
}

#[test]
fn blk_05_a_range_may_be_one_address_but_not_reversed() {
    let list = BlockList::new();
    assert_eq!(code(list.add_range("1.1.1.2", "1.1.1.1")), ErrorCode::ERR_INVALID_ARG_VALUE);
    assert_eq!(code(list.add_range(v6("::2"), v6("::1"))), ErrorCode::ERR_INVALID_ARG_VALUE);
    list.add_range("1.1.1.1", "1.1.1.1").unwrap();
    assert!(list.check([1, 1, 1, 1]) && !list.check([1, 1, 1, 2]) && !list.check([1, 1, 1, 0]));
}

#[test]
fn blk_06_a_mapped_end_of_a_range_counts_as_ipv4() {
    let list = BlockList::new();
    list.add_range("1.1.1.1", v6("::ffff:1.1.1.9")).unwrap();
    list.add_range(v6("::ffff:2.1.1.1"), "2.1.1.9").unwrap();
    assert_eq!(list.rules(), ["Range: IPv4 2.1.1.1-2.1.1.9", "Range: IPv4 1.1.1.1-1.1.1.9"]);
    assert!(list.check([1, 1, 1, 9]));
}

#[test]
fn blk_06_other_mixes_of_families_are_not_a_range() {
    let list = BlockList::new();
    assert_eq!(code(list.add_range("1.1.1.1", "::1")), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(code(list.add_range("1.1.1.1", v6("::1"))), ErrorCode::ERR_INVALID_ARG_VALUE);
    assert_eq!(code(list.add_range(v6("::1"), "1.1.1.1")), ErrorCode::ERR_INVALID_ARG_VALUE);
    assert!(list.is_empty());
}

#[test]
fn blk_07_a_subnet_need_not_end_at_a_byte_and_its_host_bits_do_not_matter() {
    let list = BlockList::new();
    list.add_subnet("10.0.0.0", 27).unwrap();
    list.add_subnet("1.1.1.0", 16).unwrap();
    list.add_subnet(v6("8592:757c:efaf::"), 51).unwrap();
    list.add_subnet("2.2.2.2", 32).unwrap();
    list.add_subnet(v6("2::2"), 128).unwrap();
    assert!((0..=31).all(|last| list.check([10, 0, 0, last])));
    assert!(!list.check([10, 0, 0, 32]));
    assert!(list.check([1, 1, 0, 1]) && list.check([1, 1, 255, 255]) && !list.check([1, 2, 0, 1]));
    assert!(list.check(v6("8592:757c:efaf:1fff:ffff:ffff:ffff:ffff")));
    assert!(!list.check(v6("8592:757c:efaf:2fff:ffff:ffff:ffff:ffff")));
    assert!(list.check([2, 2, 2, 2]) && !list.check([2, 2, 2, 3]) && !list.check([2, 2, 2, 1]));
    assert!(list.check(v6("2::2")) && !list.check(v6("2::3")) && !list.check(v6("2::1")));
}

#[test]
fn blk_08_subnets_match_the_other_family() {
    let one = |cidr| {
        let list = BlockList::new();
        list.add_cidr(cidr).unwrap();
        list
    };
    assert!(one("10.0.0.0/8").check(v6("::ffff:10.1.2.3")));
    let mapped = one("::ffff:10.0.0.0/104");
    assert!(mapped.check([10, 255, 0, 1]) && !mapped.check([11, 0, 0, 0]));
    let all = one("::/0");
    assert!(all.check([0; 4]) && all.check([255; 4]) && all.check(Ipv6Addr::LOCALHOST));
    let all_ipv4 = one("0.0.0.0/0");
    assert!(all_ipv4.check([0; 4]) && all_ipv4.check([255; 4]));
    assert!(all_ipv4.check(v6("::ffff:8.8.8.8")) && !all_ipv4.check(Ipv6Addr::LOCALHOST));
}

#[test]
fn blk_09_a_prefix_is_at_most_as_long_as_the_address() {
    let list = BlockList::new();
    assert_eq!(code(list.add_subnet("1.1.1.1", 33)), ErrorCode::ERR_OUT_OF_RANGE);
    assert_eq!(code(list.add_subnet(v6("::"), 129)), ErrorCode::ERR_OUT_OF_RANGE);
    assert_eq!(code(list.add_subnet("x", 255)), ErrorCode::ERR_INVALID_ADDRESS);
    list.add_subnet("1.1.1.1", 32).unwrap();
    list.add_subnet(v6("::"), 128).unwrap();
    assert_eq!(list.len(), 2);
}

/// Node returns false for a range whose ends are not mapped, but true for the same address in IPv6 form.
#[test]
fn blk_05_a_range_around_the_mapped_addresses_matches_ipv4_in_both_forms() {
    let list = BlockList::new();
    list.add_range(v6("::"), v6("::ffff:1.1.1.9")).unwrap();
    assert!(list.check([1, 1, 1, 5]) && list.check(v6("::ffff:1.1.1.5")));
    assert!(!list.check([1, 1, 1, 10]));
}
