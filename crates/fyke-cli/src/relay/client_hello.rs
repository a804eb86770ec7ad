//! Parses the ClientHello, the first message of a TLS connection, without a TLS library: RFC 8446,
//! sections 4.1.2 and 5.1, and the same structure in RFC 5246. It has no clock and no socket.

/// The maximum size of a ClientHello, including the headers of its records.
pub(super) const HELLO_BYTES_MAX: usize = 64 * 1024;

const RECORD_HEADER_BYTES: usize = 5;
const RECORD_BYTES_MAX: usize = 16 * 1024;
const HANDSHAKE: u8 = 22;

const MESSAGE_HEADER_BYTES: usize = 4;
const CLIENT_HELLO: u8 = 1;
const RANDOM_BYTES: usize = 32;
const SESSION_ID_BYTES_MAX: usize = 32;

const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;
const HOST_NAME_BYTES_MAX: usize = 255;
const ALPN: usize = 16;

/// The result of parsing the bytes received so far. It does not depend on chunk boundaries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// More bytes are needed.
    Incomplete,
    /// The first bytes are not those of a TLS record with a handshake message.
    NotTls,
    /// TLS, but not a valid ClientHello.
    Malformed(Flaw),
    Hello(Hello<'a>),
}

/// What is wrong with a ClientHello, as a part of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw(pub(super) &'static str);

/// The parts of a ClientHello that routes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// The name in the extension `server_name` (RFC 6066, section 3): 1 to 255 printable ASCII
    /// characters.
    pub(super) server_name: Option<&'a str>,
    /// The list in the extension ALPN (RFC 7301, section 3.1). Each name follows its length.
    protocols: &'a [u8],
}

impl<'a> Hello<'a> {
    #[cfg(test)]
    pub(super) fn of(server_name: Option<&'a str>, protocols: &'a [u8]) -> Self {
        Self { server_name, protocols }
    }

    /// Returns the offered application protocols, in the client's order.
    pub(super) fn protocols(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = Cursor(self.protocols);
        // The list was checked when the extension was parsed.
        std::iter::from_fn(move || rest.vector(1).ok())
    }

    fn parse(body: &'a [u8]) -> Result<Self, Flaw> {
        let mut body = Cursor(body);
        let (_version, _random) = (body.number(2)?, body.bytes(RANDOM_BYTES)?);
        if body.vector(1)?.len() > SESSION_ID_BYTES_MAX {
            return Err(Flaw("its session id has more than 32 bytes"));
        }
        let (suites, compressions) = (body.vector(2)?, body.vector(1)?);
        if suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty() {
            return Err(Flaw("its cipher suites or compression methods are not valid"));
        }
        // Before TLS 1.3, a ClientHello could end here.
        let mut extensions = Cursor(if body.is_empty() { &[] } else { body.vector(2)? });
        body.end()?;
        let (mut server_name, mut protocols) = (None, None);
        while !extensions.is_empty() {
            let (kind, content) = (extensions.number(2)?, extensions.vector(2)?);
            let is_repeated = match kind {
                SERVER_NAME => server_name.replace(host_name(content)?).is_some(),
                ALPN => protocols.replace(protocol_list(content)?).is_some(),
                _ => false,
            };
            if is_repeated {
                return Err(Flaw("it has an extension twice"));
            }
        }
        Ok(Self { server_name, protocols: protocols.unwrap_or_default() })
    }
}

fn host_name(extension: &[u8]) -> Result<&str, Flaw> {
    let mut extension = Cursor(extension);
    let mut list = Cursor(extension.vector(2)?);
    extension.end()?;
    let (kind, name) = (list.number(1)?, list.vector(2)?);
    if kind != HOST_NAME || !list.is_empty() {
        return Err(Flaw("it has several server names, or one that is not a host name"));
    }
    let is_name = (1..=HOST_NAME_BYTES_MAX).contains(&name.len());
    let text = std::str::from_utf8(name).ok().filter(|_| is_name);
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.ok_or(Flaw("its server name is not 1 to 255 printable ASCII characters"))
}

fn protocol_list(extension: &[u8]) -> Result<&[u8], Flaw> {
    let mut extension = Cursor(extension);
    let list = extension.vector(2)?;
    extension.end()?;
    let mut rest = Cursor(list);
    while !rest.is_empty() {
        if rest.vector(1)?.is_empty() {
            return Err(Flaw("it has an application protocol without a name"));
        }
    }
    if list.is_empty() { Err(Flaw("its list of application protocols is empty")) } else { Ok(list) }
}

/// Collects the message from its records. Each byte is read once, and memory grows only with bytes
/// that were received.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The number of bytes of the stream that were read.
    read_bytes: usize,
    /// The number of bytes of the current record that were not read yet.
    record_rest_bytes: usize,
    /// The message so far, without the headers of records.
    message: Vec<u8>,
}

impl Reader {
    /// Continues with all bytes that were received so far, from the first one.
    pub(super) fn read(&mut self, received: &[u8]) -> Parsed<'_> {
        if !may_be_tls(received) {
            return Parsed::NotTls;
        }
        match self.body(received) {
            Ok(None) => Parsed::Incomplete,
            Ok(Some(body)) => Hello::parse(body).map_or_else(Parsed::Malformed, Parsed::Hello),
            Err(flaw) => Parsed::Malformed(flaw),
        }
    }

    /// Returns the message without its header, when it is complete. What follows it is not looked
    /// at.
    fn body(&mut self, received: &[u8]) -> Result<Option<&[u8]>, Flaw> {
        loop {
            if let Some(end) = message_bytes(&self.message)? {
                if self.message.len() >= end {
                    return Ok(self.message.get(MESSAGE_HEADER_BYTES..end));
                }
            }
            let rest = received.get(self.read_bytes..).unwrap_or_default();
            if self.record_rest_bytes == 0 {
                let Some(length) = record_bytes(rest)? else { return Ok(None) };
                self.read_bytes += RECORD_HEADER_BYTES;
                if self.read_bytes + length > HELLO_BYTES_MAX {
                    return Err(Flaw("it has more than 64 KiB"));
                }
                self.record_rest_bytes = length;
            } else if rest.is_empty() {
                return Ok(None);
            } else {
                let piece = &rest[..rest.len().min(self.record_rest_bytes)];
                self.message.extend_from_slice(piece);
                self.read_bytes += piece.len();
                self.record_rest_bytes -= piece.len();
            }
        }
    }
}

/// Returns whether these are the first bytes of a record with a handshake message. An SSLv2 hello
/// begins with another byte.
fn may_be_tls(received: &[u8]) -> bool {
    received.first().is_none_or(|kind| *kind == HANDSHAKE)
        && received.get(1).is_none_or(|major| *major == 3)
        && received.get(2).is_none_or(|minor| (1..=3).contains(minor))
}

/// Returns the length of the record whose header comes first, if the header is complete.
fn record_bytes(header: &[u8]) -> Result<Option<usize>, Flaw> {
    if !may_be_tls(header) {
        return Err(Flaw("another record interrupts it"));
    }
    let Some(header) = header.first_chunk::<RECORD_HEADER_BYTES>() else { return Ok(None) };
    match usize::from(u16::from_be_bytes([header[3], header[4]])) {
        0 => Err(Flaw("it has an empty record")),
        length if length > RECORD_BYTES_MAX => Err(Flaw("it has a record of more than 16 KiB")),
        length => Ok(Some(length)),
    }
}

/// Returns the length of the message including its header, if the header is complete.
fn message_bytes(message: &[u8]) -> Result<Option<usize>, Flaw> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(Flaw("another message comes first"));
    }
    let mut header = Cursor(message.get(1..MESSAGE_HEADER_BYTES).unwrap_or_default());
    let Ok(length) = header.number(MESSAGE_HEADER_BYTES - 1) else { return Ok(None) };
    if length > HELLO_BYTES_MAX - MESSAGE_HEADER_BYTES {
        return Err(Flaw("it has more than 64 KiB"));
    }
    Ok(Some(MESSAGE_HEADER_BYTES + length))
}

/// The rest of a structure in the presentation language of RFC 8446, section 3.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Flaw("it is truncated inside"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, size: usize) -> Result<usize, Flaw> {
        let bytes = self.bytes(size)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Reads a vector, whose length comes first, in a number of `size` bytes.
    fn vector(&mut self, size: usize) -> Result<&'a [u8], Flaw> {
        let length = self.number(size)?;
        self.bytes(length)
    }

    fn end(&self) -> Result<(), Flaw> {
        if self.is_empty() { Ok(()) } else { Err(Flaw("it has unexpected bytes inside")) }
    }
}

// The path is for the fuzz target, which includes this file.
#[cfg(test)]
#[path = "client_hello/tests.rs"]
mod tests;
