//! The type-of-service byte of IPv4, the traffic class of IPv6.

#[cfg(any(target_os = "solaris", target_os = "illumos"))]
pub(crate) use missing::{set_type_of_service, type_of_service};
#[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
pub(crate) use usual::{set_type_of_service, type_of_service};

#[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
mod usual {
    use std::net::IpAddr;
    use std::os::fd::BorrowedFd;

    use rustix::io::Errno;
    use rustix::net::{self, AddressFamily, sockopt};

    pub(crate) fn type_of_service(fd: BorrowedFd<'_>) -> Result<u8, Errno> {
        match net::getsockname(fd)?.address_family() {
            AddressFamily::INET6 => Ok(u8::try_from(sockopt::ipv6_tclass(fd)?).unwrap_or(u8::MAX)),
            _ => sockopt::ip_tos(fd),
        }
    }

    /// An IPv6 socket with an IPv4 peer sends IPv4 packets, and Linux takes their byte from IP_TOS
    /// (ip(7)), so both are set.
    pub(crate) fn set_type_of_service(fd: BorrowedFd<'_>, value: u8) -> Result<(), Errno> {
        match crate::system::local_address(fd).map(|address| address.ip()) {
            Ok(Some(address)) => match address.ip() {
                IpAddr::V4(_) => sockopt::set_ip_tos(fd, value),
                IpAddr::V6(ip) => {
                    sockopt::set_ipv6_tclass(fd, value.into())?;
                    if ip.to_ipv4_mapped().is_some() {
                        // Only Linux allows an IPv6 socket to set it.
                        let _ = sockopt::set_ip_tos(fd, value);
                    }
                    Ok(())
                }
            },
            _ => Err(Errno::OPNOTSUPP),
        }
    }
}

/// illumos has neither option in the form that other systems have.
#[cfg(any(target_os = "solaris", target_os = "illumos"))]
mod missing {
    use std::os::fd::BorrowedFd;

    use rustix::io::Errno;

    pub(crate) fn type_of_service(_: BorrowedFd<'_>) -> Result<u8, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    pub(crate) fn set_type_of_service(_: BorrowedFd<'_>, _: u8) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }
}
