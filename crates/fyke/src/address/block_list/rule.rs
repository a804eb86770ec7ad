//! One rule of a block list: which addresses it covers, and its text form.

use std::fmt;
use std::net::IpAddr;

use crate::{Error, ErrorCode, Family, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Address(IpAddr),
    Range(Range),
    Subnet(Subnet),
}

/// A range of addresses of one family, both ends included, with the smaller end first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    start: IpAddr,
    end: IpAddr,
}

/// The addresses that begin with the same bits. The other bits of the network are stored, for the text form
/// and for removal.
// BLK-10, BLK-15
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    network: IpAddr,
    prefix: u8,
}

/// Converts an address into a number. An IPv4 address has the number of its IPv6 form, `::ffff:a.b.c.d`
/// (RFC 4291 section 2.5.5.2), so rules and addresses of different families match each other without extra
/// code.
// BLK-01, BLK-05, BLK-08
pub(super) fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Range {
    /// Converts ends of different families to IPv4 if possible.
    // BLK-06
    pub(super) fn new(start: IpAddr, end: IpAddr) -> Result<Self> {
        let (start, end) = if start.is_ipv4() == end.is_ipv4() {
            (start, end)
        } else {
            (start.to_canonical(), end.to_canonical())
        };
        if start.is_ipv4() != end.is_ipv4() {
            let message = format!(
                "both ends of a range must have the same family, but they are {start} and {end}"
            );
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        }
        if start > end {
            let message = format!(
                "the first address of a range must not be above the last one, but {start} is above {end}"
            );
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        }
        Ok(Self { start, end })
    }

    /// The ends of the range as numbers.
    pub(super) fn interval(&self) -> (u128, u128) {
        (value(self.start), value(self.end))
    }
}

impl Subnet {
    pub(super) fn new(network: IpAddr, prefix: u8) -> Result<Self> {
        if prefix > bits(network) {
            return Err(prefix_too_long(network, &prefix.to_string()));
        }
        Ok(Self { network, prefix })
    }

    /// The key for finding the rule: the bits as they were given, and how many of the 128 bits are
    /// compared.
    pub(super) fn key(&self) -> (u128, u8) {
        let prefix = self.prefix + (128 - bits(self.network));
        (value(self.network), prefix)
    }

    /// The first and last address as numbers.
    pub(super) fn interval(&self) -> (u128, u128) {
        let (network, prefix) = self.key();
        // If the prefix has all 128 bits, the plain shift by 128 would overflow.
        let rest = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
        (network & !rest, network | rest)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

pub(super) fn prefix_too_long(network: IpAddr, prefix: &str) -> Error {
    let message = format!(
        "a prefix of {prefix} bits is too long for {network}: the maximum is {}",
        bits(network)
    );
    Error::new(ErrorCode::ERR_OUT_OF_RANGE, message)
}

/// Writes, for example, `Address: IPv4 1.2.3.4`, `Range: IPv4 1.1.1.1-1.1.1.9` or
/// `Subnet: IPv6 2001:db8::/32`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "Address: {} {address}", family(*address)),
            Self::Range(Range { start, end }) => {
                write!(f, "Range: {} {start}-{end}", family(*start))
            }
            Self::Subnet(Subnet { network, prefix }) => {
                write!(f, "Subnet: {} {network}/{prefix}", family(*network))
            }
        }
    }
}

fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blk_07_a_prefix_of_every_length_covers_the_addresses_that_begin_with_it() {
        let interval = |text| Subnet::from_cidr(text).unwrap().interval();
        assert_eq!(interval("::/0"), (0, u128::MAX));
        assert_eq!(interval("::1/128"), (1, 1));
        assert_eq!(interval("8000::/1"), (1 << 127, u128::MAX));
        assert_eq!(interval("0.0.0.0/0"), (0xffff_0000_0000, 0xffff_ffff_ffff));
        assert_eq!(interval("255.255.255.255/32"), (0xffff_ffff_ffff, 0xffff_ffff_ffff));
        assert_eq!(interval("1.2.3.4/8"), interval("::ffff:1.0.0.0/104"));
    }
}
