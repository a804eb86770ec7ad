//! Places in the network, and the addresses that sockets of each family see for them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};

use crate::{Address, Family, Transport};

/// The longest name of a Unix socket in Linux (unix(7)), in bytes: a path, or a zero byte and an abstract
/// name.
const NAME_BYTES: usize = 108;

/// Returns whether a path can be bound: a path that is too long or has a NUL byte is EINVAL.
// IPC-10, IPC-11.
fn is_usable(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() <= NAME_BYTES && !bytes.contains(&0)
}

/// A place in the network. Unlike an [`Address`] it is the same for both ends: it never contains an IPv4
/// address mapped into IPv6.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Ip(SocketAddr),
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl Place {
    /// The place that `address` denotes for a socket of this transport.
    pub(super) fn of(transport: Transport, address: &Address) -> io::Result<Self> {
        match (transport, address) {
            (Transport::Tcp(family), Address::Ip(ip)) if Family::of(ip) == family => {
                Ok(Self::Ip(SocketAddr::new(ip.ip().to_canonical(), ip.port())))
            }
            (Transport::Unix, Address::Path(path)) if is_usable(path) => {
                Ok(Self::Path(path.clone()))
            }
            (Transport::Unix, Address::Abstract(name)) if name.len() < NAME_BYTES => {
                Ok(Self::Abstract(name.clone()))
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The address that a socket of this transport reports for a place, or for no place.
    pub(super) fn seen_by(place: Option<&Self>, transport: Transport) -> Address {
        match (place, transport) {
            (Some(Self::Ip(SocketAddr::V4(v4))), Transport::Tcp(Family::V6)) => {
                let mapped = v4.ip().to_ipv6_mapped();
                Address::Ip(SocketAddrV6::new(mapped, v4.port(), 0, 0).into())
            }
            (Some(Self::Ip(ip)), _) => Address::Ip(*ip),
            (Some(Self::Path(path)), _) => Address::Path(path.clone()),
            (Some(Self::Abstract(name)), _) => Address::Abstract(name.clone()),
            (None, Transport::Tcp(family)) => Address::Ip(SocketAddr::new(any(family), 0)),
            (None, Transport::Unix) => Address::Unnamed,
        }
    }
}

/// The wildcard address of the family.
pub(super) fn any(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The loopback address of the family that `ip` belongs to.
pub(super) fn loopback_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::address;
    use super::*;

    const V4: Transport = Transport::Tcp(Family::V4);
    const V6: Transport = Transport::Tcp(Family::V6);

    #[test]
    fn both_families_reach_the_same_ipv4_place_and_report_it_in_their_own_form() {
        let plain = address("127.0.0.1:80");
        let mapped = address("[::ffff:127.0.0.1]:80");
        let place = Place::of(V4, &plain).unwrap();
        assert_eq!(Place::of(V6, &mapped).unwrap(), place);
        assert_eq!(Place::seen_by(Some(&place), V4), plain);
        assert_eq!(Place::seen_by(Some(&place), V6), mapped);
    }

    #[test]
    fn an_address_of_another_transport_is_refused() {
        let foreign = [
            (V4, "[::1]:80"),
            (V6, "127.0.0.1:80"),
            (V4, "/run/x.sock"),
            (Transport::Unix, "127.0.0.1:80"),
        ];
        for (transport, text) in foreign {
            let error = Place::of(transport, &address(text)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert!(Place::of(Transport::Unix, &Address::Unnamed).is_err());
    }

    #[test]
    fn ipc_10_ipc_11_a_name_that_is_too_long_or_has_a_nul_byte_is_refused_and_never_cut() {
        let path = |len| Address::Path("x".repeat(len).into());
        let name = |len| Address::Abstract(vec![b'x'; len]);
        for (address, works) in [
            (path(108), true),
            (path(109), false),
            (Address::Path("a\0b".into()), false),
            (name(107), true),
            (name(108), false),
        ] {
            assert_eq!(Place::of(Transport::Unix, &address).is_ok(), works, "{address}");
        }
    }

    #[test]
    fn a_missing_place_is_reported_like_an_unbound_socket() {
        assert_eq!(Place::seen_by(None, V4), address("0.0.0.0:0"));
        assert_eq!(Place::seen_by(None, V6), address("[::]:0"));
        assert_eq!(Place::seen_by(None, Transport::Unix), Address::Unnamed);
    }
}
