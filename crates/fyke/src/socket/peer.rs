//! The peer's address, stored compactly.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An `Option<SocketAddr>` in less space: most of its 32 bytes are for the flow label and the scope of
/// IPv6, which are zero except for link-local addresses.
#[derive(Debug, Default)]
pub(super) enum Peer {
    /// A Unix socket, or no connection yet.
    #[default]
    None,
    /// The system knows the address, but was not asked for it yet.
    Unasked,
    V4(SocketAddrV4),
    V6 {
        ip: Ipv6Addr,
        port: u16,
    },
    LinkLocal(Box<SocketAddrV6>),
}

impl Peer {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::None | Self::Unasked => None,
            Self::V4(address) => Some(SocketAddr::V4(*address)),
            Self::V6 { ip, port } => Some(SocketAddr::V6(SocketAddrV6::new(*ip, *port, 0, 0))),
            Self::LinkLocal(address) => Some(SocketAddr::V6(**address)),
        }
    }
}

impl From<Option<SocketAddr>> for Peer {
    fn from(address: Option<SocketAddr>) -> Self {
        match address {
            None => Self::None,
            Some(SocketAddr::V4(address)) => Self::V4(address),
            Some(SocketAddr::V6(address)) if address.flowinfo() == 0 && address.scope_id() == 0 => {
                Self::V6 { ip: *address.ip(), port: address.port() }
            }
            Some(SocketAddr::V6(address)) => Self::LinkLocal(Box::new(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_round_trips() {
        let scoped = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 80, 0, 3);
        let labelled = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 5, 0);
        let addresses = [
            "192.0.2.1:80".parse().unwrap(),
            "[2001:db8::1]:65535".parse().unwrap(),
            "[::ffff:192.0.2.1]:1".parse().unwrap(),
            scoped.into(),
            labelled.into(),
        ];
        for address in addresses.map(Some).into_iter().chain([None]) {
            assert_eq!(Peer::from(address).address(), address);
        }
    }
}
