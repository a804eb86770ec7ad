//! The records of an established connection of TLS 1.3.
//!
//! rustls 0.23 copies every record that it has decrypted into memory of its own. But it can give the keys away
//! ([`rustls::kernel`], made for encryption in the kernel), and then it still derives the next keys and keeps the
//! tickets. So records are opened here, where they are, with rustls' ciphers. Connections of TLS 1.2 stay with rustls.

use fyke::{LayerOutput, LayerStep};
use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets,
    HandshakeType, InvalidMessage, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
    Tls13CipherSuite,
};

use super::{RECORD_BYTES, RECORD_HEADER_BYTES};

/// The most bytes of an encrypted record after its header (RFC 8446, section 5.2).
const SEALED_BYTES_MAX: usize = RECORD_BYTES + 256;
/// Plain bytes of at most this number are moved behind those before them, to be delivered together.
const JOINED_BYTES_MAX: usize = 4 * 1024;
/// The most bytes of a message of the handshake, as in rustls.
const MESSAGE_BYTES_MAX: usize = 0xffff;
/// How often the peer may ask for new keys without sending anything else, as in rustls and BoringSSL.
const KEY_UPDATES_MAX: u8 = 32;
/// How many warnings the peer may send, as in rustls and BoringSSL.
const WARNINGS_MAX: u8 = 4;
const ALERT_WARNING: u8 = 1;
const ALERT_FATAL: u8 = 2;

/// What rustls keeps of a connection.
pub(super) enum Kernel {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

pub(super) struct Records {
    kernel: Kernel,
    suite: &'static Tls13CipherSuite,
    opener: Box<dyn MessageDecrypter>,
    opened: u64,
    sealer: Box<dyn MessageEncrypter>,
    sealed: u64,
    /// The first part of a message of the handshake, whose rest is in the next record.
    message: Vec<u8>,
    /// The peer wants our side to change its keys. It does before the next bytes.
    owes_key_update: bool,
    key_updates: u8,
    warnings: u8,
}

/// What a record contained.
enum Opened {
    /// Plain bytes, behind the header of the record.
    Plain(usize),
    /// `close_notify`.
    End,
    /// Something for the connection itself.
    Nothing,
}

/// An error, and the alert for the peer. There is none if the peer has sent one.
struct Failure(Option<AlertDescription>, Error);

impl From<PeerMisbehaved> for Failure {
    fn from(what: PeerMisbehaved) -> Self {
        Self(Some(AlertDescription::UnexpectedMessage), what.into())
    }
}

impl From<InvalidMessage> for Failure {
    fn from(what: InvalidMessage) -> Self {
        Self(Some(AlertDescription::DecodeError), what.into())
    }
}

/// Returns whether the keys of this cipher suite can be used here.
pub(super) fn supports(suite: SupportedCipherSuite) -> bool {
    suite.tls13().is_some_and(|suite| {
        suite.aead_alg.extract_keys(AeadKey::from([0; 32]), Iv::from([0; 12])).is_ok()
    })
}

impl Records {
    pub(super) fn new(secrets: ExtractedSecrets, kernel: Kernel) -> Result<Self, Error> {
        let suite = match &kernel {
            Kernel::Client(kernel) => kernel.negotiated_cipher_suite(),
            Kernel::Server(kernel) => kernel.negotiated_cipher_suite(),
        };
        let suite = suite.tls13().ok_or(Error::HandshakeNotComplete)?;
        let ((sealed, sending), (opened, receiving)) = (secrets.tx, secrets.rx);
        let mut sealer = sealer(suite, sending)?;
        if sealed > 0 {
            // aws-lc takes the first number that it sees for 0, and then accepts only numbers that grow from there.
            // What is sealed here is not sent.
            let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_3);
            let payload = OutboundChunks::new_empty();
            sealer.encrypt(OutboundPlainMessage { typ, version, payload }, 0)?;
        }
        Ok(Self {
            kernel,
            suite,
            opener: opener(suite, receiving)?,
            opened,
            sealer,
            sealed,
            message: Vec::new(),
            owes_key_update: false,
            key_updates: 0,
            warnings: 0,
        })
    }

    /// Opens the records of `coded` in place. A large one ends the step, so that it is not moved.
    pub(super) fn read(
        &mut self,
        coded: &mut [u8],
        output: &mut LayerOutput,
    ) -> Result<LayerStep, Error> {
        let mut step = LayerStep::default();
        while !step.ended {
            let rest = &mut coded[step.used..];
            let result = match record_bytes(rest) {
                Ok(bytes) if bytes > rest.len() => {
                    step.needed = Some(bytes - rest.len());
                    return Ok(step);
                }
                Ok(bytes) if bytes > JOINED_BYTES_MAX && !step.plain.is_empty() => {
                    step.needed = Some(0);
                    return Ok(step);
                }
                Ok(bytes) => self.open(&mut rest[..bytes]).map(|opened| (opened, bytes)),
                Err(failure) => Err(failure),
            };
            match result {
                Ok((opened, bytes)) => {
                    let start = step.used + RECORD_HEADER_BYTES;
                    step.used += bytes;
                    match opened {
                        Opened::Plain(count) if step.plain.is_empty() => {
                            step.plain = start..start + count;
                        }
                        Opened::Plain(count) => {
                            coded.copy_within(start..start + count, step.plain.end);
                            step.plain.end += count;
                        }
                        Opened::End => step.ended = true,
                        Opened::Nothing => {}
                    }
                }
                Err(Failure(alert, error)) => {
                    output.plain.extend_from_slice(&coded[step.plain]);
                    if let Some(alert) = alert {
                        // The first error counts.
                        let _ = self.alert(ALERT_FATAL, alert, &mut output.coded);
                    }
                    return Err(error);
                }
            }
        }
        Ok(step)
    }

    fn open(&mut self, record: &mut [u8]) -> Result<Opened, Failure> {
        let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
        let record = InboundOpaqueMessage::new(typ, version, &mut record[RECORD_HEADER_BYTES..]);
        let plain = self.opener.decrypt(record, self.opened).map_err(|error| {
            let alert = match &error {
                Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
                Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
                _ => AlertDescription::BadRecordMac,
            };
            Failure(Some(alert), error)
        })?;
        self.opened += 1;
        if plain.typ != ContentType::Handshake && !self.message.is_empty() {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        match plain.typ {
            ContentType::ApplicationData => {
                self.key_updates = 0;
                Ok(Opened::Plain(plain.payload.len()))
            }
            ContentType::Alert => self.alerted(plain.payload),
            ContentType::Handshake if plain.payload.is_empty() => {
                Err(InvalidMessage::InvalidEmptyPayload.into())
            }
            ContentType::Handshake => {
                self.message.extend_from_slice(plain.payload);
                self.handle_messages()
            }
            other => Err(unexpected(other)),
        }
    }

    fn alerted(&mut self, payload: &[u8]) -> Result<Opened, Failure> {
        let &[level, description] = payload else {
            return Err(InvalidMessage::MessageTooShort.into());
        };
        let description = AlertDescription::from(description);
        let error = Error::AlertReceived(description);
        match (level, description) {
            (ALERT_WARNING | ALERT_FATAL, AlertDescription::CloseNotify) => Ok(Opened::End),
            (ALERT_WARNING, AlertDescription::UserCanceled) if self.warnings < WARNINGS_MAX => {
                self.warnings += 1;
                Ok(Opened::Nothing)
            }
            (ALERT_WARNING, AlertDescription::UserCanceled) => {
                Err(PeerMisbehaved::TooManyWarningAlertsReceived.into())
            }
            (ALERT_WARNING, _) => Err(Failure(Some(AlertDescription::DecodeError), error)),
            (ALERT_FATAL, _) => Err(Failure(None, error)),
            _ => Err(Failure(Some(AlertDescription::IllegalParameter), error)),
        }
    }

    /// Handles the complete messages of the handshake that have arrived.
    fn handle_messages(&mut self) -> Result<Opened, Failure> {
        let mut messages = std::mem::take(&mut self.message);
        let mut rest = messages.as_slice();
        while let [kind, high, middle, low, body @ ..] = rest {
            let bytes = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if bytes > MESSAGE_BYTES_MAX {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let Some((body, following)) = body.split_at_checked(bytes) else { break };
            match (HandshakeType::from(*kind), &mut self.kernel) {
                (HandshakeType::NewSessionTicket, Kernel::Client(kernel)) => {
                    let handled = kernel.handle_new_session_ticket(body);
                    handled.map_err(|error| Failure(Some(AlertDescription::DecodeError), error))?;
                }
                (HandshakeType::KeyUpdate, _) => {
                    if !following.is_empty() {
                        return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
                    }
                    self.update_opener(body)?;
                }
                (got_type, _) => {
                    let expect_types = vec![HandshakeType::KeyUpdate];
                    let error = Error::InappropriateHandshakeMessage { expect_types, got_type };
                    return Err(Failure(Some(AlertDescription::UnexpectedMessage), error));
                }
            }
            rest = following;
        }
        let incomplete = rest.len();
        if incomplete > 0 {
            // A peer that cuts a message into single bytes must not cost a copy for each.
            messages.drain(..messages.len() - incomplete);
            self.message = messages;
        }
        Ok(Opened::Nothing)
    }

    /// The peer sends with new keys from now on.
    fn update_opener(&mut self, body: &[u8]) -> Result<(), Failure> {
        let requested = match body {
            [0] => false,
            [1] => true,
            _ => return Err(InvalidMessage::InvalidKeyUpdate.into()),
        };
        self.key_updates += 1;
        if self.key_updates > KEY_UPDATES_MAX {
            return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
        }
        self.owes_key_update |= requested;
        let updated = match &mut self.kernel {
            Kernel::Client(kernel) => kernel.update_rx_secret(),
            Kernel::Server(kernel) => kernel.update_rx_secret(),
        };
        let opener = updated
            .and_then(|(opened, secrets)| Ok((opened, opener(self.suite, secrets)?)))
            .map_err(|error| Failure(Some(AlertDescription::InternalError), error))?;
        (self.opened, self.opener) = opener;
        Ok(())
    }

    /// Appends records with these bytes.
    pub(super) fn write(&mut self, plain: &[u8], coded: &mut Vec<u8>) -> Result<(), Error> {
        for piece in plain.chunks(RECORD_BYTES) {
            // A key must not be used for more records than its cipher allows.
            if self.owes_key_update || self.sealed >= self.suite.common.confidentiality_limit {
                self.update_sealer(coded)?;
            }
            self.seal(ContentType::ApplicationData, piece, coded)?;
        }
        Ok(())
    }

    /// Tells the peer that our side sends with new keys from now on.
    fn update_sealer(&mut self, coded: &mut Vec<u8>) -> Result<(), Error> {
        const NOT_REQUESTED: u8 = 0;
        let message = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, NOT_REQUESTED];
        self.seal(ContentType::Handshake, &message, coded)?;
        let (sealed, secrets) = match &mut self.kernel {
            Kernel::Client(kernel) => kernel.update_tx_secret(),
            Kernel::Server(kernel) => kernel.update_tx_secret(),
        }?;
        (self.sealed, self.sealer) = (sealed, sealer(self.suite, secrets)?);
        self.owes_key_update = false;
        Ok(())
    }

    /// Appends `close_notify`.
    pub(super) fn close(&mut self, coded: &mut Vec<u8>) -> Result<(), Error> {
        self.alert(ALERT_WARNING, AlertDescription::CloseNotify, coded)
    }

    fn alert(
        &mut self,
        level: u8,
        alert: AlertDescription,
        coded: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.seal(ContentType::Alert, &[level, alert.into()], coded)
    }

    fn seal(&mut self, typ: ContentType, payload: &[u8], coded: &mut Vec<u8>) -> Result<(), Error> {
        let payload = OutboundChunks::Single(payload);
        let version = ProtocolVersion::TLSv1_3;
        let record =
            self.sealer.encrypt(OutboundPlainMessage { typ, version, payload }, self.sealed)?;
        self.sealed += 1;
        coded.extend_from_slice(&record.encode());
        Ok(())
    }
}

/// Returns the length of the encrypted record at the beginning of `coded`, or of its header if that is incomplete.
fn record_bytes(coded: &[u8]) -> Result<usize, Failure> {
    let [content, version, _, high, low, ..] = coded else { return Ok(RECORD_HEADER_BYTES) };
    match ContentType::from(*content) {
        ContentType::ApplicationData => {}
        ContentType::Unknown(_) => return Err(InvalidMessage::InvalidContentType.into()),
        other => return Err(unexpected(other)),
    }
    if *version != 3 {
        return Err(InvalidMessage::UnknownProtocolVersion.into());
    }
    match usize::from(u16::from_be_bytes([*high, *low])) {
        bytes if bytes > SEALED_BYTES_MAX => {
            Err(Failure(Some(AlertDescription::RecordOverflow), Error::PeerSentOversizedRecord))
        }
        bytes => Ok(RECORD_HEADER_BYTES + bytes),
    }
}

fn unexpected(got_type: ContentType) -> Failure {
    let expect_types = vec![ContentType::ApplicationData, ContentType::Handshake];
    let error = Error::InappropriateMessage { expect_types, got_type };
    Failure(Some(AlertDescription::UnexpectedMessage), error)
}

fn opener(
    suite: &Tls13CipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Error> {
    let (key, iv) = key_of(secrets)?;
    Ok(suite.aead_alg.decrypter(key, iv))
}

fn sealer(
    suite: &Tls13CipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageEncrypter>, Error> {
    let (key, iv) = key_of(secrets)?;
    Ok(suite.aead_alg.encrypter(key, iv))
}

fn key_of(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("the cipher suite cannot be used".into())),
    }
}

#[cfg(test)]
mod tests;
