//! The PROXY protocol: a header before the first byte that says who the client really is.
//! Specification: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Socket, timer};
use ppp::{HeaderResult, PartialResult, v1, v2};

use crate::arguments::ProxyVersion;

/// Chapter 2.1: a line has at most 107 bytes. A version 2 header has at most 16 + 65535, of which
/// more than this is nothing that anybody sends.
const V1_BYTES_MAX: usize = 107;
const V2_BYTES_MAX: usize = 4096;
/// Whoever has to send a header sends it at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who talks to whom. Without it nobody knows, or wants to say.
pub(super) type Addresses = Option<(SocketAddr, SocketAddr)>;

/// What a header said, and how long it was.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Header(Addresses, usize),
    Incomplete,
    Bad,
}

fn parse(bytes: &[u8]) -> Parsed {
    let begins = |prefix: &[u8]| prefix.starts_with(&bytes[..bytes.len().min(prefix.len())]);
    let (first, second) = (begins(v1::PROTOCOL_PREFIX.as_bytes()), begins(v2::PROTOCOL_PREFIX));
    if !first && !second {
        return Parsed::Bad;
    }
    // The crate takes some lines that are only cut off for wrong ones.
    let line = bytes.windows(2).any(|pair| pair == b"\r\n");
    if first && !line && bytes.len() < V1_BYTES_MAX {
        return Parsed::Incomplete;
    }
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => {
            let addresses = match header.addresses {
                v1::Addresses::Unknown => None,
                v1::Addresses::Tcp4(ip) => Some((
                    (ip.source_address, ip.source_port).into(),
                    (ip.destination_address, ip.destination_port).into(),
                )),
                v1::Addresses::Tcp6(ip) => Some((
                    (ip.source_address, ip.source_port).into(),
                    (ip.destination_address, ip.destination_port).into(),
                )),
            };
            Parsed::Header(addresses, header.header.len())
        }
        HeaderResult::V2(Ok(header)) => {
            let addresses = match (header.command, header.addresses) {
                (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Some((
                    (ip.source_address, ip.source_port).into(),
                    (ip.destination_address, ip.destination_port).into(),
                )),
                (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Some((
                    (ip.source_address, ip.source_port).into(),
                    (ip.destination_address, ip.destination_port).into(),
                )),
                // LOCAL is the proxy itself, and others have no address that we could pass on.
                _ => None,
            };
            Parsed::Header(addresses, header.len())
        }
        result if second && result.is_incomplete() && bytes.len() < V2_BYTES_MAX => {
            Parsed::Incomplete
        }
        _ => Parsed::Bad,
    }
}

/// Reads the header that has to come first. `done` runs once: with what it said, or with `Err`. The
/// socket is paused then, and the bytes behind the header are still to be read.
pub(super) fn receive(
    socket: &Socket,
    done: impl FnOnce(&Socket, Result<Addresses, ()>) + 'static,
) {
    let done = Rc::new(RefCell::new(Some(done)));
    let finish = Rc::new(move |socket: &Socket, result| {
        // Out of its place first: it may close the socket, which would come here again.
        let done = done.borrow_mut().take();
        if let Some(done) = done {
            done(socket, result);
        }
    });
    let (late, at_the_deadline) = (socket.clone(), Rc::clone(&finish));
    let deadline = timer::set_timeout(PATIENCE, move || at_the_deadline(&late, Err(())));
    let deadline = Rc::new(deadline.ok());
    let cancel = move || deadline.iter().for_each(timer::Timer::cancel);
    let cancel_at_the_close = cancel.clone();
    socket.on_close(move |_, _| cancel_at_the_close());
    let (mut header, at_the_end) = (Vec::new(), Rc::clone(&finish));
    let listener = Rc::new(RefCell::new(None));
    let own = Rc::clone(&listener);
    let id = socket.on_data(move |socket, data| {
        header.extend_from_slice(data);
        let result = match parse(&header) {
            Parsed::Incomplete => return,
            Parsed::Bad => Err(()),
            Parsed::Header(addresses, length) => {
                socket.pause();
                socket.unshift(&header[length..]);
                Ok(addresses)
            }
        };
        if let Some(id) = own.borrow_mut().take() {
            socket.off(id);
        }
        cancel();
        finish(socket, result);
    });
    *listener.borrow_mut() = Some(id);
    socket.on_end(move |socket| at_the_end(socket, Err(())));
    socket.resume();
}

/// The header to send.
pub(super) fn header(version: ProxyVersion, addresses: Addresses) -> Vec<u8> {
    // A server of both families sees an IPv4 client as ::ffff:a.b.c.d.
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let addresses = addresses.map(|(from, to)| (plain(from), plain(to)));
    match version {
        ProxyVersion::V1 => {
            let addresses = match addresses {
                Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
                    v1::Addresses::new_tcp4(*from.ip(), *to.ip(), from.port(), to.port())
                }
                Some((SocketAddr::V6(from), SocketAddr::V6(to))) => {
                    v1::Addresses::new_tcp6(*from.ip(), *to.ip(), from.port(), to.port())
                }
                _ => v1::Addresses::Unknown,
            };
            match addresses {
                // The crate's text of it has no end of line.
                v1::Addresses::Unknown => b"PROXY UNKNOWN\r\n".to_vec(),
                addresses => addresses.to_string().into_bytes(),
            }
        }
        ProxyVersion::V2 => {
            let addresses: v2::Addresses = match addresses {
                Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
                    v2::IPv4::new(*from.ip(), *to.ip(), from.port(), to.port()).into()
                }
                Some((SocketAddr::V6(from), SocketAddr::V6(to))) => {
                    v2::IPv6::new(*from.ip(), *to.ip(), from.port(), to.port()).into()
                }
                _ => v2::Addresses::Unspecified,
            };
            let protocol = match addresses {
                v2::Addresses::Unspecified => v2::Protocol::Unspecified,
                _ => v2::Protocol::Stream,
            };
            let version = v2::Version::Two | v2::Command::Proxy;
            // It fails only for more bytes than a header may have.
            v2::Builder::with_addresses(version, protocol, addresses).build().unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(from: &str, to: &str) -> Addresses {
        Some((from.parse().unwrap(), to.parse().unwrap()))
    }

    #[test]
    fn what_is_written_is_what_the_specification_shows_and_can_be_read_back() {
        let v4 = addresses("192.168.0.1:56324", "192.168.0.11:443");
        let text = header(ProxyVersion::V1, v4);
        assert_eq!(text, b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
        assert_eq!(header(ProxyVersion::V1, None), b"PROXY UNKNOWN\r\n");
        let binary = header(ProxyVersion::V2, v4);
        assert_eq!(binary[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c");
        assert_eq!(header(ProxyVersion::V2, None)[12..], *b"\x21\x00\x00\x00");
        for addresses in [v4, addresses("[fd00::1]:1", "[::1]:65535"), None] {
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let bytes = header(version, addresses);
                assert_eq!(parse(&bytes), Parsed::Header(addresses, bytes.len()), "{version:?}");
                for cut in 0..bytes.len() {
                    assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete, "{version:?} {cut}");
                }
                let more = [&bytes[..], b"more"].concat();
                assert_eq!(parse(&more), Parsed::Header(addresses, bytes.len()));
            }
        }
    }

    #[test]
    fn an_ipv4_client_of_a_dual_stack_server_is_an_ipv4_client() {
        let mapped = addresses("[::ffff:10.0.0.1]:5", "[::ffff:10.0.0.2]:6");
        let text = header(ProxyVersion::V1, mapped);
        assert_eq!(text, b"PROXY TCP4 10.0.0.1 10.0.0.2 5 6\r\n");
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_certain() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"x",
            b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
            b"PROXY TCP9 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 70000\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c____________",
        ] {
            assert_eq!(parse(bytes), Parsed::Bad, "{}", bytes.escape_ascii());
        }
        let long = [&b"PROXY TCP4 "[..], &[b'1'; V1_BYTES_MAX]].concat();
        assert_eq!(parse(&long), Parsed::Bad);
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
        assert_eq!(parse(local), Parsed::Header(None, 16));
    }
}
