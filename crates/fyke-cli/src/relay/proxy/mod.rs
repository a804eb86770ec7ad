//! The PROXY protocol: a header before the first byte, which contains the client's address.
//! Specification: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod v1;
mod v2;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fyke::{Socket, timer};

use crate::arguments::ProxyVersion;

/// How long to wait for the header. A proxy that uses the protocol sends it at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client's address and the address to which it connected. `None` if the header has no address;
/// the addresses of the connection apply then.
pub(super) type Addresses = Option<(SocketAddr, SocketAddr)>;

/// The result of parsing the bytes received so far. It does not depend on chunk boundaries.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// A complete header, and its length.
    Header(Addresses, usize),
    /// More bytes are needed: at least this many in total, as far as is known.
    Incomplete(usize),
    Bad,
}

fn parse(bytes: &[u8]) -> Parsed {
    let begins =
        |signature: &[u8]| signature.starts_with(&bytes[..bytes.len().min(signature.len())]);
    if begins(v2::SIGNATURE) {
        v2::parse(bytes)
    } else if begins(v1::SIGNATURE) {
        v1::parse(bytes)
    } else {
        Parsed::Bad
    }
}

/// Reads the header that must come first. `done` runs once, with the addresses in the header or
/// with `Err`. The socket is then paused, and the bytes after the header can still be read.
pub(super) fn receive(
    socket: &Socket,
    done: impl FnOnce(&Socket, Result<Addresses, ()>) + 'static,
) {
    let done = Rc::new(RefCell::new(Some(done)));
    let finish = Rc::new(move |socket: &Socket, result| {
        // Take the callback first: it may close the socket, which would call this closure again.
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
    let (mut header, mut needed, at_the_end) = (Vec::new(), 0, Rc::clone(&finish));
    let listener = Rc::new(RefCell::new(None));
    let own = Rc::clone(&listener);
    let id = socket.on_data(move |socket, data| {
        header.extend_from_slice(data);
        if header.len() < needed {
            return;
        }
        let result = match parse(&header) {
            Parsed::Incomplete(bytes) => {
                needed = bytes;
                return;
            }
            Parsed::Bad => Err(()),
            Parsed::Header(addresses, length) => {
                socket.pause();
                socket.unshift(&header[length..]);
                Ok(addresses)
            }
        };
        header = Vec::new();
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

/// Returns the header to send.
pub(super) fn header(version: ProxyVersion, addresses: Addresses) -> Vec<u8> {
    let addresses = addresses.map(|(from, to)| of_one_family(from, to));
    match version {
        ProxyVersion::V1 => v1::header(addresses),
        ProxyVersion::V2 => v2::header(addresses),
    }
}

/// Converts both addresses to one family, because a header has addresses of one family. A
/// dual-stack server sees an IPv4 client as ::ffff:a.b.c.d, which is converted to IPv4. If only one
/// of the two is an IPv4 address, it is converted to IPv6.
fn of_one_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (from, to) = (plain(from), plain(to));
    if from.is_ipv4() == to.is_ipv4() {
        return (from, to);
    }
    let mapped = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        v6 => v6,
    };
    (mapped(from), mapped(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(from: &str, to: &str) -> Addresses {
        Some((from.parse().unwrap(), to.parse().unwrap()))
    }

    /// The results for each prefix, and for the header with more bytes, must be consistent.
    fn assert_parsed(bytes: &[u8], expected: Addresses) {
        for cut in 0..bytes.len() {
            let parsed = parse(&bytes[..cut]);
            let waits = matches!(parsed, Parsed::Incomplete(needed) if needed > cut && needed <= bytes.len());
            assert!(waits, "{cut} of {}: {parsed:?}", bytes.escape_ascii());
        }
        let more = [bytes, b"more"].concat();
        let expected = Parsed::Header(expected, bytes.len());
        assert_eq!(parse(bytes), expected, "{}", bytes.escape_ascii());
        assert_eq!(parse(&more), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn headers_match_the_specification_and_round_trip() {
        let v4 = addresses("192.168.0.1:56324", "192.168.0.11:443");
        let text = header(ProxyVersion::V1, v4);
        assert_eq!(text, b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
        assert_eq!(header(ProxyVersion::V1, None), b"PROXY UNKNOWN\r\n");
        let binary = header(ProxyVersion::V2, v4);
        assert_eq!(binary[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c");
        assert_eq!(binary[16..], *b"\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb");
        assert_eq!(header(ProxyVersion::V2, None)[12..], *b"\x21\x00\x00\x00");
        for addresses in [v4, addresses("[fd00::1]:1", "[::1]:65535"), None] {
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                assert_parsed(&header(version, addresses), addresses);
            }
        }
    }

    #[test]
    fn ipv4_client_of_a_dual_stack_server_is_an_ipv4_client() {
        let mapped = addresses("[::ffff:10.0.0.1]:5", "[::ffff:10.0.0.2]:6");
        let text = header(ProxyVersion::V1, mapped);
        assert_eq!(text, b"PROXY TCP4 10.0.0.1 10.0.0.2 5 6\r\n");
    }

    #[test]
    fn addresses_of_two_families_are_written_as_ipv6() {
        for (from, to) in [
            ("[2001:db8::9]:1111", "[::ffff:192.0.2.1]:443"),
            ("[2001:db8::9]:1111", "192.0.2.1:443"),
        ] {
            let mixed = addresses(from, to);
            let expected = addresses("[2001:db8::9]:1111", "[::ffff:192.0.2.1]:443");
            let text = header(ProxyVersion::V1, mixed);
            assert_eq!(text, b"PROXY TCP6 2001:db8::9 ::ffff:192.0.2.1 1111 443\r\n");
            assert_parsed(&text, expected);
            let binary = header(ProxyVersion::V2, mixed);
            assert_eq!(binary[12..16], *b"\x21\x21\x00\x24");
            assert_parsed(&binary, expected);
        }
        let text = header(ProxyVersion::V1, addresses("192.0.2.1:1", "[2001:db8::9]:2"));
        assert_eq!(text, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::9 1 2\r\n");
    }

    #[test]
    fn first_line_may_contain_anything_if_the_protocol_is_unknown() {
        assert_parsed(b"PROXY UNKNOWN whatever it is\r\n", None);
        let mut longest = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 91]].concat();
        longest.extend(b"\r\n");
        assert_eq!(longest.len(), 107);
        assert_parsed(&longest, None);
    }

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap();
        let head = [v2::SIGNATURE, &[0x20 | command, family], &length.to_be_bytes()].concat();
        [head.as_slice(), block].concat()
    }

    #[test]
    fn address_block_of_a_local_header_is_always_discarded() {
        for (family, block) in [
            (0x00, &b""[..]),
            (0x00, b"1234567"),
            (0x11, b"123456789012"),
            (0x11, b"123"),
            (0x99, b"x"),
        ] {
            assert_parsed(&binary(0, family, block), None);
        }
    }

    #[test]
    fn families_other_than_ip_yield_no_address() {
        assert_parsed(&binary(1, 0x00, b"123456789"), None);
        assert_parsed(&binary(1, 0x31, &[b'/'; 216]), None);
        assert_parsed(&binary(1, 0x32, &[b'/'; 217]), None);
    }

    #[test]
    fn block_behind_the_addresses_may_be_as_long_as_the_length_field_allows() {
        let v4 = addresses("203.0.113.9:1111", "192.0.2.1:443");
        let block =
            [&b"\xcb\x00\x71\x09\xc0\x00\x02\x01\x04\x57\x01\xbb"[..], &[7; 65_523]].concat();
        let header = binary(1, 0x11, &block);
        let expected = Parsed::Header(v4, 16 + 65_535);
        for cut in [0, 15, 16, 17, 4096, 4097, header.len() - 1] {
            assert!(matches!(parse(&header[..cut]), Parsed::Incomplete(_)), "{cut}");
        }
        assert_eq!(parse(&header), expected);
        assert_eq!(parse(&[header.as_slice(), b"more"].concat()), expected);
    }

    #[test]
    fn bytes_that_cannot_become_a_header_are_refused_immediately() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"x",
            b"PROXYTCP4",
            b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
            b"PROXY TCP9 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 70000\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 2001:db8::9 192.0.2.1 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx",
            b"PROXY UNKNOWNx\r\n",
            b"PROXY \r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31",
            b"\r\n\r\n\0\r\nQUIT\n\x22",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x99",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x13",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x08",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x23",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xd7",
        ] {
            assert_eq!(parse(bytes), Parsed::Bad, "{}", bytes.escape_ascii());
        }
        let long = [&b"PROXY UNKNOWN "[..], &[b'1'; 107 - 14]].concat();
        assert!(matches!(parse(&long[..106]), Parsed::Incomplete(107)));
        assert_eq!(parse(&long), Parsed::Bad);
        assert_eq!(parse(&[&long[..], b"\r\n"].concat()), Parsed::Bad);
    }
}
