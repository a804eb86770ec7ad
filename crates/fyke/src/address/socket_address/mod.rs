//! `SocketAddress`: an IP address with a port, and a flow label.

#[cfg(feature = "serde")]
mod json;
mod parse;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::to_ip_addr::{ToIpAddr, ip_from_text};
use crate::{Endpoint, Error, ErrorCode, Family, Result};

/// An IP address with its port: Node's `net.SocketAddress`.
///
/// It is a [`std::net::SocketAddr`] with Node's constructors, and converts to it and back without loss. You
/// can pass it to [`connect`](crate::connect), to `listen` and to a [`BlockList`](crate::BlockList).
///
/// It is printed in Rust's form, `127.0.0.1:80` or `[::1]:80`. The address part is the same as Node's,
/// except for the deprecated IPv4-compatible addresses: Node writes `::0.1.0.2` where Rust writes `::1:2`.
///
/// With the feature `serde` it is serialized as the object of Node's `toJSON`:
/// `{"address":"127.0.0.1","port":80,"family":"ipv4","flowlabel":0}`. A field that is missing when it is
/// deserialized has its default.
// ADR-04
///
/// ```
/// use fyke::{Family, SocketAddress};
///
/// let address = SocketAddress::parse("[2001:DB8::1]:443").unwrap();
/// assert_eq!(address.address().to_string(), "2001:db8::1");
/// assert_eq!(address.port(), 443);
/// assert_eq!(address.family(), Family::V6);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "json::Fields", try_from = "json::Fields"))]
pub struct SocketAddress(SocketAddr);

/// # Making
impl SocketAddress {
    /// The largest flow label: 20 bits (RFC 8200 section 3).
    pub const FLOW_LABEL_MAX: u32 = 0xf_ffff;

    /// Makes an address with a port, and with the flow label 0.
    pub fn new(address: impl Into<IpAddr>, port: u16) -> Self {
        Self(SocketAddr::new(address.into(), port))
    }

    /// Makes Node's default address of a family, `127.0.0.1` or `::`, with port 0. Node:
    /// `new net.SocketAddress({ family })`.
    ///
    /// ```
    /// use fyke::{Family, SocketAddress};
    ///
    /// assert_eq!(SocketAddress::for_family(Family::V4).to_string(), "127.0.0.1:0");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn for_family(family: Family) -> Self {
        match family {
            Family::V4 => Self::new(Ipv4Addr::LOCALHOST, 0),
            Family::V6 => Self::new(Ipv6Addr::UNSPECIFIED, 0),
        }
    }

    /// Parses the text of an address of `family`. A zone (`fe80::1%eth0`) is accepted, and dropped. Node:
    /// `new net.SocketAddress({ address, port, family })`.
    ///
    /// ```
    /// use fyke::{ErrorCode, Family, SocketAddress};
    ///
    /// let address = SocketAddress::from_text("::1", 80, Family::V6)?;
    /// assert_eq!(address.to_string(), "[::1]:80");
    /// let error = SocketAddress::from_text("::1", 80, Family::V4).unwrap_err();
    /// assert_eq!(error.code(), ErrorCode::ERR_INVALID_ADDRESS);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS` if the text is not an address, or is an address of another family.
    pub fn from_text(address: &str, port: u16, family: Family) -> Result<Self> {
        Ok(Self::new(ip_from_text(address, family)?, port))
    }

    /// Parses `<ipv4>[:port]` or `[<ipv6>][:port]`; the default port is 0. Returns `None` for everything
    /// else, for example a host name, an IPv6 address without brackets or with a zone, or a port above
    /// 65535.
    ///
    /// An IPv4 address may be written as in a URL, with up to four decimal, octal or hexadecimal parts, of
    /// which the last one fills the remaining bytes: `192.168.257` is `192.168.1.1`. Node:
    /// `SocketAddress.parse`, which drops port 80 and ignores other parts of a URL. fyke keeps port 80, and
    /// returns `None` if there are other parts.
    ///
    /// ```
    /// use fyke::SocketAddress;
    ///
    /// let address = SocketAddress::parse("0x7f.1:80").unwrap();
    /// assert_eq!(address.to_string(), "127.0.0.1:80");
    /// assert_eq!(SocketAddress::parse("localhost:80"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        parse::parse(text).map(Self)
    }

    /// Sets the flow label of an IPv6 address (RFC 6437). The flow label of an IPv4 address stays 0.
    ///
    /// As in Node, it is stored in the `flowinfo` of the [`SocketAddrV6`](std::net::SocketAddrV6) as a
    /// number in host byte order, and not in network byte order.
    ///
    /// ```
    /// use fyke::SocketAddress;
    ///
    /// let address = SocketAddress::parse("[::1]:80").unwrap();
    /// assert_eq!(address.with_flow_label(7)?.flow_label(), 7);
    /// assert!(address.with_flow_label(SocketAddress::FLOW_LABEL_MAX + 1).is_err());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ERR_OUT_OF_RANGE` if it is greater than [`FLOW_LABEL_MAX`](Self::FLOW_LABEL_MAX), for either
    /// family.
    pub fn with_flow_label(mut self, flow_label: u32) -> Result<Self> {
        if flow_label > Self::FLOW_LABEL_MAX {
            let message = format!(
                "the flow label {flow_label:#x} is too large: the maximum is {:#x}",
                Self::FLOW_LABEL_MAX
            );
            return Err(Error::new(ErrorCode::ERR_OUT_OF_RANGE, message));
        }
        if let SocketAddr::V6(address) = &mut self.0 {
            address.set_flowinfo(flow_label);
        }
        Ok(self)
    }
}

/// # Getters
impl SocketAddress {
    /// The IP address. Printed, it equals Node's `address`: in lower case and in the shortest form. Node:
    /// `address`.
    ///
    /// ```
    /// let address = fyke::SocketAddress::parse("192.0.2.1:80").unwrap();
    /// assert_eq!(address.address().to_string(), "192.0.2.1");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn address(&self) -> IpAddr {
        self.0.ip()
    }

    /// The port. Node: `port`.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The family of the address. An IPv4 address in mapped form (`::ffff:a.b.c.d`) is an IPv6 address.
    /// Node: `family`.
    ///
    /// ```
    /// let mapped = fyke::SocketAddress::parse("[::ffff:192.0.2.1]:80").unwrap();
    /// assert_eq!(mapped.family(), fyke::Family::V6);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn family(&self) -> Family {
        Family::of(&self.0)
    }

    /// The flow label, which is 0 for IPv4. Node: `flowlabel`.
    #[doc(alias = "flowlabel")]
    pub fn flow_label(&self) -> u32 {
        match self.0 {
            SocketAddr::V4(_) => 0,
            // A `SocketAddr` from other code may also contain the traffic class here (RFC 3493 section
            // 3.3).
            SocketAddr::V6(address) => address.flowinfo() & Self::FLOW_LABEL_MAX,
        }
    }
}

/// `127.0.0.1` and port 0.
impl Default for SocketAddress {
    fn default() -> Self {
        Self::for_family(Family::V4)
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl From<SocketAddress> for SocketAddr {
    fn from(address: SocketAddress) -> Self {
        address.0
    }
}

impl From<SocketAddress> for IpAddr {
    fn from(address: SocketAddress) -> Self {
        address.address()
    }
}

impl From<SocketAddress> for Endpoint {
    fn from(address: SocketAddress) -> Self {
        Self::Ip(address.0)
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketAddress")
            .field("address", &self.address())
            .field("port", &self.port())
            .field("family", &self.family())
            .field("flow_label", &self.flow_label())
            .finish()
    }
}

impl ToIpAddr for SocketAddress {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        Ok(self.address())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn adr_01_the_defaults_are_nodes() {
        let address = SocketAddress::default();
        assert_eq!(address.to_string(), "127.0.0.1:0");
        assert_eq!((address.family(), address.flow_label()), (Family::V4, 0));
        let address = SocketAddress::for_family(Family::V6);
        assert_eq!(address.to_string(), "[::]:0");
        assert_eq!((address.family(), address.flow_label()), (Family::V6, 0));
    }

    #[test]
    fn adr_01_the_address_is_in_its_canonical_form() {
        let address = SocketAddress::from_text("2001:0DB8::0:1", 80, Family::V6).unwrap();
        assert_eq!(address.address().to_string(), "2001:db8::1");
        assert_eq!(address.port(), 80);
    }

    #[test]
    fn adr_02_a_flow_label_has_twenty_bits() {
        let address = SocketAddress::for_family(Family::V6);
        for flow_label in [0, 1, SocketAddress::FLOW_LABEL_MAX] {
            assert_eq!(address.with_flow_label(flow_label).unwrap().flow_label(), flow_label);
        }
        for flow_label in [SocketAddress::FLOW_LABEL_MAX + 1, u32::MAX] {
            for address in [address, SocketAddress::default()] {
                let error = address.with_flow_label(flow_label).unwrap_err();
                assert_eq!(error.code(), ErrorCode::ERR_OUT_OF_RANGE);
            }
        }
    }

    #[test]
    fn adr_02_ipv4_has_no_flow_label() {
        assert_eq!(SocketAddress::default().with_flow_label(1).unwrap().flow_label(), 0);
    }

    #[test]
    fn adr_02_a_traffic_class_is_not_part_of_the_flow_label() {
        let std = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0x0ff0_0007, 3);
        let address = SocketAddress::from(SocketAddr::from(std));
        assert_eq!(address.flow_label(), 7);
        assert_eq!(SocketAddr::from(address), SocketAddr::from(std));
    }

    #[test]
    fn adr_03_text_that_is_not_an_address_of_the_family_is_refused() {
        let bad = [
            ("", Family::V4),
            ("127.0.0.01", Family::V4),
            ("::1", Family::V4),
            ("", Family::V6),
            ("127.0.0.1", Family::V6),
            ("[::1]", Family::V6),
        ];
        for (text, family) in bad {
            let error = SocketAddress::from_text(text, 0, family).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_INVALID_ADDRESS, "{text:?}");
        }
    }

    #[test]
    fn adr_04_addresses_are_printed_in_rusts_form() {
        let print =
            |text| SocketAddress::from_text(text, 0, Family::V6).unwrap().address().to_string();
        assert_eq!(print("::1:2"), "::1:2");
        assert_eq!(print("::ffff:102:304"), "::ffff:1.2.3.4");
        assert_eq!(print("1:0:0:2:0:0:0:3"), "1:0:0:2::3");
    }

    #[test]
    fn adr_05_a_zone_is_accepted_and_dropped() {
        let address = SocketAddress::from_text("fe80::1%lo", 1, Family::V6).unwrap();
        assert_eq!(address, SocketAddress::parse("[fe80::1]:1").unwrap());
    }

    #[test]
    fn adr_08_a_copy_is_equal_in_another_thread() {
        let address = SocketAddress::new([1, 2, 3, 4], 5);
        assert_eq!(std::thread::spawn(move || address).join().unwrap(), address);
        let other = SocketAddress::for_family(Family::V6);
        assert_ne!(other.with_flow_label(1).unwrap(), other);
    }

    #[test]
    fn a_socket_address_converts_into_an_endpoint_and_an_ip_address() {
        let address = SocketAddress::new([1, 2, 3, 4], 5);
        assert_eq!(Endpoint::from(address).to_string(), "1.2.3.4:5");
        assert_eq!(IpAddr::from(address), IpAddr::from([1, 2, 3, 4]));
    }
}
