//! Ports without a listener, and addresses where attempts to connect hang (FORMAT.md 6.1 and 6.3).
//! Created without the library under test.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use crate::random::random;

/// Below the range from which the system takes ephemeral ports.
const FIRST: u16 = 10_000;
const LAST: u16 = 29_999;

/// Different ports that are free at the moment.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let mut ports = Vec::with_capacity(count);
    while ports.len() < count {
        let port = FIRST + (random() % u64::from(LAST - FIRST + 1)) as u16;
        if !ports.contains(&port) && is_free(port) {
            ports.push(port);
        }
    }
    ports
}

fn is_free(port: u16) -> bool {
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    loopback.into_iter().all(|ip| match TcpListener::bind((ip, port)) {
        Ok(_) => true,
        // A machine without this family.
        Err(error) => error.kind() == io::ErrorKind::AddrNotAvailable,
    })
}

/// A listener that is never accepted from and whose queue is full. Exists until it is dropped.
#[derive(Debug)]
pub(crate) struct Blackhole {
    _listener: OwnedFd,
    _filling: [TcpStream; 2],
}

impl Blackhole {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let listener = socket(family, SocketType::STREAM, None)?;
        bind(&listener, &address)?;
        // Linux accepts one connection more than the backlog, and then drops every attempt.
        listen(&listener, 1)?;
        let filling = [TcpStream::connect(address)?, TcpStream::connect(address)?];
        Ok(Self { _listener: listener, _filling: filling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_attempt_at_a_black_hole_hangs() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1)[0]));
        let hole = Blackhole::open(address).unwrap();
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(hole);
    }
}
