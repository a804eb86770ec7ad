//! Connections of rustls 0.23. They use its unbuffered interface, in which the caller owns all buffers, and
//! [`records`] once TLS 1.3 is established.

mod records;

use std::sync::Arc;

use fyke::{LayerOutput, LayerStep, Result};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus,
};
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use crate::engine::{Engine, Facts};
use crate::error::of_rustls;
use records::{Kernel, Records};

/// The most plain bytes of one record.
const RECORD_BYTES: usize = 16 * 1024;
const RECORD_HEADER_BYTES: usize = 5;
/// The most bytes that a record has besides its plain bytes: header, nonce, tag, content type.
const RECORD_OVERHEAD_BYTES: usize = RECORD_HEADER_BYTES + 8 + 16 + 1;
/// Enough for an alert.
const ALERT_BYTES: usize = 64;

/// One side of a connection of rustls.
pub(crate) struct Connection {
    side: Side,
    /// Records with a part of a handshake message. rustls remembers where they are in the buffer, so they must be
    /// passed whenever rustls is called, and not only when more bytes have come.
    held: Vec<u8>,
    /// The configuration allows that the keys are taken from rustls.
    gives_keys: bool,
}

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
    Established(Box<Records>),
    /// rustls has failed to give the keys away.
    Failed,
}

/// Returns where the record ends that begins at `start`, or its header if that is incomplete.
fn record_end(coded: &[u8], start: usize) -> usize {
    let body = match &coded[start..] {
        [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    start + RECORD_HEADER_BYTES + body
}

/// What one step found.
struct Step {
    discard: usize,
    progress: Progress,
}

impl Step {
    const CLOSED: Self = Self { discard: 0, progress: Progress::Closed };
}

#[derive(PartialEq, Eq)]
enum Progress {
    /// Call again.
    More,
    /// The peer has sent `close_notify`. Call again.
    Ended,
    /// All complete records are handled, and bytes can be sent.
    Open,
    /// All complete records are handled, and the handshake is not done.
    Blocked,
    /// Both sides have sent `close_notify`.
    Closed,
}

/// Carries out what rustls asks for.
fn follow<D>(
    status: UnbufferedStatus<'_, '_, D>,
    output: &mut LayerOutput,
) -> Result<Step, (usize, rustls::Error)> {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let progress = match state.map_err(|error| (discard, error))? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record.map_err(|error| (discard, error))?;
                discard += record.discard;
                output.plain.extend_from_slice(record.payload);
            }
            Progress::More
        }
        ConnectionState::EncodeTlsData(data) => {
            encode(data, &mut output.coded);
            Progress::More
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Progress::More
        }
        ConnectionState::PeerClosed => Progress::Ended,
        ConnectionState::Closed => Progress::Closed,
        ConnectionState::BlockedHandshake => Progress::Blocked,
        // `WriteTraffic`. `ReadEarlyData` does not occur, because contexts refuse early data.
        _ => Progress::Open,
    };
    Ok(Step { discard, progress })
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, coded: &mut Vec<u8>) {
    append(coded, 512, |space| match data.encode(space) {
        Err(EncodeError::InsufficientSize(error)) => Err(error),
        other => Ok(other.unwrap_or_default()),
    });
}

/// Appends what `fill` writes, in at least `len` bytes of space.
fn append(
    coded: &mut Vec<u8>,
    len: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, InsufficientSizeError>,
) {
    let start = coded.len();
    let mut space = len;
    loop {
        coded.resize(start + space, 0);
        match fill(&mut coded[start..]) {
            Ok(count) => return coded.truncate(start + count),
            Err(error) => space = error.required_size.max(space + 1),
        }
    }
}

fn write_into<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plain: &[u8],
    output: &mut LayerOutput,
) -> Result<Option<Step>> {
    let UnbufferedStatus { discard, state, .. } = status;
    let mut failure = None;
    match state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let records = plain.len() / RECORD_BYTES + 1;
            let len = plain.len() + records * RECORD_OVERHEAD_BYTES;
            append(&mut output.coded, len, |space| match traffic.encrypt(plain, space) {
                Err(EncryptError::InsufficientSize(error)) => Err(error),
                Err(error) => {
                    failure = Some(error);
                    Ok(0)
                }
                Ok(count) => Ok(count),
            });
        }
        state => {
            let status = UnbufferedStatus { discard, state };
            return follow(status, output).map(Some).map_err(|(_, error)| of_rustls(error));
        }
    }
    failure.map_or(Ok(None), |_| Err(of_rustls(rustls::Error::EncryptError)))
}

fn close_into<D>(status: UnbufferedStatus<'_, '_, D>, output: &mut LayerOutput) -> Option<Step> {
    match status {
        UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } => {
            append(&mut output.coded, ALERT_BYTES, |space| {
                match traffic.queue_close_notify(space) {
                    Err(EncryptError::InsufficientSize(error)) => Err(error),
                    other => Ok(other.unwrap_or_default()),
                }
            });
            None
        }
        status => follow(status, output).ok(),
    }
}

impl Connection {
    pub(crate) fn client(config: &Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self> {
        let client = UnbufferedClientConnection::new(Arc::clone(config), name);
        let side = Side::Client(Box::new(client.map_err(of_rustls)?));
        Ok(Self { side, held: Vec::new(), gives_keys: config.enable_secret_extraction })
    }

    pub(crate) fn server(config: &Arc<ServerConfig>) -> Result<Self> {
        let server = UnbufferedServerConnection::new(Arc::clone(config));
        let side = Side::Server(Box::new(server.map_err(of_rustls)?));
        Ok(Self { side, held: Vec::new(), gives_keys: config.enable_secret_extraction })
    }

    /// The state that rustls has, as long as it has the keys.
    fn common(&self) -> Option<&CommonState> {
        match &self.side {
            Side::Client(client) => Some(client),
            Side::Server(server) => Some(server),
            Side::Established(_) | Side::Failed => None,
        }
    }

    fn is_handshaking(&self) -> bool {
        self.common().is_some_and(CommonState::is_handshaking)
    }

    /// The records of the connection, if rustls has given the keys away.
    fn records(&mut self) -> Option<&mut Records> {
        match &mut self.side {
            Side::Established(records) => Some(records),
            _ => None,
        }
    }

    /// Takes the keys from rustls, if the configuration and the cipher suite allow that.
    fn take_keys(&mut self) -> Result<()> {
        let suite = self.common().and_then(CommonState::negotiated_cipher_suite);
        if !self.gives_keys || !suite.is_some_and(records::supports) {
            return Ok(());
        }
        let given = match std::mem::replace(&mut self.side, Side::Failed) {
            Side::Client(client) => client
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Client(kernel))),
            Side::Server(server) => server
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Server(kernel))),
            Side::Established(_) | Side::Failed => return Ok(()),
        };
        let records = given.and_then(|(secrets, kernel)| Records::new(secrets, kernel));
        self.side = Side::Established(Box::new(records.map_err(of_rustls)?));
        Ok(())
    }

    fn facts(&self) -> Facts {
        let Some(common) = self.common() else { return Facts::default() };
        let certificates = common.peer_certificates().unwrap_or_default();
        Facts {
            protocol: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => Some("TLSv1.2"),
                Some(ProtocolVersion::TLSv1_3) => Some("TLSv1.3"),
                _ => None,
            },
            cipher: common.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            is_resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            peer_certificates: certificates.iter().map(|der| der.to_vec()).collect(),
        }
    }

    // After `close_notify` was sent, a wrong record of the peer panics here if rustls has debug assertions
    // (rustls#959). That destroys the socket, as a panic in a listener does; release builds report the error.
    fn step(
        &mut self,
        coded: &mut [u8],
        output: &mut LayerOutput,
    ) -> Result<Step, (usize, rustls::Error)> {
        match &mut self.side {
            Side::Client(client) => {
                follow::<ClientConnectionData>(client.process_tls_records(coded), output)
            }
            Side::Server(server) => {
                follow::<ServerConnectionData>(server.process_tls_records(coded), output)
            }
            Side::Established(_) | Side::Failed => Ok(Step::CLOSED),
        }
    }

    fn read_all(&mut self, coded: &mut [u8], output: &mut LayerOutput) -> Result<(usize, bool)> {
        let mut used = 0;
        let mut ended = false;
        loop {
            match self.step(&mut coded[used..], output) {
                Ok(Step { discard, progress }) => {
                    used += discard;
                    match progress {
                        Progress::More => {}
                        Progress::Ended => ended = true,
                        Progress::Closed => return Ok((used, true)),
                        Progress::Open | Progress::Blocked => return Ok((used, ended)),
                    }
                }
                Err((discard, error)) => {
                    used += discard;
                    // The alert follows. After it, rustls must not be called again.
                    while self.common().is_some_and(CommonState::wants_write) {
                        if self.step(&mut coded[used..], output).is_err() {
                            break;
                        }
                    }
                    return Err(of_rustls(error));
                }
            }
        }
    }
}

impl Engine for Connection {
    fn read(&mut self, coded: &mut [u8], output: &mut LayerOutput) -> Result<LayerStep> {
        if let Some(records) = self.records() {
            return records.read(coded, output).map_err(of_rustls);
        }
        let mut step = LayerStep::default();
        // rustls must not get fewer bytes than it has seen.
        let mut end = self.held.len();
        loop {
            // Records after the handshake are not for rustls if it gives the keys away, so it gets one at a time.
            let handshaking = self.is_handshaking();
            end = if handshaking { record_end(coded, end).min(coded.len()) } else { coded.len() };
            let (used, ended) = self.read_all(&mut coded[step.used..end], output)?;
            (step.used, step.ended) = (step.used + used, ended);
            if end == coded.len() || ended || !self.is_handshaking() {
                break;
            }
        }
        let rest = coded.len() - step.used;
        step.needed = match record_end(&coded[step.used..], 0) {
            _ if end < coded.len() => Some(0),
            whole if whole > rest => Some(whole - rest),
            _ => None,
        };
        self.held.clear();
        if step.needed.is_none() {
            // Only complete records, so that the next one begins where they end.
            let rest = &coded[step.used..];
            let mut complete = 0;
            while record_end(rest, complete) <= rest.len() {
                complete = record_end(rest, complete);
            }
            self.held.extend_from_slice(&rest[..complete]);
        } else {
            self.held = Vec::new();
        }
        Ok(step)
    }

    fn is_open(&self) -> bool {
        !self.is_handshaking()
    }

    fn write(&mut self, plain: &[u8], coded: &mut Vec<u8>) -> Result<()> {
        if let Some(records) = self.records() {
            return records.write(plain, coded).map_err(of_rustls);
        }
        let mut output = LayerOutput::default();
        std::mem::swap(&mut output.coded, coded);
        let result = loop {
            let held = &mut self.held;
            let step = match &mut self.side {
                Side::Client(client) => {
                    write_into(client.process_tls_records(held), plain, &mut output)
                }
                Side::Server(server) => {
                    write_into(server.process_tls_records(held), plain, &mut output)
                }
                Side::Established(_) | Side::Failed => Ok(Some(Step::CLOSED)),
            };
            match step {
                Ok(None) => break Ok(()),
                Ok(Some(Step { progress: Progress::More | Progress::Ended, .. })) => {}
                Ok(Some(_)) => break Err(of_rustls(rustls::Error::HandshakeNotComplete)),
                Err(error) => break Err(error),
            }
        };
        std::mem::swap(&mut output.coded, coded);
        result
    }

    fn close(&mut self, coded: &mut Vec<u8>) {
        if let Some(records) = self.records() {
            // What cannot be sealed is not sent, and the peer sees the end of the connection only.
            let _ = records.close(coded);
            return;
        }
        let mut output = LayerOutput::default();
        std::mem::swap(&mut output.coded, coded);
        loop {
            let held = &mut self.held;
            let step = match &mut self.side {
                Side::Client(client) => close_into(client.process_tls_records(held), &mut output),
                Side::Server(server) => close_into(server.process_tls_records(held), &mut output),
                Side::Established(_) | Side::Failed => None,
            };
            if !step.is_some_and(|step| matches!(step.progress, Progress::More | Progress::Ended)) {
                break;
            }
        }
        std::mem::swap(&mut output.coded, coded);
    }

    fn opened(&mut self) -> Result<Facts> {
        let facts = self.facts();
        self.take_keys()?;
        Ok(facts)
    }
}
