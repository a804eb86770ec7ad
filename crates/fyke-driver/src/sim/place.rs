//! Places in the network, as sockets of different families see them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};

use crate::{Address, Family, Transport};

/// What Linux has for the name of a Unix socket (unix(7)): a path, or a zero byte and an abstract
/// name.
const NAME_BYTES: usize = 108;

/// A path that is too long or has a NUL byte is EINVAL.
// IPC-10, IPC-11.
fn is_usable(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() <= NAME_BYTES && !bytes.contains(&0)
}

/// A place in the network. Unlike an [`Address`] it is the same for both ends: IPv4 is never
/// written as mapped into IPv6.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Ip(SocketAddr),
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl Place {
    /// The place that a socket of this transport means by `address`.
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

    /// How a socket of this transport writes the place, or the lack of one.
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

/// The wildcard address.
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
    fn ipv4_is_the_same_place_for_both_families_and_each_writes_it_its_way() {
        let plain = address("127.0.0.1:80");
        let mapped = address("[::ffff:127.0.0.1]:80");
        let place = Place::of(V4, &plain).unwrap();
        assert_eq!(Place::of(V6, &mapped).unwrap(), place);
        assert_eq!(Place::seen_by(Some(&place), V4), plain);
        assert_eq!(Place::seen_by(Some(&place), V6), mapped);
    }

    #[test]
    fn an_address_of_another_transport_means_nothing() {
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
    fn no_place_is_written_as_a_socket_without_name_is() {
        assert_eq!(Place::seen_by(None, V4), address("0.0.0.0:0"));
        assert_eq!(Place::seen_by(None, V6), address("[::]:0"));
        assert_eq!(Place::seen_by(None, Transport::Unix), Address::Unnamed);
    }
}
