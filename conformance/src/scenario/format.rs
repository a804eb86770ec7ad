//! The words of the format as tables: the keys of each object, and their values. FORMAT.md explains
//! them.

/// The possible values of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    /// A number, or a placeholder for one.
    Port,
    /// A list of texts.
    Texts,
    /// Numbers, or one number.
    Numbers,
    /// A list of operations; checked where it is read.
    Operations,
    /// An object with its own table that is checked where it is read, or of any form.
    Other,
}

use Kind::{Flag, Number, Numbers, Operations, Other, Port, Text, Texts};

/// The keys of one kind of object.
pub(crate) type Keys = &'static [(&'static str, Kind)];

pub(crate) const SCENARIO: Keys = &[
    ("name", Text),
    ("about", Text),
    ("tags", Texts),
    ("needs", Texts),
    ("limit", Number),
    ("servers", Other),
    ("clients", Other),
    ("gates", Other),
    ("signals", Other),
    ("blackholes", Other),
    ("files", Other),
    ("calls", Other),
];

pub(crate) const SERVER: Keys = &[
    ("options", Other),
    ("listen", Other),
    ("sockets", Other),
    ("start", Operations),
    ("on", Other),
    ("after", Other),
    ("snap", Texts),
];

pub(crate) const SERVER_OPTIONS: Keys = &[
    ("allowHalfOpen", Flag),
    ("pauseOnConnect", Flag),
    ("noDelay", Flag),
    ("keepAlive", Flag),
    ("keepAliveInitialDelay", Number),
    ("highWaterMark", Number),
    ("blockList", Other),
    ("maxConnections", Number),
];

pub(crate) const SOCKET: Keys = &[
    ("data", Text),
    ("also", Texts),
    ("start", Operations),
    ("on", Other),
    ("after", Other),
    ("snap", Texts),
];

pub(crate) const CLIENT: Keys = &[
    ("options", Other),
    ("create", Text),
    ("to", Other),
    ("when", Other),
    ("delay", Number),
    ("pre", Operations),
    ("data", Text),
    ("also", Texts),
    ("start", Operations),
    ("on", Other),
    ("after", Other),
    ("snap", Texts),
];

pub(crate) const CLIENT_OPTIONS: Keys = &[
    ("allowHalfOpen", Flag),
    ("noDelay", Flag),
    ("keepAlive", Flag),
    ("keepAliveInitialDelay", Number),
    ("highWaterMark", Number),
    ("blockList", Other),
    ("onread", Other),
    ("signal", Text),
    ("timeout", Number),
    ("typeOfService", Number),
];

pub(crate) const TARGET: Keys = &[
    ("server", Text),
    ("port", Port),
    ("host", Text),
    ("path", Text),
    ("family", Number),
    ("lookup", Other),
    ("localAddress", Text),
    ("localPort", Port),
    ("autoSelectFamily", Flag),
    ("autoSelectFamilyAttemptTimeout", Number),
];

pub(crate) const LOOKUP: Keys =
    &[("results", Other), ("error", Text), ("delay", Number), ("sync", Flag)];

pub(crate) const LISTEN: Keys = &[
    ("port", Port),
    ("host", Text),
    ("path", Text),
    ("backlog", Number),
    ("exclusive", Flag),
    ("ipv6Only", Flag),
    ("reusePort", Flag),
    ("readableAll", Flag),
    ("writableAll", Flag),
    ("signal", Text),
];

pub(crate) const GATE: Keys = &[("when", Other), ("delay", Number), ("do", Operations)];

pub(crate) const AFTER: Keys = &[("ms", Number), ("do", Operations), ("unref", Flag)];

pub(crate) const SIGNAL: Keys = &[("aborted", Flag)];

pub(crate) const BLACKHOLE: Keys = &[("host", Text), ("port", Port)];

/// Keys that every operation may have.
pub(crate) const ANY_OPERATION: Keys =
    &[("op", Text), ("on", Text), ("nth", Numbers), ("at", Number), ("for", Text), ("quiet", Flag)];

const PAYLOAD: Keys =
    &[("data", Text), ("hex", Text), ("big", Number), ("encoding", Text), ("label", Text)];

const NOTHING: Keys = &[];

/// The operations with their own keys.
pub(crate) const OPERATIONS: &[(&str, Keys)] = &[
    ("write", PAYLOAD),
    ("end", PAYLOAD),
    ("destroy", &[("error", Text)]),
    ("destroySoon", NOTHING),
    ("resetAndDestroy", NOTHING),
    ("pause", NOTHING),
    ("resume", NOTHING),
    ("cork", NOTHING),
    ("uncork", NOTHING),
    ("setEncoding", &[("encoding", Text)]),
    ("setTimeout", &[("ms", Number), ("label", Text)]),
    ("setNoDelay", &[("enable", Flag)]),
    ("setKeepAlive", &[("enable", Flag), ("delay", Number)]),
    ("setTypeOfService", &[("tos", Number)]),
    ("getTypeOfService", NOTHING),
    ("connect", &[("to", Other), ("label", Text)]),
    ("pipe", &[("to", Text), ("end", Flag)]),
    ("unpipe", &[("to", Text)]),
    ("echo", NOTHING),
    ("read", &[("n", Number)]),
    ("onData", NOTHING),
    ("ref", NOTHING),
    ("unref", NOTHING),
    ("address", NOTHING),
    ("get", &[("props", Texts)]),
    ("listen", &[("options", Other), ("label", Text)]),
    ("close", &[("label", Text)]),
    ("getConnections", &[("label", Text)]),
    ("setMaxConnections", &[("n", Number)]),
    ("stat", &[("path", Text)]),
    ("unlink", &[("path", Text)]),
    ("after", AFTER),
    ("immediate", &[("do", Operations)]),
    ("tick", &[("do", Operations)]),
    ("repeat", &[("times", Number), ("do", Operations)]),
    ("mark", &[("name", Text)]),
    ("spawn", &[("client", Text)]),
    ("abort", &[("signal", Text)]),
    ("cleanup", NOTHING),
];

/// Operations that apply to no actor, so a gate may use them without `on`.
pub(crate) const WITHOUT_ACTOR: &[&str] =
    &["after", "immediate", "tick", "repeat", "mark", "spawn", "abort", "cleanup"];

/// The properties that `get` and `snap` may name.
pub(crate) const PROPERTIES: &[&str] = &[
    "readyState",
    "connecting",
    "pending",
    "destroyed",
    "closed",
    "errored",
    "readable",
    "writable",
    "readableEnded",
    "writableEnded",
    "writableFinished",
    "readableFlowing",
    "isPaused",
    "readableLength",
    "writableLength",
    "writableNeedDrain",
    "writableCorked",
    "readableHighWaterMark",
    "writableHighWaterMark",
    "readableEncoding",
    "readableAborted",
    "writableAborted",
    "readableDidRead",
    "bufferSize",
    "allowHalfOpen",
    "timeout",
    "bytesRead",
    "bytesWritten",
    "localAddress",
    "localPort",
    "localFamily",
    "remoteAddress",
    "remotePort",
    "remoteFamily",
    "address",
    "autoSelectFamilyAttemptedAddresses",
    "listening",
    "maxConnections",
];

/// The functions that `calls` may name.
pub(crate) const CALLS: &[&str] = &[
    "isIP",
    "isIPv4",
    "isIPv6",
    "blockListCheck",
    "getDefaultAutoSelectFamily",
    "setDefaultAutoSelectFamily",
    "getDefaultAutoSelectFamilyAttemptTimeout",
    "setDefaultAutoSelectFamilyAttemptTimeout",
    "socketAddress",
    "socketAddressParse",
];
