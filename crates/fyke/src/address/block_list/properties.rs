//! Compares the block list with a model that is as simple as possible: a list of rules that are checked one
//! by one, with bytes and bits where the real list uses numbers.

use std::collections::HashSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use proptest::prelude::*;

use super::BlockList;

#[derive(Clone, Copy, Debug)]
enum Rule {
    Address(IpAddr),
    Range(IpAddr, IpAddr),
    Subnet(IpAddr, u8),
}

#[derive(Clone, Debug)]
enum Step {
    Add(Rule),
    Remove(Rule),
    /// Removes the n-th rule that was added, which may already be removed.
    RemoveAdded(prop::sample::Index),
    Check(IpAddr),
    Clear,
}

/// The sixteen bytes of the address in IPv6 form.
fn bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

impl Rule {
    fn covers(&self, ip: IpAddr) -> bool {
        match *self {
            Self::Address(address) => bytes(address) == bytes(ip),
            Self::Range(start, end) => bytes(start) <= bytes(ip) && bytes(ip) <= bytes(end),
            Self::Subnet(network, prefix) => {
                let bit = |bytes: [u8; 16], at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
                (0..bits(network, prefix)).all(|at| bit(bytes(network), at) == bit(bytes(ip), at))
            }
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Address(one), Self::Address(two)) => bytes(one) == bytes(two),
            (Self::Range(a, b), Self::Range(c, d)) => (bytes(a), bytes(b)) == (bytes(c), bytes(d)),
            (Self::Subnet(one, p), Self::Subnet(two, q)) => {
                bytes(one) == bytes(two) && bits(one, p) == bits(two, q)
            }
            _ => false,
        }
    }

    /// Returns whether the real list accepts the rule, so that the model need not decide this.
    fn add(&self, list: &BlockList) -> bool {
        match *self {
            Self::Address(address) => list.add_address(address).is_ok(),
            Self::Range(start, end) => list.add_range(start, end).is_ok(),
            Self::Subnet(network, prefix) => list.add_subnet(network, prefix).is_ok(),
        }
    }

    fn remove(&self, list: &BlockList) -> bool {
        match *self {
            Self::Address(address) => list.remove_address(address).unwrap(),
            Self::Range(start, end) => list.remove_range(start, end).unwrap(),
            Self::Subnet(network, prefix) => list.remove_subnet(network, prefix).unwrap(),
        }
    }
}

fn bits(network: IpAddr, prefix: u8) -> usize {
    usize::from(prefix) + if network.is_ipv4() { 96 } else { 0 }
}

/// Few different addresses, so that rules overlap: IPv4, the same addresses mapped to IPv6, and IPv6
/// addresses next to the mapped ones.
fn ip() -> impl Strategy<Value = IpAddr> {
    let byte = || prop_oneof![Just(0_u8), Just(1), Just(127), Just(128), Just(255)];
    let v4 = || [Just(10_u8).boxed(), byte().boxed(), Just(0).boxed(), byte().boxed()];
    let v6 = prop_oneof![Just(0_u16), Just(0xfffe), Just(0xffff), Just(0x2001)];
    prop_oneof![
        3 => v4().prop_map(|bytes| Ipv4Addr::from(bytes).into()),
        2 => v4().prop_map(|bytes| Ipv4Addr::from(bytes).to_ipv6_mapped().into()),
        2 => (v6, byte()).prop_map(|(group, byte)| {
            Ipv6Addr::from([0, 0, 0, 0, 0, group, 0x0a00, byte.into()]).into()
        }),
        1 => any::<IpAddr>(),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let subnet = ip().prop_flat_map(|network| {
        let longest = if network.is_ipv4() { 32_u8 } else { 128 };
        // Short prefixes cover everything, and a check against them would test nothing.
        let prefix = prop_oneof![4 => longest - 32..=longest, 1 => 0..=longest];
        prefix.prop_map(move |prefix| Rule::Subnet(network, prefix))
    });
    prop_oneof![
        ip().prop_map(Rule::Address),
        (ip(), ip()).prop_map(|(one, two)| Rule::Range(one, two)),
        subnet,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => rule().prop_map(Step::Add),
        2 => rule().prop_map(Step::Remove),
        3 => any::<prop::sample::Index>().prop_map(Step::RemoveAdded),
        6 => ip().prop_map(Step::Check),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn blk_01_to_16_a_block_list_matches_a_simple_list(
        steps in prop::collection::vec(step(), 1..40),
        asked in prop::collection::vec(ip(), 8),
    ) {
        let list = BlockList::new();
        let mut added: Vec<Rule> = Vec::new();
        let mut simple: Vec<Rule> = Vec::new();
        let remove = |simple: &mut Vec<Rule>, rule: Rule| {
            let index = simple.iter().rposition(|other| other.equals(&rule));
            index.map(|index| simple.remove(index)).is_some()
        };
        for step in steps {
            match step {
                Step::Add(rule) => {
                    if rule.add(&list) {
                        if matches!(rule, Rule::Address(_)) {
                            remove(&mut simple, rule);
                        }
                        simple.push(rule);
                        added.push(rule);
                    } else {
                        prop_assert!(matches!(rule, Rule::Range(..)), "{:?}", rule);
                    }
                }
                Step::Remove(rule) => {
                    prop_assert_eq!(rule.remove(&list), remove(&mut simple, rule), "{:?}", rule);
                }
                Step::RemoveAdded(index) if !added.is_empty() => {
                    let rule = *index.get(&added);
                    prop_assert_eq!(rule.remove(&list), remove(&mut simple, rule), "{:?}", rule);
                }
                Step::RemoveAdded(_) => {}
                Step::Check(ip) => {
                    let covered = simple.iter().any(|rule| rule.covers(ip));
                    prop_assert_eq!(list.check(ip), covered, "{}", ip);
                }
                Step::Clear => {
                    list.clear();
                    simple.clear();
                }
            }
            prop_assert_eq!(list.len(), simple.len());
        }
        let copy = BlockList::from_rules(list.rules()).unwrap();
        for ip in asked {
            let covered = simple.iter().any(|rule| rule.covers(ip));
            prop_assert_eq!((list.check(ip), copy.check(ip)), (covered, covered), "{}", ip);
        }
        let texts = |list: &BlockList| list.rules().into_iter().collect::<HashSet<_>>();
        prop_assert_eq!(texts(&copy), texts(&list));
    }
}

/// Uses 10,000 rules of one kind, none of which covers the address that is checked, so the linear list
/// compares all of them.
#[test]
#[ignore = "a measurement: cargo test --release -p fyke -- --ignored --nocapture block_list"]
fn a_check_is_fifty_times_faster_than_a_linear_list() {
    let network = |number: u32| IpAddr::from((0x0a00_0000 + (number << 8)).to_be_bytes());
    let kinds: [(&str, fn(IpAddr) -> Rule); 3] = [
        ("addresses", Rule::Address),
        ("subnets", |network| Rule::Subnet(network, 28)),
        ("ranges", |network| Rule::Range(network, network)),
    ];
    for (name, kind) in kinds {
        let rules: Vec<Rule> = (0..10_000).map(|number| kind(network(number))).collect();
        let linear: Vec<(u128, u128)> = rules
            .iter()
            .map(|rule| match *rule {
                Rule::Address(ip) | Rule::Range(ip, _) => (super::value(ip), super::value(ip)),
                Rule::Subnet(ip, _) => (super::value(ip), super::value(ip) | 15),
            })
            .collect();
        let list = BlockList::new();
        assert!(rules.iter().all(|rule| rule.add(&list)));
        // Addresses next to the rules, in no particular order.
        let beside = |number: u32| IpAddr::from((0x0a00_0080 + (number << 8)).to_be_bytes());
        let asked: Vec<IpAddr> = (0..10_000).map(|n| beside(n * 7919 % 10_000)).collect();
        let start = Instant::now();
        assert!(!list.check(asked[0]));
        let first = start.elapsed();
        let start = Instant::now();
        for _ in 0..100 {
            assert!(!asked.iter().any(|ip| list.check(black_box(*ip))));
        }
        let check = start.elapsed() / 1_000_000;
        let start = Instant::now();
        for ip in &asked[..1_000] {
            let ip = super::value(black_box(*ip));
            assert!(!black_box(&linear).iter().any(|(start, end)| (*start..=*end).contains(&ip)));
        }
        let simple = start.elapsed() / 1_000;
        println!("10,000 {name}: {check:?} a check (the first {first:?}), linear {simple:?}");
        assert!(check * 50 <= simple, "{name}");
    }
}
