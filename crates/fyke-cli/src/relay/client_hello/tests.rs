use super::*;
use crate::arguments::Span;
use crate::random::Random;

/// `openssl s_client -servername www.example.org -alpn h2,http/1.1`, OpenSSL 3.0.19.
const OPENSSL: &str = "\
    160301014e0100014a03031fca3770b9b9e979ff6114722a568f97639e2cd5b3ce84abcdd613105e87e71d20282a\
    388a26acd1ec1030b5b6806da992b6371be39f8409ae5eee9ecf28a1ffb3003e130213031301c02cc030009fcca9\
    cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f\
    00ff010000c300000014001200000f7777772e6578616d706c652e6f7267000b000403000102000a00160014001d\
    0017001e0019001801000101010201030104002300000010000e000c02683208687474702f312e31001600000017\
    0000000d002a0028040305030603080708080809080a080b08040805080604010501060103030301030204020502\
    0602002b0009080304030303020301002d00020101003300260024001d00202545cc1d675fd226c8468bb9ea9c06\
    79c06c95d5493e992cfbeecf54a201cf37";
/// `openssl s_client -tls1_2 -noservername`, OpenSSL 3.0.19.
const OPENSSL_TLS12: &str = "\
    16030100b7010000b30303c4021ea73ab71e882628061cf5c002e437d4d0f0d8e1a396789e8b3482e55686000038\
    c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c\
    003d003c0035002f00ff01000052000b000403000102000a000c000a001d0017001e001900180023000000160000\
    00170000000d002a0028040305030603080708080809080a080b0804080508060401050106010303030103020402\
    05020602";
/// `curl https://example.org/`, curl 7.88.1 with OpenSSL 3.0.19.
const CURL: &str = "\
    1603010200010001fc0303d80f21a0b5a0ff874d2f5c64e5b08c805a865aa7343350db996b30b821559f6c206bf7\
    c83331903428e58dcb39acf82b4cd21b2a0056296139acd42d5f96945560003e130213031301c02cc030009fcca9\
    cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f\
    00ff0100017500000010000e00000b6578616d706c652e6f7267000b000403000102000a00160014001d0017001e\
    00190018010001010102010301040010000e000c02683208687474702f312e31001600000017000000310000000d\
    002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602002b\
    0009080304030303020301002d00020101003300260024001d00200a25bb40c723c54e3c1ebfb38a3e06f4a899fa\
    8914394740dcc42b462f05ab4b001500b20000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000";
/// `tls.connect` with the server name node.example and two protocols, Node 20.20.2.
const NODE: &str = "\
    160301017f0100017b0303bc5814f59000a070274e5f96350817b8b15ff0703734c9186f9d5bedf58512f620da19\
    374420a97348845ae71a822d343a4863461c473d08863c78137fd8a8b5bd0076130213031301c02fc02bc030c02c\
    009ec0270067c028006b00a3009fcca9cca8ccaac0afc0adc0a3c09fc05dc061c057c05300a2c0aec0acc0a2c09e\
    c05cc060c056c052c024006ac0230040c00ac01400390038c009c01300330032009dc0a1c09dc051009cc0a0c09c\
    c050003d003c0035002f00ff010000bc00000011000f00000c6e6f64652e6578616d706c65000b00040300010200\
    0a00160014001d0017001e0019001801000101010201030104002300000010000e000c02683208687474702f312e\
    310016000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303\
    010302040205020602002b00050403040303002d00020101003300260024001d0020b660edeeb844c6310a938cbb\
    f3b8aca7cf8a281f85b5af8a025e6ecdcb46db6f";

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn captured() -> [(Vec<u8>, Option<&'static str>, &'static [&'static str]); 4] {
    [
        (bytes(OPENSSL), Some("www.example.org"), &["h2", "http/1.1"]),
        (bytes(OPENSSL_TLS12), None, &[]),
        (bytes(CURL), Some("example.org"), &["h2", "http/1.1"]),
        (bytes(NODE), Some("node.example"), &["h2", "http/1.1"]),
    ]
}

/// A result that borrows nothing.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Incomplete,
    NotTls,
    Malformed(&'static str),
    Hello(Option<String>, Vec<Vec<u8>>),
}

fn outcome(parsed: &Parsed<'_>) -> Outcome {
    match parsed {
        Parsed::Incomplete => Outcome::Incomplete,
        Parsed::NotTls => Outcome::NotTls,
        Parsed::Malformed(flaw) => Outcome::Malformed(flaw.0),
        Parsed::Hello(hello) => {
            let protocols = hello.protocols().map(<[u8]>::to_vec).collect();
            Outcome::Hello(hello.server_name.map(str::to_owned), protocols)
        }
    }
}

fn at_once(received: &[u8]) -> Outcome {
    outcome(&Reader::default().read(received))
}

/// The first result that is not `Incomplete`, and the number of bytes up to it, if the bytes arrive in
/// pieces that end at `cuts`.
fn in_pieces(received: &[u8], cuts: impl Iterator<Item = usize>) -> (Outcome, usize) {
    let mut reader = Reader::default();
    for cut in cuts.chain([received.len()]) {
        let outcome = outcome(&reader.read(&received[..cut]));
        if outcome != Outcome::Incomplete {
            return (outcome, cut);
        }
    }
    (Outcome::Incomplete, received.len())
}

fn vector(size: usize, content: &[u8]) -> Vec<u8> {
    [&content.len().to_be_bytes()[8 - size..], content].concat()
}

/// Splits a message into records of at most this many bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |piece| [&[22, 3, 1][..], &vector(2, piece)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, content)].concat()
}

fn server_names(names: &[&[u8]]) -> Vec<u8> {
    let name = |name: &&[u8]| [&[0][..], &vector(2, name)].concat();
    extension(0, &vector(2, &names.iter().flat_map(name).collect::<Vec<_>>()))
}

fn protocols(names: &[&[u8]]) -> Vec<u8> {
    extension(16, &vector(2, &names.iter().flat_map(|name| vector(1, name)).collect::<Vec<_>>()))
}

/// The message with these bytes after the compression methods.
fn message(tail: &[u8]) -> Vec<u8> {
    let suites = [&[3, 3][..], &[7; 32], &vector(1, &[9; 32]), &vector(2, &[19, 1]), &[1, 0]];
    [&[1][..], &vector(3, &[&suites.concat(), tail].concat())].concat()
}

fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    records(&message(&vector(2, &extensions.concat())), RECORD_BYTES_MAX)
}

#[test]
fn hello_of_real_programs_is_read_at_every_cut_and_byte_by_byte() {
    for (received, name, protocols) in captured() {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let expected = Outcome::Hello(name.map(str::to_owned), protocols);
        assert_eq!(at_once(&received), expected);
        assert_eq!(at_once(&[&received[..], b"early data"].concat()), expected);
        for cut in 0..received.len() {
            assert_eq!(at_once(&received[..cut]), Outcome::Incomplete, "{cut}");
            assert_eq!(in_pieces(&received, [cut].into_iter()).0, expected, "{cut}");
        }
        let (outcome, needed) = in_pieces(&received, 0..received.len());
        assert_eq!((outcome, needed), (expected, received.len()));
    }
}

#[test]
fn hello_is_read_from_records_of_any_size() {
    for (received, ..) in captured() {
        let message = &received[RECORD_HEADER_BYTES..];
        for size in [1, 2, 3, 4, 5, 100, message.len() - 1, message.len()] {
            let split = records(message, size);
            assert_eq!(at_once(&split), at_once(&received), "{size}");
            let (outcome, needed) = in_pieces(&split, 0..split.len());
            assert_eq!((outcome, needed), (at_once(&received), split.len()), "{size}");
        }
    }
}

#[test]
fn extensions_are_optional_and_unknown_ones_are_skipped() {
    let nothing = Outcome::Hello(None, Vec::new());
    assert_eq!(at_once(&records(&message(&[]), 100)), nothing);
    assert_eq!(at_once(&hello(&[])), nothing);
    // Reserved values, which a client offers so that servers keep ignoring what they do not know (RFC
    // 8701). Chrome begins and ends its extensions with them, and offers such a protocol.
    let grease = [
        extension(0x3a3a, b""),
        protocols(&[b"\x0a\x0a", b"h2"]),
        extension(0xfafa, &[0; 300]),
        server_names(&[b"Example.ORG"]),
        extension(0x3a3a, b"\0"),
    ];
    let expected =
        Outcome::Hello(Some("Example.ORG".to_owned()), vec![vec![10, 10], b"h2".to_vec()]);
    assert_eq!(at_once(&hello(&grease)), expected);
    for version in 1..=3 {
        let mut received = hello(&[]);
        received[2] = version;
        assert_eq!(at_once(&received), nothing, "{version}");
    }
}

#[test]
fn what_is_not_tls_is_known_from_the_first_bytes() {
    for received in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\0",
        // An SSLv2 hello, a TLS alert, SSL 3.0, and no version of TLS.
        b"\x80\x2e\x01\x03\x01",
        b"\x15\x03\x01\0\x02",
        b"\x16\x03\0",
        b"\x16\x03\x04",
        b"\x16\x02",
    ] {
        assert_eq!(at_once(received), Outcome::NotTls, "{}", received.escape_ascii());
        let (outcome, needed) = in_pieces(received, 0..received.len());
        assert!(outcome == Outcome::NotTls && needed <= 3, "{needed}");
    }
    assert_eq!(at_once(b""), Outcome::Incomplete);
}

#[test]
fn hello_that_is_not_valid_is_refused() {
    let name = server_names(&[b"a.example"]);
    let tail = |tail: &[u8]| records(&message(tail), 100);
    let two = [records(&message(&[]), 40), b"\x17\x03\x03\0\x01".to_vec()].concat();
    let mut interrupted = records(&message(&[]), 40);
    interrupted[45] = 23;
    assert_eq!(at_once(&two), Outcome::Hello(None, Vec::new()), "what follows does not matter");
    for (received, expected) in [
        (b"\x16\x03\x01\0\0".to_vec(), "an empty record"),
        (b"\x16\x03\x01\0\x01\x01\x16\x03\x01\0\0".to_vec(), "an empty record"),
        (interrupted, "another record"),
        (b"\x16\x03\x01\0\x04\x02".to_vec(), "another message"),
        (tail(b"\0"), "truncated"),
        (tail(b"\0\x01"), "truncated"),
        (tail(b"\0\0\0"), "unexpected bytes"),
        (tail(b"\0\x03\0\0\0"), "truncated"),
        (hello(&[name.clone(), name]), "twice"),
        (hello(&[protocols(&[b"h2"]), protocols(&[b"h2"])]), "twice"),
        (hello(&[server_names(&[b"a.example", b"b.example"])]), "several server names"),
        (hello(&[extension(0, b"\0\x04\x01\0\x01a")]), "not a host name"),
        (hello(&[extension(0, b"\0\x04\0\0\x01ax")]), "unexpected bytes"),
        (hello(&[extension(0, b"")]), "truncated"),
        (hello(&[extension(0, b"\0\0")]), "truncated"),
        (hello(&[server_names(&[b""])]), "printable ASCII"),
        (hello(&[server_names(&[&[b'a'; 256]])]), "printable ASCII"),
        (hello(&[server_names(&[b"a\0.example"])]), "printable ASCII"),
        (hello(&[server_names(&["\u{fc}.example".as_bytes()])]), "printable ASCII"),
        (hello(&[protocols(&[])]), "is empty"),
        (hello(&[protocols(&[b"h2", b""])]), "without a name"),
        (hello(&[extension(16, b"\0\x03\x03h2")]), "truncated"),
    ] {
        let outcome = at_once(&received);
        let Outcome::Malformed(text) = outcome else { panic!("{expected}: {outcome:?}") };
        assert!(text.contains(expected), "{text}, not {expected}");
        assert_eq!(in_pieces(&received, 0..received.len()).0, outcome);
    }
    let longest = hello(&[server_names(&[&[b'a'; 255]])]);
    assert_eq!(at_once(&longest), Outcome::Hello(Some("a".repeat(255)), Vec::new()));
}

#[test]
fn sizes_are_limited() {
    // As large as a record may be, and one byte more.
    let padded = |count: usize| message(&vector(2, &extension(21, &vec![0; count])));
    let around = padded(0).len();
    let whole = |count: usize| [&[22, 3, 1][..], &vector(2, &padded(count - around))].concat();
    assert!(matches!(at_once(&whole(RECORD_BYTES_MAX)), Outcome::Hello(..)));
    let too_large = Outcome::Malformed("it has a record of more than 16 KiB");
    assert_eq!(at_once(&whole(RECORD_BYTES_MAX + 1)), too_large);
    assert_eq!(at_once(&whole(RECORD_BYTES_MAX + 1)[..5]), too_large, "the header is enough");
    // As large as a ClientHello may be in records of 1000 bytes, and one byte more.
    let in_records = |bytes: usize| records(&padded(bytes - 66 * 5 - around), 1000);
    let too_large = Outcome::Malformed("it has more than 64 KiB");
    assert_eq!(in_records(HELLO_BYTES_MAX).len(), HELLO_BYTES_MAX);
    assert!(matches!(at_once(&in_records(HELLO_BYTES_MAX)), Outcome::Hello(..)));
    assert_eq!(at_once(&in_records(HELLO_BYTES_MAX + 1)), too_large);
    assert_eq!(at_once(b"\x16\x03\x01\0\x04\x01\x00\xff\xfd"), too_large, "its length is enough");
    assert_eq!(at_once(b"\x16\x03\x01\0\x04\x01\x00\xff\xfc"), Outcome::Incomplete);
    // Records of one byte.
    let crumbs = records(&padded(20_000), 1);
    let (outcome, needed) = in_pieces(&crumbs, 0..crumbs.len());
    let at_most = HELLO_BYTES_MAX + RECORD_HEADER_BYTES;
    assert!(outcome == too_large && needed <= at_most, "{outcome:?} after {needed}");
}

#[test]
fn memory_and_work_depend_on_the_received_bytes_and_not_on_the_claimed_ones() {
    let claims = b"\x16\x03\x01\x40\x00\x01\x00\xff\xfc";
    let mut reader = Reader::default();
    assert_eq!(reader.read(claims), Parsed::Incomplete);
    assert!(reader.message.capacity() <= 64);
    let mut received = claims.to_vec();
    for _ in claims.len()..RECORD_HEADER_BYTES + RECORD_BYTES_MAX {
        received.push(0);
        let before = reader.read_bytes;
        assert_eq!(reader.read(&received), Parsed::Incomplete);
        assert_eq!((reader.read_bytes - before, reader.read_bytes), (1, received.len()));
    }
    assert!(reader.message.capacity() <= 2 * received.len());
}

/// Changes, removes, duplicates or inserts bytes at a few random places.
fn mutate(received: &mut Vec<u8>, random: &mut Random) {
    let below = |random: &mut Random, count: usize| {
        let span = Span { least: 0, most: u64::try_from(count.max(1) - 1).unwrap() };
        usize::try_from(random.within(span)).unwrap()
    };
    for _ in 0..=below(random, 4) {
        let at = below(random, received.len());
        let end = (at + below(random, 20)).min(received.len());
        let byte = random.next().to_le_bytes()[0];
        match below(random, 6) {
            0 => _ = received.drain(at..end),
            1 => received.insert(at, byte),
            2 => received.truncate(end),
            3 => received.extend_from_within(at..end),
            4 if at < received.len() => received[at] ^= 1 << (byte & 7),
            _ if at < received.len() => received[at] = byte,
            _ => {}
        }
    }
}

#[test]
fn random_input_gives_one_result_however_it_is_split() {
    let mut random = Random::new(7);
    let size = Span { least: 1, most: 200 };
    let (mut hellos, mut flaws) = (0, 0);
    let captured = captured();
    for round in 0..100_000 {
        let mut received = captured[round % captured.len()].0.clone();
        if round % 3 == 0 {
            let size = usize::try_from(random.within(size)).unwrap();
            received = records(&received[RECORD_HEADER_BYTES..], size);
        }
        mutate(&mut received, &mut random);
        let expected = at_once(&received);
        let step = usize::try_from(random.within(size)).unwrap();
        let (outcome, needed) = in_pieces(&received, (0..received.len()).step_by(step));
        assert_eq!(outcome, expected, "{round}");
        match outcome {
            Outcome::Hello(name, protocols) => {
                hellos += 1;
                assert!(name.is_none_or(|name| (1..=255).contains(&name.len())));
                assert!(protocols.iter().all(|protocol| !protocol.is_empty()));
            }
            Outcome::Malformed(_) => flaws += 1,
            Outcome::NotTls => assert!(needed <= step.max(3) + step),
            Outcome::Incomplete => {}
        }
    }
    assert!(hellos > 10_000 && flaws > 10_000, "{hellos} {flaws}");
}
