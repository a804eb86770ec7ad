//! Version 2, binary (section 2.2 of the specification).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Parsed};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The size of the signature, version and command, family and protocol, and length of the rest.
const HEAD_BYTES: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;

/// The sizes of the address blocks for IPv4, IPv6, and paths of Unix sockets.
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// Parses a header. Fields after the addresses (TLV) are skipped.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let (command, protocol) = (bytes.get(12).copied(), bytes.get(13).copied());
    let local = command == Some(LOCAL);
    if command.is_some_and(|command| command != LOCAL && command != PROXY) {
        return Parsed::Bad;
    }
    // LOCAL: the proxy itself has opened the connection, for example as a health check. The rest of
    // the header is discarded.
    let needed = match protocol.map(|protocol| (protocol >> 4, protocol & 0xf)) {
        _ if local => 0,
        None | Some((0, 0..=2)) => 0,
        Some((1, 0..=2)) => IPV4_BYTES,
        Some((2, 0..=2)) => IPV6_BYTES,
        Some((3, 0..=2)) => UNIX_BYTES,
        // Version 2 does not define these values.
        Some(_) => return Parsed::Bad,
    };
    let Some(head) = bytes.get(..HEAD_BYTES) else { return Parsed::Incomplete(bytes.len() + 1) };
    let block_bytes = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if block_bytes < needed {
        return Parsed::Bad;
    }
    let length = HEAD_BYTES + block_bytes;
    let Some(block) = bytes.get(HEAD_BYTES..length) else { return Parsed::Incomplete(length) };
    let addresses = match needed {
        IPV4_BYTES => both::<4>(block),
        IPV6_BYTES => both::<16>(block),
        _ => None,
    };
    Parsed::Header(addresses, length)
}

/// Parses the two addresses, then the two ports.
fn both<const N: usize>(block: &[u8]) -> Addresses
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = block.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let to_port = rest.first_chunk::<2>()?;
    let address = |ip: [u8; N], port: [u8; 2]| (IpAddr::from(ip), u16::from_be_bytes(port)).into();
    Some((address(*from, *from_port), address(*to, *to_port)))
}

/// Returns the header. Both addresses are of the same family.
pub(super) fn header(addresses: Addresses) -> Vec<u8> {
    let mut header = [SIGNATURE, &[PROXY]].concat();
    match addresses {
        Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
            let ips = [from.ip(), to.ip()].map(Ipv4Addr::octets);
            header.extend([TCP4, 0, 12]);
            header.extend(ips.concat());
        }
        Some((SocketAddr::V6(from), SocketAddr::V6(to))) => {
            let ips = [from.ip(), to.ip()].map(Ipv6Addr::octets);
            header.extend([TCP6, 0, 36]);
            header.extend(ips.concat());
        }
        _ => {
            header.extend([UNSPECIFIED, 0, 0]);
            return header;
        }
    }
    let ports = addresses.map(|(from, to)| [from.port().to_be_bytes(), to.port().to_be_bytes()]);
    header.extend(ports.unwrap_or_default().concat());
    header
}
