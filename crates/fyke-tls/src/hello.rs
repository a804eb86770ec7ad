//! What a client says first.

use rustls::server::Acceptor;

/// The length of the header of a record.
const HEADER_BYTES: usize = 5;

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

/// The number of complete records in `coded`, plus one if it begins with something else.
pub(crate) fn complete_records(coded: &[u8]) -> usize {
    const HANDSHAKE: u8 = 22;
    let mut rest = coded;
    let mut count = 0;
    while let [kind, _, _, high, low, ..] = rest {
        let len = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE {
            return count + 1;
        }
        let Some(next) = rest.get(len..) else { break };
        rest = next;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_records_count() {
        let record = [22, 3, 1, 0, 2, 9, 9];
        for len in 0..record.len() {
            assert_eq!(complete_records(&record[..len]), 0);
        }
        let two = [record, record].concat();
        assert_eq!((complete_records(&record), complete_records(&two)), (1, 2));
        assert_eq!(complete_records(b"GET / HTTP/1.1"), 1);
    }
}
