//! The order in which the addresses of a host are tried.

use std::collections::VecDeque;
use std::net::SocketAddr;

use fyke_driver::Family;

/// Orders the addresses: exact duplicates are dropped, the family of the first address comes first, then
/// the families alternate. When one family is exhausted, the rest follow in order (RFC 8305, section 4).
// HE-09.
pub(super) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    if unique.len() <= 1 {
        return unique.into();
    }
    let leading = unique.first().map(Family::of);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        unique.into_iter().partition(|address| Some(Family::of(address)) == leading);
    let mut order = VecDeque::with_capacity(first.len() + second.len());
    while !(first.is_empty() && second.is_empty()) {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 80));
        interleave(addresses).iter().map(|found| found.ip().to_string()).collect()
    }

    #[test]
    fn he_09_families_alternate_and_the_first_leads() {
        let given = ["::a", "::b", "::c", "1.0.0.1", "1.0.0.2", "1.0.0.3"];
        let wanted = ["::a", "1.0.0.1", "::b", "1.0.0.2", "::c", "1.0.0.3"];
        assert_eq!(order(&given), wanted);
        assert_eq!(order(&["1.0.0.1", "::a", "1.0.0.2", "1.0.0.3"])[..2], ["1.0.0.1", "::a"]);
    }

    #[test]
    fn he_09_duplicates_are_dropped_and_the_rest_follows_in_order() {
        let given = ["1.0.0.1", "1.0.0.1", "1.0.0.2", "::a", "1.0.0.3"];
        assert_eq!(order(&given), ["1.0.0.1", "::a", "1.0.0.2", "1.0.0.3"]);
    }
}
