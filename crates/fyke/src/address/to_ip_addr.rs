//! Conversions into an IP address, from a value or from strictly parsed text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{Error, ErrorCode, Family, Result};

/// A value that a [`BlockList`](crate::BlockList) accepts as an address.
///
/// | you write | meaning |
/// |---|---|
/// | an `IpAddr`, `Ipv4Addr`, `Ipv6Addr` | that address |
/// | a [`SocketAddress`](crate::SocketAddress), a `SocketAddr` | its address; the port is ignored |
/// | `("::1", Family::V6)` | the text, parsed as an address of that family |
/// | `"192.0.2.1"` | the text, parsed as IPv4, which is Node's default family |
///
/// A zone in the text of an IPv6 address (`fe80::1%eth0`) is accepted, and dropped.
///
/// ```
/// use fyke::{ErrorCode, Family, ToIpAddr};
///
/// assert!("192.0.2.1".to_ip_addr()?.is_ipv4());
/// assert!(("::1", Family::V6).to_ip_addr()?.is_ipv6());
/// let error = "::1".to_ip_addr().unwrap_err();
/// assert_eq!(error.code(), ErrorCode::ERR_INVALID_ADDRESS);
/// # Ok::<(), fyke::Error>(())
/// ```
pub trait ToIpAddr {
    /// Converts the value into an IP address.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use fyke::{Family, ToIpAddr};
    ///
    /// assert_eq!("127.0.0.1".to_ip_addr()?, Ipv4Addr::LOCALHOST);
    /// assert!(("::1", Family::V6).to_ip_addr()?.is_ipv6());
    /// assert!("::1".to_ip_addr().is_err(), "text alone is IPv4");
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ADDRESS` for text that is not an address, or is an address of another family.
    fn to_ip_addr(&self) -> Result<IpAddr>;
}

impl<T: ToIpAddr + ?Sized> ToIpAddr for &T {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        (**self).to_ip_addr()
    }
}

impl ToIpAddr for IpAddr {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        Ok(*self)
    }
}

impl ToIpAddr for Ipv4Addr {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        Ok((*self).into())
    }
}

impl ToIpAddr for Ipv6Addr {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        Ok((*self).into())
    }
}

impl ToIpAddr for SocketAddr {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        Ok(self.ip())
    }
}

impl<T: AsRef<str>> ToIpAddr for (T, Family) {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        let (text, family) = self;
        ip_from_text(text.as_ref(), *family)
    }
}

impl ToIpAddr for str {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        ip_from_text(self, Family::V4)
    }
}

impl ToIpAddr for String {
    fn to_ip_addr(&self) -> Result<IpAddr> {
        self.as_str().to_ip_addr()
    }
}

/// Parses text as an address of one family, and of no other.
// BLK-03, ADR-03
pub(super) fn ip_from_text(text: &str, family: Family) -> Result<IpAddr> {
    read_ip(text, family).ok_or_else(|| {
        let mut message = format!("{text:?} is not an {family} address");
        if family == Family::V4 && read_ip(text, Family::V6).is_some() {
            message.push_str("; use Family::V6 for an IPv6 address");
        }
        Error::new(ErrorCode::ERR_INVALID_ADDRESS, message)
    })
}

/// Parses text like [`ip_from_text`], without an error message. Everything after a `%` is dropped, as in
/// libuv's `uv_inet_pton`: interface names may contain more characters than Node accepts in a zone.
// ADR-05, ISIP-04
pub(super) fn read_ip(text: &str, family: Family) -> Option<IpAddr> {
    match family {
        Family::V4 => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Family::V6 => {
            let address = text.split('%').next().unwrap_or_default();
            address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SocketAddress;

    #[test]
    fn blk_03_a_text_without_a_family_is_ipv4() {
        assert_eq!("1.2.3.4".to_ip_addr().unwrap(), IpAddr::from([1, 2, 3, 4]));
        assert_eq!(String::from("1.2.3.4").to_ip_addr().unwrap(), IpAddr::from([1, 2, 3, 4]));
        let error = "::1".to_ip_addr().unwrap_err();
        assert_eq!(error.code(), ErrorCode::ERR_INVALID_ADDRESS);
        let text = r#"ERR_INVALID_ADDRESS: "::1" is not an IPv4 address; use Family::V6 for an IPv6 address"#;
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn blk_03_invalid_text_and_the_other_family_are_refused() {
        let v4 = ["", " 1.2.3.4", "1.2.3", "01.2.3.4", "0x7f.1", "1.2.3.4%lo", "localhost", "::"];
        for text in v4 {
            let error = (text, Family::V4).to_ip_addr().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_INVALID_ADDRESS, "{text:?}");
        }
        for text in ["", "1.2.3.4", ":::", "[::1]", "::1/128", "%lo", "::1 "] {
            let error = (text, Family::V6).to_ip_addr().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_INVALID_ADDRESS, "{text:?}");
        }
    }

    #[test]
    fn blk_04_the_port_of_a_socket_address_is_ignored() {
        let std: SocketAddr = "[::1]:80".parse().unwrap();
        assert_eq!(std.to_ip_addr().unwrap(), std.ip());
        assert_eq!(SocketAddress::from(std).to_ip_addr().unwrap(), std.ip());
        assert_eq!((&&std).to_ip_addr().unwrap(), std.ip());
    }

    #[test]
    fn adr_05_any_zone_is_dropped() {
        for text in ["fe80::1", "fe80::1%lo", "fe80::1%my_if", "fe80::1%"] {
            let ip = (text, Family::V6).to_ip_addr().unwrap();
            assert_eq!(ip.to_string(), "fe80::1", "{text:?}");
        }
    }
}
