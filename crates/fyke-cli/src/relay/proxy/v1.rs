//! Version 1, a line of text (section 2.1 of the specification).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Addresses, Parsed};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// The maximum length of a line, including its end.
const LINE_BYTES_MAX: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    // Only CR LF ends a line, and neither may occur within it.
    let Some(end) = line.iter().position(|byte| *byte == b'\r' || *byte == b'\n') else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Parsed::Incomplete(SIGNATURE.len().max(bytes.len() + 1)),
            false => Parsed::Bad,
        };
    };
    match (line[end], line.get(end + 1)) {
        (b'\r', None) if end + 1 < LINE_BYTES_MAX => Parsed::Incomplete(end + 2),
        (b'\r', Some(b'\n')) => match addresses(&line[..end]) {
            Some(addresses) => Parsed::Header(addresses, end + 2),
            None => Parsed::Bad,
        },
        _ => Parsed::Bad,
    }
}

fn addresses(line: &[u8]) -> Option<Addresses> {
    let text = std::str::from_utf8(line.strip_prefix(SIGNATURE)?);
    // The specification says to ignore everything after UNKNOWN.
    if line == b"PROXY UNKNOWN" || line.starts_with(b"PROXY UNKNOWN ") {
        return Some(None);
    }
    let mut words = text.ok()?.split(' ');
    let mut next = || words.next();
    let both = match next()? {
        "TCP4" => both::<Ipv4Addr>(&mut next)?,
        "TCP6" => both::<Ipv6Addr>(&mut next)?,
        _ => return None,
    };
    next().is_none().then_some(Some(both))
}

/// Parses the two addresses, then the two ports.
fn both<'a, Ip: FromStr>(
    next: &mut impl FnMut() -> Option<&'a str>,
) -> Option<(SocketAddr, SocketAddr)>
where
    SocketAddr: From<(Ip, u16)>,
{
    let (from, to) = (next()?.parse::<Ip>().ok()?, next()?.parse::<Ip>().ok()?);
    let (from_port, to_port) = (port(next()?)?, port(next()?)?);
    Some(((from, from_port).into(), (to, to_port).into()))
}

/// Parses a decimal number without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Returns the header. Both addresses are of the same family.
pub(super) fn header(addresses: Addresses) -> Vec<u8> {
    let Some((from, to)) = addresses else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from_ip, to_ip, from_port, to_port) = (from.ip(), to.ip(), from.port(), to.port());
    format!("PROXY {family} {from_ip} {to_ip} {from_port} {to_port}\r\n").into_bytes()
}
