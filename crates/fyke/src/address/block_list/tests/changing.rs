//! How rules are added and removed, and how the changes are visible.
// BLK-10 to BLK-23

use std::net::IpAddr;
use std::thread;

use super::{code, v6};
use crate::{BlockList, ErrorCode, Family, SocketAddress};

#[test]
fn blk_10_rules_are_addresses_then_subnets_then_ranges_and_the_newest_first() {
    let list = BlockList::new();
    list.add_range("1.1.1.1", "1.1.1.9").unwrap();
    list.add_address("1.2.3.4").unwrap();
    list.add_subnet(v6("2001:0DB8::"), 32).unwrap();
    list.add_address(v6("::0:1")).unwrap();
    list.add_cidr("10.1.2.3/8").unwrap();
    list.add_range(v6("::1"), v6("::2")).unwrap();
    let rules = [
        "Address: IPv6 ::1",
        "Address: IPv4 1.2.3.4",
        "Subnet: IPv4 10.1.2.3/8",
        "Subnet: IPv6 2001:db8::/32",
        "Range: IPv6 ::1-::2",
        "Range: IPv4 1.1.1.1-1.1.1.9",
    ];
    assert_eq!(list.rules(), rules);
}

#[test]
fn blk_11_an_address_counts_once_and_subnets_and_ranges_as_often_as_they_were_added() {
    let list = BlockList::new();
    for _ in 0..2 {
        list.add_address("1.2.3.4").unwrap();
        list.add_cidr("10.0.0.0/8").unwrap();
        list.add_range("1.1.1.1", "1.1.1.9").unwrap();
    }
    assert_eq!((list.len(), list.rules().len()), (5, 5));
    list.add_address(v6("::ffff:1.2.3.4")).unwrap();
    assert_eq!(list.len(), 5);
    assert_eq!(list.rules()[0], "Address: IPv6 ::ffff:1.2.3.4");
}

#[test]
fn blk_12_the_family_of_a_cidr_is_detected() {
    let list = BlockList::new();
    list.add_cidr("10.0.0.0/8").unwrap();
    list.add_cidr("2001:db8::/32").unwrap();
    list.add_cidr("fe80::1%lo/64").unwrap();
    assert!(list.check([10, 1, 2, 3]) && !list.check([11, 0, 0, 1]));
    assert!(list.check(v6("2001:db8:ffff::1")) && !list.check(v6("2001:db9::1")));
    assert!(list.check(v6("fe80::2")));
    assert_eq!(code(list.add_cidr("10.0.0.0")), ErrorCode::ERR_INVALID_ARG_VALUE);
}

#[test]
fn blk_13_several_cidrs_are_added_all_or_none() {
    let list = BlockList::new();
    let bad = [
        ("bad", ErrorCode::ERR_INVALID_ARG_VALUE),
        ("1.1.1/8", ErrorCode::ERR_INVALID_ADDRESS),
        ("1.1.1.1/33", ErrorCode::ERR_OUT_OF_RANGE),
    ];
    for (text, expected) in bad {
        assert_eq!(code(list.add_cidrs(["10.0.0.0/8", text, "1.1.1.0/24"])), expected);
        assert!(list.is_empty());
    }
    list.add_cidrs(Vec::<String>::new()).unwrap();
    assert!(list.is_empty());
    list.add_cidrs(vec![String::from("10.0.0.0/8"), String::from("::/128")]).unwrap();
    assert_eq!(list.rules(), ["Subnet: IPv6 ::/128", "Subnet: IPv4 10.0.0.0/8"]);
}

#[test]
fn blk_14_several_addresses_are_added_all_or_none() {
    let list = BlockList::new();
    assert_eq!(code(list.add_addresses(["1.1.1.1", "::1"])), ErrorCode::ERR_INVALID_ADDRESS);
    assert!(list.is_empty());
    list.add_addresses(["1.1.1.1", "2.2.2.2", "1.1.1.1"]).unwrap();
    list.add_addresses(["::1", "::2"].map(|text| (text, Family::V6))).unwrap();
    list.add_addresses([SocketAddress::new([3, 3, 3, 3], 80)]).unwrap();
    assert_eq!(list.len(), 5);
    assert!(list.check([1, 1, 1, 1]) && list.check(v6("::2")) && list.check([3, 3, 3, 3]));
}

#[test]
fn blk_15_one_rule_of_the_same_value_is_removed() {
    let list = BlockList::new();
    list.add_address(v6("::1")).unwrap();
    list.add_address("1.2.3.4").unwrap();
    assert!(list.remove_address(("0:0:0:0:0:0:0:1", Family::V6)).unwrap());
    assert!(list.remove_address(v6("::ffff:1.2.3.4")).unwrap());
    assert!(!list.remove_address("1.2.3.4").unwrap());
    assert!(list.is_empty());

    for _ in 0..2 {
        list.add_cidr("10.0.0.0/8").unwrap();
        list.add_range("1.1.1.1", "1.1.1.9").unwrap();
    }
    assert!(
        list.remove_cidr("10.0.0.0/8").unwrap() && list.remove_range("1.1.1.1", "1.1.1.9").unwrap()
    );
    assert!(list.check([10, 1, 1, 1]) && list.check([1, 1, 1, 5]));
    assert!(list.remove_subnet("10.0.0.0", 8).unwrap());
    assert!(list.remove_range(v6("::ffff:1.1.1.1"), v6("::ffff:1.1.1.9")).unwrap());
    assert!(!list.check([10, 1, 1, 1]) && !list.check([1, 1, 1, 5]));
    assert!(!list.remove_cidr("10.0.0.0/8").unwrap());
    assert!(list.is_empty());
}

#[test]
fn blk_15_of_equal_rules_the_newest_is_removed() {
    let list = BlockList::new();
    list.add_cidrs(["10.0.0.0/8", "::ffff:10.0.0.0/104"]).unwrap();
    assert!(list.remove_cidr("10.0.0.0/8").unwrap());
    assert_eq!(list.rules(), ["Subnet: IPv4 10.0.0.0/8"]);
}

#[test]
fn blk_15_a_rule_of_another_value_stays() {
    let list = BlockList::new();
    list.add_cidr("10.1.2.3/8").unwrap();
    list.add_range("1.1.1.1", "1.1.1.9").unwrap();
    assert!(!list.remove_cidr("10.0.0.0/8").unwrap());
    assert!(!list.remove_cidr("10.1.2.3/16").unwrap());
    assert!(!list.remove_address("10.1.2.3").unwrap());
    assert!(!list.remove_range("1.1.1.2", "1.1.1.8").unwrap());
    assert!(!list.remove_range("1.1.1.9", "1.1.1.1").unwrap());
    assert!(!list.remove_range("1.1.1.1", v6("::1")).unwrap());
    assert_eq!(list.len(), 2);
}

#[test]
fn blk_15_a_wider_subnet_that_is_removed_leaves_the_narrower_one() {
    let list = BlockList::new();
    list.add_cidrs(["10.0.0.0/8", "10.1.0.0/16"]).unwrap();
    assert!(list.check([10, 2, 0, 1]));
    assert!(list.remove_cidr("10.0.0.0/8").unwrap());
    assert!(list.check([10, 1, 2, 3]) && !list.check([10, 2, 0, 1]));
}

#[test]
fn blk_15_a_bad_text_or_prefix_is_an_error_when_removing_too() {
    let list = BlockList::new();
    assert_eq!(code(list.remove_address("x")), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(code(list.remove_range("1.1.1.1", "::1")), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(code(list.remove_subnet("1.1.1.1", 33)), ErrorCode::ERR_OUT_OF_RANGE);
    assert_eq!(code(list.remove_cidr("1.1.1.1")), ErrorCode::ERR_INVALID_ARG_VALUE);
}

#[test]
fn blk_16_a_cleared_list_blocks_nothing_and_accepts_new_rules() {
    let list = BlockList::new();
    list.add_address("1.1.1.1").unwrap();
    list.add_cidrs(BlockList::PRIVATE_RANGES).unwrap();
    list.add_range("2.0.0.0", "2.0.0.9").unwrap();
    assert!(list.check([10, 0, 0, 1]));
    list.clear();
    assert!(list.is_empty() && list.rules().is_empty());
    assert!(!list.check([1, 1, 1, 1]) && !list.check([10, 0, 0, 1]) && !list.check([2, 0, 0, 0]));
    list.add_address("1.1.1.1").unwrap();
    assert!(list.check([1, 1, 1, 1]));
}

#[test]
fn blk_17_the_private_ranges_are_eight_in_nodes_order() {
    let list = BlockList::new();
    list.add_cidrs(BlockList::PRIVATE_RANGES).unwrap();
    let mut rules = list.rules();
    rules.reverse();
    let cidrs = rules.iter().map(|rule| rule.rsplit_once(' ').unwrap().1);
    assert!(cidrs.eq([
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "::1/128",
        "169.254.0.0/16",
        "fe80::/10",
        "fc00::/7",
    ]));
    let private = ["10.255.255.255", "172.31.0.1", "192.168.0.1", "127.0.0.1", "169.254.0.1"];
    assert!(private.iter().all(|text| list.check_text(text, Family::V4).unwrap()));
    assert!(["::1", "fe80::1", "febf::1", "fd00::1"].iter().all(|text| list.check(v6(text))));
    assert!(!list.check([8, 8, 8, 8]) && !list.check([172, 32, 0, 1]) && !list.check(v6("fec0::")));
}

#[test]
fn blk_18_rules_are_added_in_their_order_so_a_copy_has_them_in_reverse() {
    let list = BlockList::new();
    list.add_addresses(["1.1.1.1", "2.2.2.2"]).unwrap();
    list.add_cidrs(["10.0.0.0/8", "10.0.0.0/8", "::/128"]).unwrap();
    let copy = BlockList::from_rules(list.rules()).unwrap();
    let rules = [
        "Address: IPv4 1.1.1.1",
        "Address: IPv4 2.2.2.2",
        "Subnet: IPv4 10.0.0.0/8",
        "Subnet: IPv4 10.0.0.0/8",
        "Subnet: IPv6 ::/128",
    ];
    assert_eq!(copy.rules(), rules);
    copy.add_rules(list.rules()).unwrap();
    assert_eq!((list.len(), copy.len()), (5, 8));
    for rule in list.rules() {
        list.add_rules([rule]).unwrap();
    }
    assert_eq!(list.len(), 8);
    list.clear();
    assert!(copy.check([2, 2, 2, 2]), "a copy of the rules is another list");
}

#[test]
fn blk_19_text_that_is_not_a_rule_is_skipped_and_after_an_error_nothing_is_added() {
    let list = BlockList::from_rules(["1", "Address: ipv4 1.1.1.1", "Address: IPv4 2.2.2.2"]);
    let list = list.unwrap();
    assert_eq!(list.rules(), ["Address: IPv4 2.2.2.2"]);
    let texts = ["Address: IPv4 3.3.3.3", "Address: IPv4 999.1.1.1"];
    assert_eq!(code(list.add_rules(texts)), ErrorCode::ERR_INVALID_ADDRESS);
    assert_eq!(list.len(), 1);
}

#[test]
fn blk_20_clones_share_the_rules_in_every_thread() {
    let list = BlockList::new();
    let clone = list.clone();
    thread::spawn(move || {
        clone.add_address("1.1.1.1").unwrap();
        clone.add_cidr("10.0.0.0/8").unwrap();
    })
    .join()
    .unwrap();
    assert!(list.check([1, 1, 1, 1]) && list.check([10, 0, 0, 1]));
    let clone = list.clone();
    list.remove_address("1.1.1.1").unwrap();
    assert!(!clone.check([1, 1, 1, 1]) && clone.check([10, 0, 0, 1]));
    clone.clear();
    assert!(list.is_empty() && !list.check([10, 0, 0, 1]));
}

#[test]
fn blk_20_checks_and_changes_in_many_threads_agree_in_the_end() {
    let list = BlockList::new();
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            let list = list.clone();
            scope.spawn(move || {
                for subnet in 0..100_u8 {
                    list.add_subnet(IpAddr::from([10, thread, subnet, 0]), 24).unwrap();
                    assert!(list.check([10, thread, subnet, 7]));
                }
            });
        }
    });
    assert_eq!(list.len(), 400);
    assert!(
        (0..4).all(|thread| list.check([10, thread, 99, 1]) && !list.check([10, thread, 100, 1]))
    );
}

#[test]
fn blk_23_debug_shows_the_rules() {
    let list = BlockList::new();
    assert_eq!(format!("{list:?}"), "BlockList { rules: [] }");
    list.add_address("1.1.1.1").unwrap();
    assert_eq!(format!("{list:?}"), r#"BlockList { rules: ["Address: IPv4 1.1.1.1"] }"#);
}

/// Regression test: the iterator ran while the lock was held, which would be a deadlock.
#[test]
fn an_iterator_of_rules_may_use_the_list_it_is_added_to() {
    let list = BlockList::new();
    let cidrs = (0..3).map(|number| format!("10.{}.0.0/16", list.len() + number));
    list.add_cidrs(cidrs).unwrap();
    assert_eq!(list.len(), 3);
}
