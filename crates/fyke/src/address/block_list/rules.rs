//! All rules of a block list in the order in which they were added, and the check of an address against
//! them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use super::intervals::Intervals;
use super::rule::{Range, Rule, Subnet, value};

/// The three kinds of rules, stored so that a check is fast: it looks an address up in a map and searches
/// the ranges and subnets, which the first check after a change sorts and merges.
#[derive(Default)]
pub(super) struct Rules {
    /// By value, so that no address is stored twice.
    // BLK-11
    addresses: HashMap<u128, Listed>,
    /// The number of addresses that were ever added.
    added: u64,
    /// The oldest first.
    subnets: Vec<Subnet>,
    /// The oldest first.
    ranges: Vec<Range>,
    /// The merged subnets and ranges; empty after they were changed.
    intervals: OnceLock<Intervals>,
}

/// An address in the family in which it was given, and its position in the order of addition.
struct Listed {
    address: IpAddr,
    number: u64,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) {
        match rule {
            Rule::Address(address) => {
                self.added += 1;
                self.addresses.insert(value(address), Listed { address, number: self.added });
            }
            Rule::Range(range) => {
                self.ranges.push(range);
                self.intervals.take();
            }
            Rule::Subnet(subnet) => {
                self.subnets.push(subnet);
                self.intervals.take();
            }
        }
    }

    /// Removes the newest rule with an equal value. Returns whether there was one.
    // BLK-15
    pub(super) fn remove(&mut self, rule: &Rule) -> bool {
        let removed = match rule {
            Rule::Address(address) => return self.addresses.remove(&value(*address)).is_some(),
            Rule::Range(range) => {
                remove_last(&mut self.ranges, |other| other.interval() == range.interval())
            }
            Rule::Subnet(subnet) => {
                remove_last(&mut self.subnets, |other| other.key() == subnet.key())
            }
        };
        if removed {
            self.intervals.take();
        }
        removed
    }

    /// Returns whether a rule matches the address with this [`value`].
    pub(super) fn matches(&self, value: u128) -> bool {
        self.addresses.contains_key(&value) || self.intervals().contains(value)
    }

    fn intervals(&self) -> &Intervals {
        self.intervals.get_or_init(|| {
            let subnets = self.subnets.iter().map(Subnet::interval);
            Intervals::new(subnets.chain(self.ranges.iter().map(Range::interval)))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.addresses.len() + self.subnets.len() + self.ranges.len()
    }

    /// The texts of addresses, subnets and ranges, in this order; the newest first within each kind.
    // BLK-10
    pub(super) fn texts(&self) -> Vec<String> {
        let mut addresses: Vec<&Listed> = self.addresses.values().collect();
        addresses.sort_unstable_by_key(|listed| Reverse(listed.number));
        let addresses = addresses.into_iter().map(|listed| Rule::Address(listed.address));
        let subnets = self.subnets.iter().rev().cloned().map(Rule::Subnet);
        let ranges = self.ranges.iter().rev().cloned().map(Rule::Range);
        addresses.chain(subnets).chain(ranges).map(|rule| rule.to_string()).collect()
    }
}

fn remove_last<T>(rules: &mut Vec<T>, is_equal: impl Fn(&T) -> bool) -> bool {
    match rules.iter().rposition(is_equal) {
        Some(index) => {
            rules.remove(index);
            true
        }
        None => false,
    }
}
