//! `BlockList`: the addresses that nobody may connect to, or from.
//!
//! | file | what it knows |
//! |---|---|
//! | `rule` | one rule: which addresses it covers, and how it is written |
//! | `reading` | the same text, and CIDR notation, back to a rule |
//! | `rules` | all rules, in the order they came, and the question whether one matches |
//! | `intervals` | many intervals, and the question whether one holds a value |

mod intervals;
#[cfg(feature = "serde")]
mod json;
#[cfg(test)]
mod properties;
mod reading;
mod rule;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::rule::{Range, Rule, Subnet, value};
use self::rules::Rules;
use super::ToIpAddr;
use crate::{Family, Result};

/// Addresses, ranges and subnets that are refused: Node's `net.BlockList`.
///
/// An IPv4 address and its IPv6 form `::ffff:a.b.c.d` are the same address, in every rule and
/// every question: a dual-stack server sees the clients of a blocked IPv4 subnet in the other form.
///
/// A clone is another handle to the same rules, in this thread or another; a list without rules
/// blocks nothing.
///
/// A check takes time that grows with the logarithm of the number of rules, and waits only for a
/// thread that is changing them. The first one after ranges or subnets were changed sorts them.
///
/// What is taken for an address, and how text is read, says [`ToIpAddr`].
///
/// ```
/// use std::net::Ipv6Addr;
///
/// use fyke::{BlockList, Family};
///
/// let list = BlockList::new();
/// list.add_address("192.0.2.1")?;
/// list.add_range("198.51.100.1", "198.51.100.9")?;
/// list.add_cidr("2001:db8::/32")?;
///
/// assert!(list.check([198, 51, 100, 5]));
/// assert!(list.check("::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap()));
/// assert!(list.check_text("2001:db8::1", Family::V6)?);
/// assert!(!list.check([192, 0, 2, 2]));
/// # Ok::<(), fyke::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct BlockList {
    /// Nobody else's code runs while this is locked.
    rules: Arc<RwLock<Rules>>,
}

/// # Making
impl BlockList {
    /// The subnets that are not reached from the internet: private (RFC 1918, RFC 4193), loopback
    /// and link-local. For [`add_cidrs`](Self::add_cidrs).
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_cidrs(fyke::BlockList::PRIVATE_RANGES)?;
    /// assert!(list.check([127, 0, 0, 1]));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub const PRIVATE_RANGES: [&'static str; 8] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "::1/128",
        "169.254.0.0/16",
        "fe80::/10",
        "fc00::/7",
    ];

    /// A list without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// A list of rules as [`rules`](Self::rules) gives them; see [`add_rules`](Self::add_rules).
    ///
    /// # Errors
    ///
    /// Those of [`add_rules`](Self::add_rules).
    pub fn from_rules<I>(texts: I) -> Result<Self>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let list = Self::new();
        list.add_rules(texts)?;
        Ok(list)
    }
}

/// # Adding
impl BlockList {
    /// Blocks one address. One that is listed already is not listed twice; it becomes the newest,
    /// in the form it has now. Node: `addAddress`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS`: a text that is no address, or one of the other family.
    #[doc(alias = "addAddress")]
    pub fn add_address(&self, address: impl ToIpAddr) -> Result<()> {
        self.add([Rule::Address(address.to_ip_addr()?)]);
        Ok(())
    }

    /// Blocks several addresses, or on an error none. Node: `addAddresses`.
    ///
    /// # Errors
    ///
    /// Those of [`add_address`](Self::add_address).
    #[doc(alias = "addAddresses")]
    pub fn add_addresses<I>(&self, addresses: I) -> Result<()>
    where
        I: IntoIterator<Item: ToIpAddr>,
    {
        let addresses = addresses.into_iter();
        self.add_all(addresses.map(|address| address.to_ip_addr().map(Rule::Address)))
    }

    /// Blocks every address from `start` to `end`, both included. Ends of which one is IPv4 and the
    /// other `::ffff:a.b.c.d` make an IPv4 range. A range that is listed already is listed again.
    /// Node: `addRange`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS`: a text that is no address, or one of the other family.
    /// `ERR_INVALID_ARG_VALUE`: `start` is greater than `end`, or they are of different families.
    #[doc(alias = "addRange")]
    pub fn add_range(&self, start: impl ToIpAddr, end: impl ToIpAddr) -> Result<()> {
        self.add([Rule::Range(Range::new(start.to_ip_addr()?, end.to_ip_addr()?)?)]);
        Ok(())
    }

    /// Blocks every address that has its first `prefix` bits in common with `network`, whose other
    /// bits do not matter. A subnet that is listed already is listed again. Node: `addSubnet`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS`: a text that is no address, or one of the other family.
    /// `ERR_OUT_OF_RANGE`: a prefix of more than 32 bits for IPv4, or 128 for IPv6.
    #[doc(alias = "addSubnet")]
    pub fn add_subnet(&self, network: impl ToIpAddr, prefix: u8) -> Result<()> {
        self.add([Rule::Subnet(Subnet::new(network.to_ip_addr()?, prefix)?)]);
        Ok(())
    }

    /// Blocks a subnet in CIDR notation: `10.0.0.0/8`, `2001:db8::/32` (RFC 4632 section 3.1, RFC
    /// 4291 section 2.3). Node: `addCIDR`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ARG_VALUE`: no `/`, or what follows it is not a plain decimal number.
    /// `ERR_INVALID_ADDRESS`: what precedes it is no address.
    /// `ERR_OUT_OF_RANGE`: a prefix of more than 32 bits for IPv4, or 128 for IPv6.
    #[doc(alias = "addCIDR")]
    pub fn add_cidr(&self, cidr: &str) -> Result<()> {
        self.add([Rule::Subnet(Subnet::from_cidr(cidr)?)]);
        Ok(())
    }

    /// Blocks several subnets in CIDR notation, or on an error none. Node: `addCIDRs`.
    ///
    /// # Errors
    ///
    /// Those of [`add_cidr`](Self::add_cidr).
    #[doc(alias = "addCIDRs")]
    pub fn add_cidrs<I>(&self, cidrs: I) -> Result<()>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let cidrs = cidrs.into_iter();
        self.add_all(cidrs.map(|cidr| Subnet::from_cidr(cidr.as_ref()).map(Rule::Subnet)))
    }

    /// Adds rules as [`rules`](Self::rules) gives them, in this order, or on an error none. As that
    /// begins with the newest, ranges and subnets come back in reverse. Node: `fromJSON` with an
    /// array.
    ///
    /// A text that is not in the form of a rule is skipped, as in Node, whose later versions may
    /// have other rules.
    ///
    /// # Errors
    ///
    /// A text in the form of a rule with a value that cannot be: `ERR_INVALID_ADDRESS`,
    /// `ERR_INVALID_ARG_VALUE` for a range in reverse, `ERR_OUT_OF_RANGE` for a prefix.
    #[doc(alias = "fromJSON")]
    pub fn add_rules<I>(&self, texts: I) -> Result<()>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let texts = texts.into_iter();
        self.add_all(texts.filter_map(|text| Rule::parse(text.as_ref()).transpose()))
    }

    fn add(&self, rules: impl IntoIterator<Item = Rule>) {
        let mut list = self.write();
        for rule in rules {
            list.add(rule);
        }
    }

    /// All or none (BLK-13, BLK-14, BLK-19), and the caller's iterator runs before the lock is
    /// taken: it may use this list.
    fn add_all(&self, rules: impl Iterator<Item = Result<Rule>>) -> Result<()> {
        let rules: Vec<Rule> = rules.collect::<Result<_>>()?;
        self.add(rules);
        Ok(())
    }
}

/// # Removing
///
/// A rule is found by its value, not by its text: `::1` is `0:0:0:0:0:0:0:1`, and an IPv4 address
/// is its IPv6 form. Of equal rules the newest one goes. Each says whether there was one, where
/// Node says nothing (BLK-15).
impl BlockList {
    /// Removes the rule for one address. It may still be in a range or subnet. Node:
    /// `removeAddress`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS`: a text that is no address, or one of the other family.
    #[doc(alias = "removeAddress")]
    pub fn remove_address(&self, address: impl ToIpAddr) -> Result<bool> {
        Ok(self.remove(&Rule::Address(address.to_ip_addr()?)))
    }

    /// Removes the rule for the range with these ends. Node: `removeRange`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS`: a text that is no address, or one of the other family.
    #[doc(alias = "removeRange")]
    pub fn remove_range(&self, start: impl ToIpAddr, end: impl ToIpAddr) -> Result<bool> {
        let (start, end) = (start.to_ip_addr()?, end.to_ip_addr()?);
        // Ends that make no range are no error here: such a rule is just not listed.
        Ok(Range::new(start, end).is_ok_and(|range| self.remove(&Rule::Range(range))))
    }

    /// Removes the rule for this subnet, with the same prefix and the same bits after it. Node:
    /// `removeSubnet`.
    ///
    /// # Errors
    ///
    /// Those of [`add_subnet`](Self::add_subnet).
    #[doc(alias = "removeSubnet")]
    pub fn remove_subnet(&self, network: impl ToIpAddr, prefix: u8) -> Result<bool> {
        Ok(self.remove(&Rule::Subnet(Subnet::new(network.to_ip_addr()?, prefix)?)))
    }

    /// Removes the rule for a subnet in CIDR notation. Node: `removeCIDR`.
    ///
    /// # Errors
    ///
    /// Those of [`add_cidr`](Self::add_cidr).
    #[doc(alias = "removeCIDR")]
    pub fn remove_cidr(&self, cidr: &str) -> Result<bool> {
        Ok(self.remove(&Rule::Subnet(Subnet::from_cidr(cidr)?)))
    }

    /// Removes all rules. Node: `clear`.
    pub fn clear(&self) {
        *self.write() = Rules::default();
    }

    fn remove(&self, rule: &Rule) -> bool {
        self.write().remove(rule)
    }
}

/// # Asking
impl BlockList {
    /// Says whether an address is blocked. A [`SocketAddress`](crate::SocketAddress) is taken too;
    /// its port is ignored. Node: `check`.
    pub fn check(&self, address: impl Into<IpAddr>) -> bool {
        let value = value(address.into());
        self.read().matches(value)
    }

    /// Returns whether the address in `text`, read as an address of `family`, is blocked. A zone
    /// (`fe80::1%eth0`) is ignored. Node: `check` with a text, which returns false for text that it
    /// cannot parse; to do the same, use `unwrap_or(false)`, but then such text passes.
    ///
    /// ```
    /// use fyke::{BlockList, ErrorCode, Family};
    ///
    /// let list = BlockList::new();
    /// list.add_cidr("10.0.0.0/8")?;
    /// assert!(list.check_text("10.1.2.3", Family::V4)?);
    /// let error = list.check_text("10.1.2.03", Family::V4).unwrap_err();
    /// assert_eq!(error.code(), ErrorCode::ERR_INVALID_ADDRESS);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS` for text that is not an address of `family`.
    #[doc(alias = "check")]
    pub fn check_text(&self, text: &str, family: Family) -> Result<bool> {
        Ok(self.check((text, family).to_ip_addr()?))
    }

    /// The rules as text, the newest first: addresses, then subnets, then ranges. Node: `rules`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_range("192.0.2.1", "192.0.2.9")?;
    /// list.add_cidr("2001:db8::/32")?;
    /// list.add_address("192.0.2.1")?;
    /// let rules = [
    ///     "Address: IPv4 192.0.2.1",
    ///     "Subnet: IPv6 2001:db8::/32",
    ///     "Range: IPv4 192.0.2.1-192.0.2.9",
    /// ];
    /// assert_eq!(list.rules(), rules);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn rules(&self) -> Vec<String> {
        self.read().texts()
    }

    /// How many rules there are. Node: `size`.
    #[doc(alias = "size")]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Says whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // A panic with the lock held is one of the allocator; the rules are whole before and after.

    fn read(&self) -> RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rules> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BlockList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockList").field("rules", &self.rules()).finish()
    }
}
