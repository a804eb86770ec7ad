//! The table of bound addresses: ports and the names of Unix sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::place::Place;
use crate::SocketId;

/// The first port for sockets that bind to port 0 (RFC 6335, section 6).
const EPHEMERAL_PORT_FIRST: u16 = 49152;

/// The options that decide whether sockets may share a port.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sharing {
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    /// Whether the wildcard of IPv6 excludes IPv4.
    pub(super) ipv6_only: bool,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    owner: SocketId,
    ip: IpAddr,
    sharing: Sharing,
    listening: bool,
}

impl Binding {
    fn covers(&self, ip: IpAddr) -> bool {
        let every_family = self.ip.is_ipv6() && !self.sharing.ipv6_only;
        let wildcard = self.ip.is_unspecified();
        self.ip == ip || (wildcard && (every_family || self.ip.is_ipv6() == ip.is_ipv6()))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.covers(other.ip) || other.covers(self.ip)
    }

    /// Whether both sockets may be bound. On Linux SO_REUSEADDR suffices while neither listens.
    fn shares_with(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.sharing, other.sharing);
        (ours.reuse_port && theirs.reuse_port)
            || (ours.reuse_address && theirs.reuse_address && !other.listening)
    }

    /// How well a bound socket fits a connection to `ip`: the more specific listener gets the connection.
    fn fit(&self, ip: IpAddr) -> u8 {
        match () {
            () if self.ip == ip => 2,
            () if self.ip.is_ipv6() == ip.is_ipv6() => 1,
            () => 0,
        }
    }
}

/// All bound addresses.
#[derive(Debug)]
pub(super) struct Names {
    ports: BTreeMap<u16, Vec<Binding>>,
    /// Unix sockets, and whether they listen.
    unix: BTreeMap<Place, (SocketId, bool)>,
    next_port: u16,
}

impl Default for Names {
    fn default() -> Self {
        Self { ports: BTreeMap::new(), unix: BTreeMap::new(), next_port: EPHEMERAL_PORT_FIRST }
    }
}

impl Names {
    /// Binds a socket and returns its place. Port 0 requests a free port.
    pub(super) fn bind(
        &mut self,
        owner: SocketId,
        place: Place,
        sharing: Sharing,
    ) -> io::Result<Place> {
        let Place::Ip(wanted) = place else {
            if self.unix.contains_key(&place) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            self.unix.insert(place.clone(), (owner, false));
            return Ok(place);
        };
        if matches!(wanted, SocketAddr::V6(six) if six.ip().is_unicast_link_local() && six.scope_id() == 0)
        {
            // On Linux the address has no meaning without a zone.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !wanted.ip().is_loopback() && !wanted.ip().is_unspecified() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if wanted.port() == 0 { self.free_port()? } else { wanted.port() };
        let binding = Binding { owner, ip: wanted.ip(), sharing, listening: false };
        let bound = self.ports.entry(port).or_default();
        if bound.iter().any(|other| binding.overlaps(other) && !binding.shares_with(other)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        bound.push(binding);
        Ok(Place::Ip(SocketAddr::new(wanted.ip(), port)))
    }

    fn free_port(&mut self) -> io::Result<u16> {
        for _ in EPHEMERAL_PORT_FIRST..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_PORT_FIRST);
            if !self.ports.contains_key(&port) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// The name for a Unix socket that requests none: the smallest free one of five hexadecimal digits
    /// (unix(7), "Autobind feature").
    pub(super) fn free_name(&self) -> Place {
        let name = |number: usize| Place::Abstract(format!("{number:05x}").into_bytes());
        let taken = |place: &Place| self.unix.contains_key(place);
        (0..=self.unix.len()).map(name).find(|place| !taken(place)).unwrap_or_else(|| name(0))
    }

    /// Makes the owner of a place a listener. Fails if another socket listens there.
    pub(super) fn listen(&mut self, owner: SocketId, place: &Place) -> io::Result<()> {
        let Place::Ip(address) = place else {
            if let Some((_, listening)) = self.unix.get_mut(place) {
                *listening = true;
            }
            return Ok(());
        };
        let Some(bound) = self.ports.get_mut(&address.port()) else {
            return Ok(());
        };
        let Some(index) = bound.iter().position(|binding| binding.owner == owner) else {
            return Ok(());
        };
        let ours = bound[index];
        let taken = |other: &Binding| {
            other.owner != owner
                && other.listening
                && ours.overlaps(other)
                && !ours.shares_with(other)
        };
        if bound.iter().any(taken) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        bound[index].listening = true;
        Ok(())
    }

    /// Releases what `owner` has bound.
    pub(super) fn release(&mut self, owner: SocketId, place: &Place) {
        let Place::Ip(address) = place else {
            self.unix.remove(place);
            return;
        };
        let Some(bound) = self.ports.get_mut(&address.port()) else {
            return;
        };
        bound.retain(|binding| binding.owner != owner);
        if bound.is_empty() {
            self.ports.remove(&address.port());
        }
    }

    /// Returns the listeners that a connection to `place` may reach, all equally specific: more than one
    /// only with SO_REUSEPORT. Fails with the error of the connect.
    pub(super) fn listeners_at(&self, place: &Place) -> io::Result<Vec<SocketId>> {
        let Place::Ip(address) = place else {
            return match (self.unix.get(place), place) {
                (Some((owner, true)), _) => Ok(vec![*owner]),
                (None, Place::Path(_)) => Err(io::ErrorKind::NotFound.into()),
                _ => Err(io::ErrorKind::ConnectionRefused.into()),
            };
        };
        let bound = self.ports.get(&address.port()).map(Vec::as_slice).unwrap_or_default();
        let ip = address.ip();
        let fitting = || bound.iter().filter(|binding| binding.listening && binding.covers(ip));
        let best = fitting()
            .map(|binding| binding.fit(ip))
            .max()
            .ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(fitting()
            .filter(|binding| binding.fit(ip) == best)
            .map(|binding| binding.owner)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Sharing = Sharing { reuse_address: false, reuse_port: false, ipv6_only: false };
    const ADDRESS: Sharing = Sharing { reuse_address: true, ..ALONE };
    const PORT: Sharing = Sharing { reuse_port: true, ..ALONE };
    const V6_ONLY: Sharing = Sharing { ipv6_only: true, ..ALONE };

    fn owner(index: u64) -> SocketId {
        slotmap::KeyData::from_ffi((1 << 32) | index).into()
    }

    fn ip(text: &str) -> Place {
        Place::Ip(text.parse().unwrap())
    }

    /// Returns whether the second socket may be bound beside the first, and whether it may listen beside
    /// it.
    fn beside(first: (&str, Sharing), second: (&str, Sharing)) -> (bool, bool) {
        let mut names = Names::default();
        names.bind(owner(1), ip(first.0), first.1).unwrap();
        if names.bind(owner(2), ip(second.0), second.1).is_err() {
            return (false, false);
        }
        names.listen(owner(1), &ip(first.0)).unwrap();
        (true, names.listen(owner(2), &ip(second.0)).is_ok())
    }

    #[test]
    fn sockets_share_a_port_only_if_all_of_them_request_it() {
        let port = "127.0.0.1:80";
        assert_eq!(beside((port, ALONE), (port, ALONE)), (false, false));
        assert_eq!(beside((port, PORT), (port, ALONE)), (false, false));
        assert_eq!(beside((port, PORT), (port, PORT)), (true, true));
        assert_eq!(beside((port, ADDRESS), (port, ADDRESS)), (true, false));
    }

    #[test]
    fn a_wildcard_covers_the_specific_addresses() {
        assert_eq!(beside(("0.0.0.0:80", ALONE), ("127.0.0.1:80", ALONE)), (false, false));
        assert_eq!(beside(("127.0.0.1:80", ALONE), ("0.0.0.0:80", ALONE)), (false, false));
        assert_eq!(beside(("127.0.0.1:80", ALONE), ("127.0.0.2:80", ALONE)), (true, true));
    }

    #[test]
    fn the_ipv6_wildcard_covers_ipv4_unless_ipv6_only_is_set() {
        assert_eq!(beside(("[::]:80", ALONE), ("0.0.0.0:80", ALONE)), (false, false));
        assert_eq!(beside(("[::]:80", V6_ONLY), ("0.0.0.0:80", ALONE)), (true, true));
    }

    #[test]
    fn free_ports_begin_at_49152_and_skip_bound_ports() {
        let mut names = Names::default();
        names.bind(owner(1), ip("127.0.0.1:49153"), ALONE).unwrap();
        let mut next = || names.bind(owner(2), ip("127.0.0.1:0"), ALONE).unwrap();
        assert_eq!(next(), ip("127.0.0.1:49152"));
        assert_eq!(next(), ip("127.0.0.1:49154"));
    }

    #[test]
    fn a_free_name_is_the_smallest_unbound_name() {
        let mut names = Names::default();
        for expected in [&b"00000"[..], b"00001"] {
            let place = names.free_name();
            assert_eq!(place, Place::Abstract(expected.to_vec()));
            names.bind(owner(1), place, ALONE).unwrap();
        }
        names.release(owner(1), &Place::Abstract(b"00000".to_vec()));
        assert_eq!(names.free_name(), Place::Abstract(b"00000".to_vec()));
    }

    #[test]
    fn binding_to_port_0_fails_when_all_ports_are_bound() {
        let mut names = Names::default();
        for _ in EPHEMERAL_PORT_FIRST..=u16::MAX {
            names.bind(owner(1), ip("127.0.0.1:0"), ALONE).unwrap();
        }
        let error = names.bind(owner(1), ip("127.0.0.1:0"), ALONE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_of_another_machine_cannot_be_bound() {
        let error = Names::default().bind(owner(1), ip("192.0.2.1:80"), ALONE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn the_more_specific_listener_gets_the_connection() {
        let mut names = Names::default();
        for (index, address) in [(1, "0.0.0.0:80"), (2, "127.0.0.1:80")] {
            names.bind(owner(index), ip(address), PORT).unwrap();
            names.listen(owner(index), &ip(address)).unwrap();
        }
        assert_eq!(names.listeners_at(&ip("127.0.0.1:80")).unwrap(), [owner(2)]);
        assert_eq!(names.listeners_at(&ip("127.0.0.9:80")).unwrap(), [owner(1)]);
        assert!(names.listeners_at(&ip("[::1]:80")).is_err());
    }

    #[test]
    fn an_unbound_path_is_not_found_and_a_bound_path_without_a_listener_refuses() {
        let mut names = Names::default();
        let path = Place::Path("/run/x.sock".into());
        let kind = |names: &Names, place| names.listeners_at(place).unwrap_err().kind();
        assert_eq!(kind(&names, &path), io::ErrorKind::NotFound);
        names.bind(owner(1), path.clone(), ALONE).unwrap();
        assert_eq!(kind(&names, &path), io::ErrorKind::ConnectionRefused);
        names.release(owner(1), &path);
        assert_eq!(kind(&names, &path), io::ErrorKind::NotFound);
        let name = Place::Abstract(b"x".to_vec());
        assert_eq!(kind(&names, &name), io::ErrorKind::ConnectionRefused);
    }
}
