//! The options of a simulated network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::limits::READ_BUFFER_BYTES;

/// The properties of a simulated network. Two networks with equal options that receive the same calls
/// report the same completions at the same times.
///
/// ```
/// use std::net::IpAddr;
/// use std::time::Duration;
/// use fyke_driver::sim::SimOptions;
///
/// let far_away = SimOptions { latency: Duration::from_millis(40), ..SimOptions::seeded(7) }
///     .host("example.test", ["127.0.0.5".parse::<IpAddr>().unwrap()]);
/// assert_eq!(far_away.seed, 7);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SimOptions {
    /// The seed of all random choices in the network.
    pub seed: u64,
    /// The time that bytes, ends and resets take to arrive. Establishing a connection takes twice as
    /// long.
    pub latency: Duration,
    /// The window of each direction of a connection: the number of bytes that may be sent and not yet
    /// received. At least 1.
    pub window_bytes: usize,
    /// The largest piece that is received at once, in bytes: from 1 to [`READ_BUFFER_BYTES`].
    pub piece_bytes_max: usize,
    /// Whether sent data is cut into pieces at random, with short pauses between them, and waiting pieces
    /// are joined at random. If `false`, one send arrives as one piece, up to
    /// [`piece_bytes_max`](Self::piece_bytes_max).
    pub cut: bool,
    /// Whether a reset discards bytes that have arrived and were not received yet. RFC 9293 allows both.
    /// If `false`, those bytes, and an end that arrived, are received before the reset, as on Linux.
    pub reset_loses_unread: bool,
    /// The addresses of each host name, in the order in which a lookup returns them. Upper and lower case
    /// are the same. Names that are not in the map have no addresses.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// The time that the lookup of a host name takes.
    pub lookup_delay: Duration,
    /// Addresses that never answer: connecting to them does not complete. Other addresses that are not
    /// loopback addresses are unreachable.
    pub silent: BTreeSet<IpAddr>,
}

impl Default for SimOptions {
    /// Seed 1, a latency of 50 microseconds, windows of 128 KiB, and pieces of up to 64 KiB. `localhost`
    /// is 127.0.0.1, and a lookup takes 1 millisecond.
    fn default() -> Self {
        Self {
            seed: 1,
            latency: Duration::from_micros(50),
            window_bytes: 128 * 1024,
            piece_bytes_max: READ_BUFFER_BYTES,
            cut: true,
            reset_loses_unread: false,
            hosts: BTreeMap::from([("localhost".to_owned(), vec![Ipv4Addr::LOCALHOST.into()])]),
            lookup_delay: Duration::from_millis(1),
            silent: BTreeSet::new(),
        }
    }
}

impl SimOptions {
    /// Returns the default options with another seed.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use fyke::sim::SimOptions;
    ///
    /// // Another seed, other cuts and delays; the same seed, the same events.
    /// assert_ne!(SimOptions::seeded(1), SimOptions::seeded(2));
    /// assert_eq!(SimOptions::seeded(1), SimOptions::default());
    /// ```
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Sets the addresses of a host name, replacing any addresses set before.
    ///
    /// ```
    /// # extern crate fyke_driver as fyke;
    /// use std::net::Ipv4Addr;
    /// use fyke::sim::SimOptions;
    ///
    /// let address = Ipv4Addr::new(127, 0, 0, 5).into();
    /// let network = SimOptions::default().host("db.test", [address]);
    /// assert_eq!(network.hosts["db.test"], [address]);
    /// ```
    #[must_use]
    pub fn host(mut self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.hosts.retain(|known, _| !known.eq_ignore_ascii_case(name));
        self.hosts.insert(name.to_owned(), addresses.into_iter().collect());
        self
    }

    /// Returns the addresses of a host name. An IP address in text form resolves to itself.
    pub(super) fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let known = self.hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(host));
        known.map(|(_, addresses)| addresses.clone()).unwrap_or_default()
    }

    /// Returns the options with every number limited to its bounds.
    pub(super) fn within_bounds(mut self) -> Self {
        self.window_bytes = self.window_bytes.max(1);
        self.piece_bytes_max = self.piece_bytes_max.clamp(1, READ_BUFFER_BYTES);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_resolves_in_any_case_and_unknown_names_have_no_addresses() {
        let options = SimOptions::default();
        assert_eq!(options.addresses_of("LocalHost"), [IpAddr::from([127, 0, 0, 1])]);
        assert!(options.addresses_of("nowhere.test").is_empty());
    }

    #[test]
    fn an_address_as_text_resolves_to_itself() {
        let address = SimOptions::default().addresses_of("::1");
        assert_eq!(address, [IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]);
    }

    #[test]
    fn naming_a_host_again_replaces_its_addresses() {
        let first = IpAddr::from([127, 0, 0, 1]);
        let second = IpAddr::from([127, 0, 0, 2]);
        let options = SimOptions::seeded(3).host("A.test", [first]).host("a.test", [second]);
        assert_eq!(options.addresses_of("A.TEST"), [second]);
        assert_eq!(options.seed, 3);
    }

    #[test]
    fn sizes_out_of_bounds_are_clamped() {
        let options = SimOptions { window_bytes: 0, piece_bytes_max: 0, ..Default::default() };
        let options = options.within_bounds();
        assert_eq!((options.window_bytes, options.piece_bytes_max), (1, 1));
        let options = SimOptions { piece_bytes_max: usize::MAX, ..Default::default() };
        assert_eq!(options.within_bounds().piece_bytes_max, READ_BUFFER_BYTES);
    }
}
