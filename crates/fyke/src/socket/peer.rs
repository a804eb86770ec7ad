//! The peer's address, stored compactly.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An `Option<SocketAddr>` in less space: most of its 32 bytes are for the flow label and the scope of
/// IPv6, which are zero except for link-local addresses. Addresses that need them are stored elsewhere.
#[derive(Clone, Copy, Debug, Default)]
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
    /// An address with a flow label or a scope, in `Rare`.
    Scoped,
}

impl Peer {
    /// Returns the compact form of an address, and the address if it has no compact form.
    pub(super) fn compact(address: Option<SocketAddr>) -> (Self, Option<SocketAddrV6>) {
        match address {
            None => (Self::None, None),
            Some(SocketAddr::V4(address)) => (Self::V4(address), None),
            Some(SocketAddr::V6(address)) if address.flowinfo() == 0 && address.scope_id() == 0 => {
                (Self::V6 { ip: *address.ip(), port: address.port() }, None)
            }
            Some(SocketAddr::V6(address)) => (Self::Scoped, Some(address)),
        }
    }

    /// Returns the address. `scoped` returns an address that has no compact form.
    pub(super) fn address(
        self,
        scoped: impl FnOnce() -> Option<SocketAddrV6>,
    ) -> Option<SocketAddr> {
        match self {
            Self::None | Self::Unasked => None,
            Self::V4(address) => Some(SocketAddr::V4(address)),
            Self::V6 { ip, port } => Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, 0))),
            Self::Scoped => scoped().map(SocketAddr::V6),
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
            let (peer, scoped) = Peer::compact(address);
            assert_eq!(peer.address(|| scoped), address);
        }
    }
}
