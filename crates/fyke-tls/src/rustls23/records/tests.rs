use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::super::{Connection, Side};
use super::*;
use crate::engine::Engine;

/// Two sides that have shaken hands, and the server's tickets for the client.
struct Pair {
    client: Connection,
    server: Connection,
    tickets: Vec<u8>,
}

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from_pem_slice(certified.cert.pem().as_bytes()).unwrap();
    let key = certified.signing_key.serialize_pem();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.enable_secret_extraction = true;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(client), Arc::new(server))
}

/// Passes bytes to a side. Returns what it answers.
fn feed(side: &mut Connection, coded: &mut [u8]) -> Vec<u8> {
    let mut output = LayerOutput::default();
    let step = side.read(coded, &mut output).unwrap();
    assert_eq!((step.used, output.plain), (coded.len(), Vec::new()));
    output.coded
}

impl Pair {
    fn new() -> Self {
        let (client, server) = configs();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = Connection::client(&client, name).unwrap();
        let mut server = Connection::server(&server).unwrap();
        let mut hello = feed(&mut client, &mut []);
        let mut answer = feed(&mut server, &mut hello);
        let mut finished = feed(&mut client, &mut answer);
        let tickets = feed(&mut server, &mut finished);
        assert!(client.is_open() && server.is_open() && !tickets.is_empty());
        client.opened().unwrap();
        server.opened().unwrap();
        assert!(client.records().is_some() && server.records().is_some());
        Self { client, server, tickets }
    }

    /// Returns the alert that the server has sent.
    fn alert(&mut self, coded: &mut [u8]) -> Option<AlertDescription> {
        self.client.read(&mut self.tickets, &mut LayerOutput::default()).unwrap();
        match records(&mut self.client).read(coded, &mut LayerOutput::default()) {
            Err(Error::AlertReceived(alert)) => Some(alert),
            _ => None,
        }
    }

    /// Lets the server read records that the client seals, one for each content. Returns the error and the alert
    /// of the server, as the client sees it.
    fn refusal(contents: &[(ContentType, &[u8])]) -> (String, Option<AlertDescription>) {
        let mut pair = Self::new();
        let mut coded = Vec::new();
        for (typ, payload) in contents {
            records(&mut pair.client).seal(*typ, payload, &mut coded).unwrap();
        }
        let mut output = LayerOutput::default();
        let error = records(&mut pair.server).read(&mut coded, &mut output).unwrap_err();
        (error.to_string(), pair.alert(&mut output.coded))
    }
}

fn records(side: &mut Connection) -> &mut Records {
    match &mut side.side {
        Side::Established(records) => records,
        _ => panic!("rustls has the keys"),
    }
}

fn sealed(side: &mut Connection, plain: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    side.write(plain, &mut coded).unwrap();
    coded
}

#[test]
fn small_records_are_joined_in_place_and_a_large_one_ends_the_step() {
    let mut pair = Pair::new();
    let mut coded = Vec::new();
    for plain in [&b"one"[..], b"two", &[7; RECORD_BYTES], b"three"] {
        coded.extend(sealed(&mut pair.client, plain));
    }
    let len = coded.len();
    let step = pair.server.read(&mut coded, &mut LayerOutput::default()).unwrap();
    assert_eq!(&coded[step.plain], b"onetwo");
    assert_eq!(step.needed, Some(0));
    let rest = &mut coded[step.used..];
    let step = pair.server.read(rest, &mut LayerOutput::default()).unwrap();
    assert_eq!(rest[step.plain.clone()], [&[7; RECORD_BYTES][..], b"three"].concat());
    assert_eq!((step.used, step.needed), (rest.len(), Some(RECORD_HEADER_BYTES)));
    assert!(len > RECORD_BYTES);
}

#[test]
fn a_cut_record_names_the_bytes_that_it_needs() {
    let mut pair = Pair::new();
    let coded = sealed(&mut pair.client, b"hello");
    for cut in 0..coded.len() {
        let step = pair.server.read(&mut coded[..cut].to_vec(), &mut LayerOutput::default());
        let step = step.unwrap();
        let whole = if cut < RECORD_HEADER_BYTES { RECORD_HEADER_BYTES } else { coded.len() };
        assert_eq!((step.used, step.needed), (0, Some(whole - cut)));
    }
    let mut coded = coded;
    let step = pair.server.read(&mut coded, &mut LayerOutput::default()).unwrap();
    assert_eq!(&coded[step.plain], b"hello");
}

#[test]
fn plain_bytes_before_a_wrong_record_are_delivered() {
    let mut pair = Pair::new();
    let mut coded = sealed(&mut pair.client, b"hello");
    let start = coded.len();
    coded.extend(sealed(&mut pair.client, b"world"));
    coded[start + RECORD_HEADER_BYTES] ^= 1;
    let mut output = LayerOutput::default();
    let error = records(&mut pair.server).read(&mut coded, &mut output).unwrap_err();
    assert_eq!((output.plain, error), (b"hello".to_vec(), Error::DecryptError));
    assert_eq!(pair.alert(&mut output.coded), Some(AlertDescription::BadRecordMac));
}

#[test]
fn a_key_is_replaced_before_its_limit_and_when_the_peer_asks() {
    let mut pair = Pair::new();
    let limit = records(&mut pair.client).suite.common.confidentiality_limit;
    assert!(limit < u64::MAX);
    records(&mut pair.client).sealed = limit - 1;
    records(&mut pair.server).opened = limit - 1;
    for plain in [&b"last"[..], b"first", b"second"] {
        let mut coded = sealed(&mut pair.client, plain);
        let step = pair.server.read(&mut coded, &mut LayerOutput::default()).unwrap();
        assert_eq!(&coded[step.plain], plain);
    }
    assert_eq!(records(&mut pair.client).sealed, 2);
    assert_eq!(records(&mut pair.server).opened, 2);
    // A request is answered once, however often it came.
    let mut requests = Vec::new();
    for _ in 0..3 {
        records(&mut pair.client)
            .seal(ContentType::Handshake, &[24, 0, 0, 1, 1], &mut requests)
            .unwrap();
        let (count, secrets) = match &mut records(&mut pair.client).kernel {
            Kernel::Client(kernel) => kernel.update_tx_secret().unwrap(),
            Kernel::Server(_) => unreachable!("this is the client"),
        };
        let client = records(&mut pair.client);
        (client.sealed, client.sealer) = (count, sealer(client.suite, secrets).unwrap());
    }
    pair.server.read(&mut requests, &mut LayerOutput::default()).unwrap();
    assert!(records(&mut pair.server).owes_key_update);
    pair.client.read(&mut pair.tickets, &mut LayerOutput::default()).unwrap();
    let mut answer = sealed(&mut pair.server, b"answer");
    assert!(!records(&mut pair.server).owes_key_update);
    let step = pair.client.read(&mut answer, &mut LayerOutput::default()).unwrap();
    assert_eq!(&answer[step.plain], b"answer");
    assert_eq!(records(&mut pair.client).opened, 1);
}

#[test]
fn every_wrong_content_has_an_error_and_an_alert() {
    use AlertDescription::{DecodeError, IllegalParameter, UnexpectedMessage};
    use ContentType::{Alert, ApplicationData, ChangeCipherSpec, Handshake, Heartbeat};

    let cases: [(&[(ContentType, &[u8])], &str, Option<AlertDescription>); 15] = [
        (&[(Handshake, &[])], "InvalidEmptyPayload", Some(DecodeError)),
        (&[(Handshake, &[1, 0, 0, 0])], "ClientHello", Some(UnexpectedMessage)),
        (&[(Handshake, &[4, 0, 0, 0])], "NewSessionTicket", Some(UnexpectedMessage)),
        (&[(Handshake, &[4, 1, 0, 0])], "HandshakePayloadTooLarge", Some(DecodeError)),
        (&[(Handshake, &[24, 0, 0, 1, 2])], "InvalidKeyUpdate", Some(DecodeError)),
        (&[(Handshake, &[24, 0, 0, 0])], "InvalidKeyUpdate", Some(DecodeError)),
        (
            &[(Handshake, &[24, 0, 0, 1, 0, 24])],
            "KeyEpochWithPendingFragment",
            Some(UnexpectedMessage),
        ),
        (&[(Handshake, &[24, 0]), (ApplicationData, b"x")], "Interleaved", Some(UnexpectedMessage)),
        (&[(Alert, &[1])], "MessageTooShort", Some(DecodeError)),
        (&[(Alert, &[1, 100])], "NoRenegotiation", Some(DecodeError)),
        (&[(Alert, &[3, 40])], "HandshakeFailure", Some(IllegalParameter)),
        (&[(Alert, &[2, 40])], "HandshakeFailure", None),
        (&[(Alert, &[1, 90][..]); 5], "TooManyWarningAlertsReceived", Some(UnexpectedMessage)),
        (&[(ChangeCipherSpec, &[1])], "IllegalMiddleboxChangeCipherSpec", Some(UnexpectedMessage)),
        (&[(Heartbeat, &[1])], "Heartbeat", Some(UnexpectedMessage)),
    ];
    for (contents, error, alert) in cases {
        let (seen, sent) = Pair::refusal(contents);
        assert!(seen.contains(error), "{contents:?}: {seen}");
        assert_eq!(sent, alert, "{contents:?}");
    }
}

#[test]
fn tickets_in_pieces_are_kept_and_close_notify_ends() {
    let mut pair = Pair::new();
    // The message is cut into two records.
    let mut coded = Vec::new();
    let ticket = [4, 0, 0, 18, 0, 0, 0, 9, 0, 0, 0, 0, 1, 7, 0, 4, 1, 2, 3, 4, 0, 0];
    pair.client.read(&mut pair.tickets, &mut LayerOutput::default()).unwrap();
    for piece in [&ticket[..3], &ticket[3..10], &ticket[10..]] {
        records(&mut pair.server).seal(ContentType::Handshake, piece, &mut coded).unwrap();
    }
    pair.server.close(&mut coded);
    let len = coded.len();
    let mut output = LayerOutput::default();
    let step = pair.client.read(&mut coded, &mut output).unwrap();
    assert_eq!((step.used, step.ended, step.plain), (len, true, 0..0));
    assert!(records(&mut pair.client).message.is_empty() && output.coded.is_empty());
}

/// A generator of numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    /// What a client may send: mostly plain bytes, sometimes a whole or cut or changed message.
    fn content(&mut self) -> (ContentType, Vec<u8>) {
        let mut payload: Vec<u8> = match self.below(8) {
            0 => vec![24, 0, 0, 1, 0],
            1 => vec![24, 0, 0, 1, 1],
            2 => vec![1, 90],
            3 => (0..self.below(20)).map(|_| self.below(256) as u8).collect(),
            _ => vec![7; [0, 1, 100, 5000, RECORD_BYTES][self.below(5)]],
        };
        let typ = match (payload.first(), self.below(30)) {
            (_, 0) => ContentType::from(self.below(30) as u8),
            (Some(24), _) => ContentType::Handshake,
            (Some(1), _) => ContentType::Alert,
            _ => ContentType::ApplicationData,
        };
        if self.below(30) == 0 {
            payload.truncate(self.below(payload.len() + 1));
        }
        (typ, payload)
    }
}

#[test]
fn random_contents_in_random_pieces_lose_no_plain_bytes() {
    let (mut complete, mut refused) = (0, 0);
    for seed in 1..=300 {
        let mut random = Random(seed << 20 | 1);
        let mut pair = Pair::new();
        let (mut coded, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..1 + random.below(20) {
            let (typ, payload) = random.content();
            records(&mut pair.client).seal(typ, &payload, &mut coded).unwrap();
            if typ == ContentType::ApplicationData {
                expected.extend_from_slice(&payload);
            }
            if typ == ContentType::Handshake && payload.len() == 5 && payload[4] < 2 {
                let client = records(&mut pair.client);
                let Kernel::Client(kernel) = &mut client.kernel else { unreachable!() };
                let (count, secrets) = kernel.update_tx_secret().unwrap();
                (client.sealed, client.sealer) = (count, sealer(client.suite, secrets).unwrap());
            }
        }
        let (mut unread, mut plain) = (Vec::new(), Vec::new());
        let mut result = Ok(LayerStep::default());
        let mut rest = coded.as_slice();
        while !rest.is_empty() && matches!(result, Ok(LayerStep { ended: false, .. })) {
            let (piece, following) = rest.split_at(1 + random.below(rest.len()));
            rest = following;
            unread.extend_from_slice(piece);
            loop {
                let mut output = LayerOutput::default();
                result = records(&mut pair.server).read(&mut unread, &mut output);
                plain.append(&mut output.plain);
                let Ok(step) = &result else { break };
                plain.extend_from_slice(&unread[step.plain.clone()]);
                unread.drain(..step.used);
                if step.needed != Some(0) {
                    break;
                }
            }
        }
        assert!(expected.starts_with(&plain), "seed {seed}");
        match result {
            Ok(LayerStep { ended: false, .. }) => {
                assert_eq!((plain.len(), unread.len()), (expected.len(), 0), "seed {seed}");
                complete += 1;
            }
            _ => refused += 1,
        }
    }
    // Both happen often, or the test would show nothing.
    assert!(complete > 50 && refused > 50, "{complete} {refused}");
}

// rustls panicked when it got fewer bytes than it had seen.
#[test]
fn a_message_of_the_handshake_may_come_in_records_that_come_in_pieces() {
    for piece in 1..20 {
        let (client, server) = configs();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = Connection::client(&client, name).unwrap();
        let mut server = Connection::server(&server).unwrap();
        let answer = feed(&mut server, &mut feed(&mut client, &mut []));
        // The ServerHello, in records of three bytes.
        let len = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([answer[3], answer[4]]));
        let cut = answer[RECORD_HEADER_BYTES..len].chunks(3);
        let mut coded: Vec<u8> =
            cut.flat_map(|part| [&[22, 3, 3, 0, part.len() as u8], part].concat()).collect();
        coded.extend_from_slice(&answer[len..]);
        let (mut unread, mut sent) = (Vec::new(), Vec::new());
        for part in coded.chunks(piece) {
            unread.extend_from_slice(part);
            let mut output = LayerOutput::default();
            let step = client.read(&mut unread, &mut output).unwrap();
            unread.drain(..step.used);
            sent.append(&mut output.coded);
        }
        assert!(client.is_open() && !sent.is_empty(), "pieces of {piece} bytes");
    }
}
