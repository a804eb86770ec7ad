//! What a client says first.

use rustls::server::Acceptor;

/// The type and the length of a handshake message.
const MESSAGE_PREFIX_BYTES: usize = 4;
/// The longest handshake message that rustls accepts.
const MESSAGE_BYTES_MAX: usize = 0xffff;
/// The longest record: 2,048 bytes more than its plain bytes (RFC 5246, section 6.2.3).
const RECORD_BYTES_MAX: usize = 16 * 1024 + 2048;

/// The ClientHello of a client, for a server that chooses its certificate.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    server_name: Option<String>,
    alpn: Vec<Vec<u8>>,
}

impl Hello {
    /// Returns the name of the server that the client asks for, in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns the application protocols that the client offers, the preferred one first.
    pub fn alpn_protocols(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    /// Looks for a complete ClientHello at the beginning of `coded`. Returns an empty one if there is something
    /// else: the handshake fails then, and knows why.
    pub(crate) fn find(coded: &[u8]) -> Option<Self> {
        let mut acceptor = Acceptor::default();
        let mut rest = coded;
        loop {
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
                    let server_name = hello.server_name().map(str::to_ascii_lowercase);
                    return Some(Self { server_name, alpn });
                }
                Ok(None) if rest.is_empty() => return None,
                Ok(None) => match acceptor.read_tls(&mut rest) {
                    Ok(1..) => {}
                    _ => return Some(Self::default()),
                },
                Err(_) => return Some(Self::default()),
            }
        }
    }
}

/// Returns whether `coded` begins with a complete ClientHello, or with something that cannot become one. Only then is
/// it worth parsing, which takes much longer.
pub(crate) fn is_complete(coded: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const MAJOR_VERSION: u8 = 3;
    let mut rest = coded;
    let mut prefix = [0; MESSAGE_PREFIX_BYTES];
    let mut received = 0;
    while let [kind, major, _, high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let is_record = *kind == HANDSHAKE && *major == MAJOR_VERSION;
        if !is_record || !(1..=RECORD_BYTES_MAX).contains(&len) {
            return true;
        }
        let Some(payload) = after.get(..len) else { break };
        for (to, from) in prefix.iter_mut().skip(received).zip(payload) {
            *to = *from;
        }
        received += len;
        let [_, length @ ..] = prefix;
        let message = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if received >= MESSAGE_PREFIX_BYTES
            && (message > MESSAGE_BYTES_MAX || received - MESSAGE_PREFIX_BYTES >= message)
        {
            return true;
        }
        rest = &after[len..];
    }
    false
}

/// Returns whether a client speaks HTTP without TLS.
pub(crate) fn is_http_request(coded: &[u8]) -> bool {
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "PRI"];
    let method = coded.split(|byte| *byte == b' ').next().unwrap_or_default();
    method.len() < coded.len() && methods.iter().any(|name| name.as_bytes() == method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_complete_in_however_many_records() {
        let message = [1, 0, 0, 2, 8, 9];
        for piece in 1..=message.len() {
            let records = message.chunks(piece);
            let records =
                records.flat_map(|piece| [&[22, 3, 1, 0, piece.len() as u8], piece].concat());
            let records: Vec<u8> = records.collect();
            assert!((0..records.len()).all(|len| !is_complete(&records[..len])));
            assert!(is_complete(&records));
        }
    }

    #[test]
    fn what_cannot_become_a_message_is_not_waited_for() {
        let too_long = [22, 3, 1, 0, 4, 1, 1, 0, 0];
        for bytes in [b"GET / HTTP/1.1", &[22, 3, 1, 0xff, 0xff][..], &[22, 3, 1, 0, 0], &too_long]
        {
            assert!(is_complete(bytes));
        }
    }
}
