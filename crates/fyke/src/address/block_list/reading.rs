//! Parses rules, from CIDR notation and from the text form of a rule.

use super::super::to_ip_addr::ip_from_text;
use super::rule::{Range, Rule, Subnet, prefix_too_long};
use crate::{Error, ErrorCode, Family, Result};

impl Subnet {
    /// Parses CIDR notation. Checks the form first, then the address, then the range of the prefix.
    // BLK-12
    pub(super) fn from_cidr(cidr: &str) -> Result<Self> {
        let (address, prefix) = cidr.rsplit_once('/').ok_or_else(|| not_a_cidr(cidr))?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (prefix.starts_with('0') && prefix != "0") {
            return Err(not_a_cidr(cidr));
        }
        let family = if address.contains(':') { Family::V6 } else { Family::V4 };
        Self::from_text(address, prefix, family)
    }

    /// Parses an address, and a prefix of decimal digits.
    fn from_text(address: &str, prefix: &str, family: Family) -> Result<Self> {
        let network = ip_from_text(address, family)?;
        let bits = prefix.parse().map_err(|_| prefix_too_long(network, prefix))?;
        Self::new(network, bits)
    }
}

fn not_a_cidr(cidr: &str) -> Error {
    let message =
        format!("{cidr:?} is not a subnet; expected for example 10.0.0.0/8 or 2001:db8::/32");
    Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message)
}

impl Rule {
    /// Parses the output of [`Display`](fmt::Display). Returns `None` for text that does not have this
    /// form, and an error for text in this form with a value that is not valid.
    // BLK-19
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        let Some((kind, family, value)) = split(text) else { return Ok(None) };
        let is_address = |text| looks_like_an_address(text, family);
        let ip = |text| ip_from_text(text, family);
        let separator = if kind == "Range" { '-' } else { '/' };
        let rule = match (kind, value.split_once(separator)) {
            ("Address", None) if is_address(value) => Self::Address(ip(value)?),
            ("Range", Some((start, end))) if is_address(start) && is_address(end) => {
                Self::Range(Range::new(ip(start)?, ip(end)?)?)
            }
            ("Subnet", Some((network, prefix))) if is_address(network) && is_short(prefix) => {
                Self::Subnet(Subnet::from_text(network, prefix, family)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(rule))
    }
}

/// Splits the text into the kind, the family, and the rest.
fn split(text: &str) -> Option<(&str, Family, &str)> {
    let (kind, rest) = text.split_once(": ")?;
    let (family, value) = rest.split_once(' ')?;
    match family {
        "IPv4" => Some((kind, Family::V4, value)),
        "IPv6" => Some((kind, Family::V6, value)),
        _ => None,
    }
}

/// Checks the form as Node does, not the values: four numbers of up to three digits, or only characters of
/// an IPv6 address.
fn looks_like_an_address(text: &str, family: Family) -> bool {
    match family {
        Family::V4 => text.split('.').count() == 4 && text.split('.').all(is_short),
        Family::V6 => {
            let known = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            !text.is_empty() && text.bytes().all(known)
        }
    }
}

/// Whether the text is a number of up to three digits.
fn is_short(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::parse(text).unwrap().unwrap_or_else(|| panic!("{text:?} is not a rule"))
    }

    fn cidr_code(text: &str) -> ErrorCode {
        Subnet::from_cidr(text).unwrap_err().code()
    }

    #[test]
    fn blk_09_the_address_is_checked_before_the_range_of_the_prefix() {
        assert_eq!(cidr_code("1.2.3/33"), ErrorCode::ERR_INVALID_ADDRESS);
        assert_eq!(cidr_code("1.2.3.4/33"), ErrorCode::ERR_OUT_OF_RANGE);
        assert_eq!(cidr_code("::/129"), ErrorCode::ERR_OUT_OF_RANGE);
        assert_eq!(cidr_code("::/99999999999999999999"), ErrorCode::ERR_OUT_OF_RANGE);
    }

    #[test]
    fn blk_12_a_cidr_is_an_address_and_a_plain_decimal_prefix() {
        let bad = [
            "",
            "1.2.3.4",
            "1.2.3.4/",
            "1.2.3.4/a",
            "1.2.3.4/08",
            "1.2.3.4/00",
            "1.2.3.4/+8",
            "1.2.3.4/-1",
            "1.2.3.4/ 8",
            "1.2.3.4/8 ",
            "1.2.3.4/8.0",
            "1.2.3.4/0x8",
            "1.2.3.4/８",
        ];
        for text in bad {
            assert_eq!(cidr_code(text), ErrorCode::ERR_INVALID_ARG_VALUE, "{text:?}");
        }
        for text in ["/8", "x/8", " 1.2.3.4/8", "1.2.3.4/8/9", "1.2.3.4%lo/8", "::g/8", "[::]/8"] {
            assert_eq!(cidr_code(text), ErrorCode::ERR_INVALID_ADDRESS, "{text:?}");
        }
    }

    #[test]
    fn blk_12_host_bits_are_kept_and_a_zone_is_dropped() {
        let print = |text| Rule::Subnet(Subnet::from_cidr(text).unwrap()).to_string();
        assert_eq!(print("10.1.2.3/8"), "Subnet: IPv4 10.1.2.3/8");
        assert_eq!(print("FE80:0::1%lo/10"), "Subnet: IPv6 fe80::1/10");
        assert_eq!(print("::ffff:10.0.0.0/104"), "Subnet: IPv6 ::ffff:10.0.0.0/104");
    }

    #[test]
    fn blk_18_every_kind_of_rule_round_trips() {
        let texts = [
            "Address: IPv4 1.2.3.4",
            "Address: IPv6 ::ffff:1.2.3.4",
            "Range: IPv4 1.1.1.1-1.1.1.9",
            "Range: IPv6 ::1-::f",
            "Subnet: IPv4 10.1.2.3/8",
            "Subnet: IPv6 2001:db8::/32",
        ];
        for text in texts {
            assert_eq!(rule(text).to_string(), text);
        }
        assert_eq!(rule("Address: IPv6 ::FFFF:102:304"), rule("Address: IPv6 ::ffff:1.2.3.4"));
    }

    #[test]
    fn blk_19_text_that_does_not_have_the_form_of_a_rule_is_none() {
        let texts = [
            "",
            "1",
            "1.2.3.4",
            "Address: ipv4 1.2.3.4",
            "address: IPv4 1.2.3.4",
            "Address: IPv5 1.2.3.4",
            "Address: IPv4",
            "Address: IPv4 ",
            "Address: IPv4 ::1",
            "Address: IPv4 1.2.3",
            "Address: IPv4 1.2.3.4.5",
            "Address: IPv4 1.2.3.4567",
            "Address: IPv4 1.2.3.4 ",
            " Address: IPv4 1.2.3.4",
            "Address: IPv4  1.2.3.4",
            "not Address: IPv4 1.2.3.4",
            "Address: IPv6 ::zz",
            "Address: IPv6 fe80::1%lo",
            "Range: IPv4 1.1.1.1",
            "Range: IPv4 1.1.1.1/1.1.1.9",
            "Subnet: IPv4 1.1.1.1-8",
            "Range: IPv4 1.1.1.1-::ffff:1.1.1.9",
            "Range: IPv4 1.1.1.1-1.1.1.9-1.1.1.10",
            "Subnet: IPv4 1.1.1.1",
            "Subnet: IPv4 1.1.1.1/",
            "Subnet: IPv4 1.1.1.1/-1",
            "Subnet: IPv4 1.1.1.1/8/9",
            "Host: IPv4 1.1.1.1",
        ];
        for text in texts {
            assert_eq!(Rule::parse(text).unwrap(), None, "{text:?}");
        }
    }

    #[test]
    fn blk_19_a_rule_with_an_invalid_value_is_an_error() {
        let texts = [
            ("Address: IPv4 999.1.1.1", ErrorCode::ERR_INVALID_ADDRESS),
            ("Address: IPv4 01.1.1.1", ErrorCode::ERR_INVALID_ADDRESS),
            ("Address: IPv6 1:2", ErrorCode::ERR_INVALID_ADDRESS),
            ("Address: IPv6 1.2.3.4", ErrorCode::ERR_INVALID_ADDRESS),
            ("Range: IPv4 1.1.1.9-1.1.1.1", ErrorCode::ERR_INVALID_ARG_VALUE),
            ("Range: IPv4 1.1.1.1-1.1.1.256", ErrorCode::ERR_INVALID_ADDRESS),
            ("Subnet: IPv4 1.1.1.1/33", ErrorCode::ERR_OUT_OF_RANGE),
            ("Subnet: IPv4 1.1.1.1/999", ErrorCode::ERR_OUT_OF_RANGE),
            ("Subnet: IPv6 ::/129", ErrorCode::ERR_OUT_OF_RANGE),
        ];
        for (text, code) in texts {
            assert_eq!(Rule::parse(text).unwrap_err().code(), code, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn blk_12_every_subnet_is_parsed_in_cidr_notation(ip: IpAddr, prefix: u8) {
            let subnet = Subnet::from_cidr(&format!("{ip}/{prefix}"));
            match Subnet::new(ip, prefix) {
                Ok(expected) => prop_assert_eq!(subnet.unwrap(), expected),
                Err(error) => prop_assert_eq!(subnet.unwrap_err().code(), error.code()),
            }
        }

        #[test]
        fn blk_12_subnets_parsed_in_cidr_notation_are_canonical(
            text in "[0-9a-f:.]{1,12}(%[a-z0-9]{0,3})?/[0-9+ -]{0,3}",
        ) {
            if let Ok(subnet) = Subnet::from_cidr(&text) {
                let canonical = Rule::Subnet(subnet.clone()).to_string();
                let cidr = canonical.rsplit(' ').next().unwrap();
                prop_assert_eq!(Subnet::from_cidr(cidr).unwrap(), subnet);
            }
        }

        #[test]
        fn blk_18_every_rule_round_trips(one: IpAddr, other: IpAddr, prefix: u8) {
            let mut rules = vec![Rule::Address(one)];
            rules.extend(Range::new(one.min(other), one.max(other)).map(Rule::Range));
            rules.extend(Subnet::new(one, prefix).map(Rule::Subnet));
            for rule in rules {
                prop_assert_eq!(Rule::parse(&rule.to_string()).unwrap(), Some(rule));
            }
        }

        #[test]
        fn blk_19_no_text_makes_the_parser_panic(
            text in "(Address|Range|Subnet|x)?:? ?(IPv4|IPv6)? ?[0-9a-f:./-]{0,20}",
        ) {
            if let Ok(Some(rule)) = Rule::parse(&text) {
                prop_assert_eq!(Rule::parse(&rule.to_string()).unwrap(), Some(rule));
            }
        }
    }
}
