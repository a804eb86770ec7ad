//! `BlockList`: addresses that connections are refused from or to.
//!
//! | file | contents |
//! |---|---|
//! | `rule` | one rule: which addresses it covers, and its text form |
//! | `reading` | parses a rule from its text form or from CIDR notation |
//! | `rules` | all rules in the order in which they were added, and the check of an address against them |
//! | `intervals` | a set of intervals, and the check whether one of them contains a value |

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

/// A list of addresses, ranges and subnets that are refused: Node's `net.BlockList`.
///
/// An IPv4 address and its IPv6 form `::ffff:a.b.c.d` are the same address in every rule and every check: a
/// dual-stack server sees the clients of a blocked IPv4 subnet in IPv6 form.
///
/// A clone is another handle to the same rules, in this thread or another. A list without rules blocks
/// nothing.
///
/// The time of a check grows with the logarithm of the number of rules. A check waits only while another
/// thread changes the rules. The first check after ranges or subnets were changed sorts them.
///
/// [`ToIpAddr`] lists the types that are accepted as an address, and describes how text is parsed.
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
    /// No user code runs while this is locked.
    rules: Arc<RwLock<Rules>>,
}

/// # Making
impl BlockList {
    /// The subnets that are not reachable from the internet: private (RFC 1918, RFC 4193), loopback and
    /// link-local. For [`add_cidrs`](Self::add_cidrs).
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

    /// Makes a list without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a list of rules in the form of [`rules`](Self::rules); see [`add_rules`](Self::add_rules).
    ///
    /// ```
    /// let list = fyke::BlockList::from_rules(["Subnet: IPv4 10.0.0.0/8", "Address: IPv4 192.0.2.1"])?;
    /// assert!(list.check([10, 1, 2, 3]) && list.check([192, 0, 2, 1]));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`add_rules`](Self::add_rules).
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
    /// Blocks one address. An address that is already in the list is not added twice: it becomes the newest
    /// rule, in the form in which it was passed last. Node: `addAddress`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_address("192.0.2.1")?;
    /// assert!(list.check([192, 0, 2, 1]));
    /// assert!(list.add_address("192.0.2.256").is_err());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS` for text that is not an address, or is an address of another family.
    #[doc(alias = "addAddress")]
    pub fn add_address(&self, address: impl ToIpAddr) -> Result<()> {
        self.add([Rule::Address(address.to_ip_addr()?)]);
        Ok(())
    }

    /// Blocks several addresses. If one of them is not valid, none is added. Node: `addAddresses`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// assert!(list.add_addresses(["192.0.2.1", "nonsense"]).is_err());
    /// assert!(list.is_empty(), "all or none");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`add_address`](Self::add_address).
    #[doc(alias = "addAddresses")]
    pub fn add_addresses<I>(&self, addresses: I) -> Result<()>
    where
        I: IntoIterator<Item: ToIpAddr>,
    {
        let addresses = addresses.into_iter();
        self.add_all(addresses.map(|address| address.to_ip_addr().map(Rule::Address)))
    }

    /// Blocks every address from `start` to `end`, inclusive. If one end is an IPv4 address and the other
    /// one has the form `::ffff:a.b.c.d`, the range is an IPv4 range. A range that is already in the list
    /// is added again. Node: `addRange`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_range("192.0.2.1", "192.0.2.9")?;
    /// assert!(list.check([192, 0, 2, 9]) && !list.check([192, 0, 2, 10]));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `ERR_INVALID_ADDRESS` for text that is not an address, or is an address of another family.
    /// - `ERR_INVALID_ARG_VALUE` if `start` is greater than `end`, or their families differ.
    #[doc(alias = "addRange")]
    pub fn add_range(&self, start: impl ToIpAddr, end: impl ToIpAddr) -> Result<()> {
        self.add([Rule::Range(Range::new(start.to_ip_addr()?, end.to_ip_addr()?)?)]);
        Ok(())
    }

    /// Blocks every address whose first `prefix` bits are those of `network`. The other bits of `network`
    /// are ignored. A subnet that is already in the list is added again. Node: `addSubnet`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_subnet("192.0.2.77", 24)?;
    /// assert!(list.check([192, 0, 2, 1]));
    /// assert!(list.add_subnet("192.0.2.0", 33).is_err());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `ERR_INVALID_ADDRESS` for text that is not an address, or is an address of another family.
    /// - `ERR_OUT_OF_RANGE` if `prefix` is more than 32 bits for IPv4, or 128 for IPv6.
    #[doc(alias = "addSubnet")]
    pub fn add_subnet(&self, network: impl ToIpAddr, prefix: u8) -> Result<()> {
        self.add([Rule::Subnet(Subnet::new(network.to_ip_addr()?, prefix)?)]);
        Ok(())
    }

    /// Blocks a subnet in CIDR notation: `10.0.0.0/8`, `2001:db8::/32` (RFC 4632 section 3.1, RFC 4291
    /// section 2.3). Node: `addCIDR`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_cidr("2001:db8::/32")?;
    /// assert!(list.check([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `ERR_INVALID_ARG_VALUE` if there is no `/`, or no plain decimal number after it.
    /// - `ERR_INVALID_ADDRESS` if the text before the `/` is not an address.
    /// - `ERR_OUT_OF_RANGE` if the prefix is more than 32 bits for IPv4, or 128 for IPv6.
    #[doc(alias = "addCIDR")]
    pub fn add_cidr(&self, cidr: &str) -> Result<()> {
        self.add([Rule::Subnet(Subnet::from_cidr(cidr)?)]);
        Ok(())
    }

    /// Blocks several subnets in CIDR notation. If one of them is not valid, none is added. Node:
    /// `addCIDRs`.
    ///
    /// # Errors
    ///
    /// The errors of [`add_cidr`](Self::add_cidr).
    #[doc(alias = "addCIDRs")]
    pub fn add_cidrs<I>(&self, cidrs: I) -> Result<()>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let cidrs = cidrs.into_iter();
        self.add_all(cidrs.map(|cidr| Subnet::from_cidr(cidr.as_ref()).map(Rule::Subnet)))
    }

    /// Adds rules in the form of [`rules`](Self::rules), in the order of `texts`. If one of them is not
    /// valid, none is added. Because `rules` returns the newest rule first, ranges and subnets that are
    /// saved and added again are in reverse order. Node: `fromJSON` with an array.
    ///
    /// Text that does not have the form of a rule is skipped, as in Node, because later versions of Node
    /// may have other kinds of rules.
    ///
    /// ```
    /// use fyke::BlockList;
    ///
    /// let (list, copy) = (BlockList::new(), BlockList::new());
    /// list.add_cidr("10.0.0.0/8")?;
    /// copy.add_rules(list.rules())?;
    /// assert!(copy.check([10, 1, 2, 3]));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// For text in the form of a rule with a value that is not valid:
    /// - `ERR_INVALID_ADDRESS` for an address.
    /// - `ERR_INVALID_ARG_VALUE` for a range whose start is greater than its end.
    /// - `ERR_OUT_OF_RANGE` for a prefix.
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

    /// Adds all rules or none. The caller's iterator runs before the lock is taken, so it may use this
    /// list.
    // BLK-13, BLK-14, BLK-19
    fn add_all(&self, rules: impl Iterator<Item = Result<Rule>>) -> Result<()> {
        let rules: Vec<Rule> = rules.collect::<Result<_>>()?;
        self.add(rules);
        Ok(())
    }
}

/// # Removing
///
/// A rule is found by its value, not by its text: `::1` equals `0:0:0:0:0:0:0:1`, and an IPv4 address
/// equals its IPv6 form. Of several equal rules, the newest one is removed. Each method returns whether
/// there was such a rule; Node's methods return nothing.
// BLK-15
impl BlockList {
    /// Removes the rule for one address. A range or subnet may still contain the address. Node:
    /// `removeAddress`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_address("192.0.2.1")?;
    /// assert!(list.remove_address("::ffff:192.0.2.1".parse::<std::net::Ipv6Addr>().unwrap())?);
    /// assert!(!list.remove_address("192.0.2.1")?, "it is not there any more");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS` for text that is not an address, or is an address of another family.
    #[doc(alias = "removeAddress")]
    pub fn remove_address(&self, address: impl ToIpAddr) -> Result<bool> {
        Ok(self.remove(&Rule::Address(address.to_ip_addr()?)))
    }

    /// Removes the rule for the range from `start` to `end`. Node: `removeRange`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS` for text that is not an address, or is an address of another family.
    #[doc(alias = "removeRange")]
    pub fn remove_range(&self, start: impl ToIpAddr, end: impl ToIpAddr) -> Result<bool> {
        let (start, end) = (start.to_ip_addr()?, end.to_ip_addr()?);
        // Ends that are not a valid range are not an error here: the list cannot contain such a rule.
        Ok(Range::new(start, end).is_ok_and(|range| self.remove(&Rule::Range(range))))
    }

    /// Removes the rule for this subnet. The prefix must be equal, and so must the bits of `network` after
    /// it. Node: `removeSubnet`.
    ///
    /// # Errors
    ///
    /// The errors of [`add_subnet`](Self::add_subnet).
    #[doc(alias = "removeSubnet")]
    pub fn remove_subnet(&self, network: impl ToIpAddr, prefix: u8) -> Result<bool> {
        Ok(self.remove(&Rule::Subnet(Subnet::new(network.to_ip_addr()?, prefix)?)))
    }

    /// Removes the rule for a subnet in CIDR notation. Node: `removeCIDR`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_cidr("10.0.0.0/8")?;
    /// assert!(list.remove_cidr("10.0.0.0/8")? && list.is_empty());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`add_cidr`](Self::add_cidr).
    #[doc(alias = "removeCIDR")]
    pub fn remove_cidr(&self, cidr: &str) -> Result<bool> {
        Ok(self.remove(&Rule::Subnet(Subnet::from_cidr(cidr)?)))
    }

    /// Removes all rules. Node: `clear`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_cidrs(fyke::BlockList::PRIVATE_RANGES)?;
    /// list.clear();
    /// assert!(list.is_empty());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn clear(&self) {
        *self.write() = Rules::default();
    }

    fn remove(&self, rule: &Rule) -> bool {
        self.write().remove(rule)
    }
}

/// # Checking
impl BlockList {
    /// Returns whether an address is blocked. For a [`SocketAddress`](crate::SocketAddress), the port is
    /// ignored. Node: `check`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_address("192.0.2.1")?;
    /// let shared = list.clone(); // another handle to the same rules
    /// assert!(shared.check([192, 0, 2, 1]));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn check(&self, address: impl Into<IpAddr>) -> bool {
        let value = value(address.into());
        self.read().matches(value)
    }

    /// Returns whether the address in `text`, parsed as an address of `family`, is blocked. A zone
    /// (`fe80::1%eth0`) is ignored. Node: `check` with a text, which returns false for text that it cannot
    /// parse. `unwrap_or(false)` does the same, but then such text is not blocked.
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

    /// Returns the rules as text: first addresses, then subnets, then ranges, each with the newest first.
    /// Node: `rules`.
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

    /// The number of rules. Node: `size`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_cidr("10.0.0.0/8")?;
    /// assert_eq!(list.len(), 1);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "size")]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Returns whether there are no rules.
    ///
    /// ```
    /// assert!(fyke::BlockList::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Only the allocator can panic while the lock is held, and the rules are consistent before and after
    // that.

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
