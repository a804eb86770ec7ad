//! Parses an address with a port. An IPv4 address may be written as in a URL.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Parses `<ipv4>[:port]` or `[<ipv6>][:port]`, and nothing else.
// ADR-06, ADR-07
pub(super) fn parse(text: &str) -> Option<SocketAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let ip: Ipv6Addr = host.parse().ok()?;
        return Some((ip, parse_port(port)?).into());
    }
    let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    Some((parse_ipv4(host)?, parse_port(port)?).into())
}

/// Parses an empty text, or a colon followed by any number of digits, also none.
fn parse_port(text: &str) -> Option<u16> {
    if text.is_empty() || text == ":" {
        return Some(0);
    }
    let digits = text.strip_prefix(':')?;
    // The parser of `u16` also accepts a sign.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// The IPv4 parser of the URL standard (<https://url.spec.whatwg.org/#concept-ipv4-parser>): one to four
/// numbers, of which the last one fills the remaining bytes. A trailing dot is allowed.
fn parse_ipv4(host: &str) -> Option<Ipv4Addr> {
    let parts = host.strip_suffix('.').unwrap_or(host).split('.');
    let numbers: Vec<u64> = parts.map(parse_number).collect::<Option<_>>()?;
    let (last, bytes) = numbers.split_last()?;
    if bytes.len() > 3 || bytes.iter().any(|byte| *byte > 0xff) {
        return None;
    }
    let bits_left = 8 * (4 - bytes.len());
    if last >> bits_left != 0 {
        return None;
    }
    let high = bytes.iter().fold(0, |high, byte| high << 8 | byte);
    u32::try_from(high << bits_left | last).ok().map(Ipv4Addr::from_bits)
}

/// Parses a number: hexadecimal digits, also none, after `0x`; octal digits after `0`; otherwise decimal.
fn parse_number(part: &str) -> Option<u64> {
    if let Some(digits) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        return if digits.is_empty() { Some(0) } else { parse_digits(digits, 16) };
    }
    match part.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => parse_digits(digits, 8),
        _ => parse_digits(part, 10),
    }
}

fn parse_digits(digits: &str, radix: u32) -> Option<u64> {
    // `from_str_radix` also accepts a sign.
    let all_digits = digits.chars().all(|digit| digit.is_digit(radix));
    if all_digits { u64::from_str_radix(digits, radix).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::SocketAddress;

    fn parse(text: &str) -> Option<String> {
        super::parse(text).map(|address| address.to_string())
    }

    #[test]
    fn adr_06_an_address_may_have_a_port() {
        let good = [
            ("1.2.3.4", "1.2.3.4:0"),
            ("1.2.3.4:", "1.2.3.4:0"),
            ("1.2.3.4:8080", "1.2.3.4:8080"),
            ("1.2.3.4:65535", "1.2.3.4:65535"),
            ("1.2.3.4:0000000443", "1.2.3.4:443"),
            ("[::1]", "[::1]:0"),
            ("[::1]:", "[::1]:0"),
            ("[::1]:8080", "[::1]:8080"),
            ("[1:0::]", "[1::]:0"),
            ("[::FFFF:1.2.3.4]:1", "[::ffff:1.2.3.4]:1"),
        ];
        for (text, address) in good {
            assert_eq!(parse(text).as_deref(), Some(address), "{text:?}");
        }
    }

    #[test]
    fn adr_06_an_ipv4_address_may_be_written_as_in_a_url() {
        let good = [
            ("192.168.257", "192.168.1.1"),
            ("192.168.257:1", "192.168.1.1"),
            ("256", "0.0.1.0"),
            ("0", "0.0.0.0"),
            ("127.1", "127.0.0.1"),
            ("1.65536", "1.1.0.0"),
            ("4294967295", "255.255.255.255"),
            ("0xffffffff", "255.255.255.255"),
            ("0XFF.0xFf.255.0377", "255.255.255.255"),
            ("0x.0x.0", "0.0.0.0"),
            ("010.0.0.07", "8.0.0.7"),
            ("00000000000000000000000000000001", "0.0.0.1"),
            ("1.2.3.4.", "1.2.3.4"),
        ];
        for (text, ip) in good {
            let address = super::parse(text).map(|address| address.ip().to_string());
            assert_eq!(address.as_deref(), Some(ip), "{text:?}");
        }
    }

    #[test]
    fn adr_06_all_other_text_is_none() {
        let bad = [
            "",
            ":",
            ":80",
            ".",
            "1..2",
            "1.2.3.4..",
            ".1.2.3.4",
            "1.2.3.4.5",
            "1.2.3.4.0",
            "0.0.0.0.0.0",
            "localhost",
            "localhost:80",
            "1.2.3.x",
            "256.1.1.1",
            "1.2.3.256",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "0x100000000",
            "99999999999999999999999",
            "08",
            "0x1g",
            "+1.2.3.4",
            "-1",
            "::1",
            "::1:80",
            "1::2",
            "[::1",
            "::1]",
            "[]",
            "[1.2.3.4]",
            "[::1]x",
            "[::1]80",
            "[fe80::1%lo]",
            " 1.2.3.4",
            "1.2.3.4:65536",
            "1.2.3.4:99999999999",
            "1.2.3.4:-1",
            "1.2.3.4:+1",
            "1.2.3.4:http",
            "1.2.3.4:1:2",
            "[::1]:x",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn adr_07_port_80_is_80() {
        assert_eq!(parse("1.2.3.4:80").as_deref(), Some("1.2.3.4:80"));
        assert_eq!(parse("1.2.3.4:0080").as_deref(), Some("1.2.3.4:80"));
        assert_eq!(parse("[::1]:80").as_deref(), Some("[::1]:80"));
    }

    #[test]
    fn adr_07_other_parts_of_a_url_are_refused() {
        let bad = [
            "1.2.3.4/x",
            "1.2.3.4:9/",
            "1.2.3.4?x",
            "1.2.3.4#x",
            "1.2.3.4 ",
            "1.2.3.4\t",
            "user:pw@1.2.3.4:9",
            "@1.2.3.4",
            "/1.2.3.4",
            "１.2.3.4",
            "%31.2.3.4",
            "1.2.3.4:\u{ff18}0",
            "1。2。3。4",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn adr_06_a_printed_address_round_trips(v4: [u8; 4], v6: [u16; 8], port: u16) {
            for address in [SocketAddress::new(v4, port), SocketAddress::new(v6, port)] {
                prop_assert_eq!(SocketAddress::parse(&address.to_string()), Some(address));
            }
        }

        #[test]
        fn adr_06_every_spelling_of_an_ipv4_address_is_that_address(
            ip: [u8; 4],
            radixes: [u8; 4],
            parts in 1_usize..=4,
        ) {
            let bits = u64::from(u32::from_be_bytes(ip));
            let bits_left = 8 * (5 - parts);
            let first = ip[..parts - 1].iter().map(|byte| u64::from(*byte));
            let spelled: Vec<String> = first
                .chain([bits & ((1 << bits_left) - 1)])
                .zip(radixes)
                .map(|(number, radix)| match radix % 4 {
                    0 => format!("{number:#x}"),
                    1 => format!("0X{number:X}"),
                    2 => format!("0{number:o}"),
                    _ => number.to_string(),
                })
                .collect();
            prop_assert_eq!(
                SocketAddress::parse(&spelled.join(".")),
                Some(SocketAddress::new(ip, 0)),
                "{:?}",
                spelled
            );
        }

        #[test]
        fn adr_06_no_text_is_an_error(text in "[\\[\\]0-9a-fx:.%@/ ]{0,20}") {
            if let Some(address) = SocketAddress::parse(&text) {
                prop_assert_eq!(SocketAddress::parse(&address.to_string()), Some(address));
            }
        }
    }
}
