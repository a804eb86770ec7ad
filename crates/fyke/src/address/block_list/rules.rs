//! All rules of a block list, in the order they came, and the question whether one matches.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use super::intervals::Intervals;
use super::rule::{Range, Rule, Subnet, value};

/// Three kinds, each stored for the question that is asked most: a check looks an address up, and
/// searches the ranges and subnets, which are sorted and merged when the first check needs them.
#[derive(Default)]
pub(super) struct Rules {
    /// By value, so that none is there twice (BLK-11).
    addresses: HashMap<u128, Listed>,
    /// How many addresses were ever added.
    added: u64,
    /// The oldest first.
    subnets: Vec<Subnet>,
    /// The oldest first.
    ranges: Vec<Range>,
    /// Of subnets and ranges; empty after they were changed.
    intervals: OnceLock<Intervals>,
}

/// An address, in the family it was given in, and its place in the order.
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

    /// Removes the newest rule that is equal in value, and says whether there was one (BLK-15).
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

    /// Says whether a rule matches the address with this [`value`].
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

    /// Addresses, subnets, ranges; in each the newest first (BLK-10).
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
