//! `--route`: which target a TLS client gets, by the names in its ClientHello.

use std::fmt;
use std::net::Ipv4Addr;

use super::client_hello::{Hello, Parsed};
use super::targets::Destination;
use crate::failure::Failure;
use crate::place::Place;

const HOST_NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
const PROTOCOL_BYTES_MAX: usize = 255;
/// The maximum number of application protocols in a log line. A client chooses how many it offers.
const LOGGED_PROTOCOLS_MAX: usize = 4;

/// The routes, in the given order. Without any, every client gets a default target.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: Vec<Route>,
    /// Whether clients without a matching route get a default target.
    has_default: bool,
}

#[derive(Debug)]
struct Route {
    condition: Condition,
    /// The index of the target.
    target: usize,
}

/// The condition of a route.
#[derive(Debug, PartialEq, Eq)]
enum Condition {
    /// The server name, in lower case and without a trailing dot.
    ServerName(String),
    /// The part of the server name behind its first label.
    AnyLabelBefore(String),
    /// One of the application protocols.
    Protocol(String),
}

/// Why a client is refused, and how it learns that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The reason, as a part of a sentence.
    pub(super) text: String,
    /// The reason in statistics.
    pub(super) reason: &'static str,
    /// The TLS alert to send. Without one, the connection is reset.
    pub(super) alert: Option<Alert>,
}

/// The fatal alerts that a client can get (RFC 8446, section 6.2; RFC 7301, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alert {
    DecodeError = 50,
    UnrecognizedName = 112,
    NoApplicationProtocol = 120,
}

impl Alert {
    /// Returns the record that ends a TLS handshake.
    pub(super) fn record(self) -> [u8; 7] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        [ALERT, 3, 3, 0, 2, FATAL, self as u8]
    }
}

impl Routes {
    /// Parses the routes. Returns them with the targets that only they have, whose indices follow
    /// those of the default targets.
    pub(super) fn parse(
        texts: &[String],
        default: &[Place],
    ) -> Result<(Self, Vec<Place>), Failure> {
        let mut routes: Vec<Route> = Vec::new();
        let mut own: Vec<Place> = Vec::new();
        for text in texts {
            let usage = |what: String| Failure::Usage(format!("--route {text:?}: {what}"));
            let (condition, place) = parse(text).map_err(usage)?;
            if let Some(first) = routes.iter().find(|first| first.condition.covers(&condition)) {
                let first = &first.condition;
                let what = format!("the route for {first} comes first, so this one has no effect");
                return Err(usage(what));
            }
            // Routes with equal targets share the target's state and statistics.
            let known = default.iter().chain(&own).map(Place::to_string);
            let target = known.into_iter().position(|known| known == place.to_string());
            let target = target.unwrap_or_else(|| {
                own.push(place);
                default.len() + own.len() - 1
            });
            routes.push(Route { condition, target });
        }
        Ok((Self { routes, has_default: !default.is_empty() }, own))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Chooses the destination of a client. Returns `None` while its ClientHello is incomplete.
    pub(super) fn choose(&self, parsed: &Parsed<'_>) -> Option<Result<Destination, Refusal>> {
        Some(match parsed {
            Parsed::Incomplete => return None,
            Parsed::NotTls => self.without_hello("it does not use TLS"),
            Parsed::Malformed(flaw) => Err(Refusal {
                text: format!("its ClientHello is not valid: {}", flaw.0),
                reason: "no hello",
                alert: Some(Alert::DecodeError),
            }),
            Parsed::Hello(hello) => self.for_hello(hello),
        })
    }

    /// Chooses the destination of a client that does not use TLS, or that ends without sending
    /// anything.
    pub(super) fn without_hello(&self, what: &str) -> Result<Destination, Refusal> {
        if self.has_default {
            return Ok(Destination::Default);
        }
        let text = format!("{what}, and there is no default target");
        Err(Refusal { text, reason: "no route", alert: None })
    }

    fn for_hello(&self, hello: &Hello<'_>) -> Result<Destination, Refusal> {
        if let Some(route) = self.routes.iter().find(|route| route.condition.matches(hello)) {
            return Ok(Destination::Route(route.target));
        }
        if self.has_default {
            return Ok(Destination::Default);
        }
        let by_protocol = |route: &Route| matches!(route.condition, Condition::Protocol(_));
        let alert = if self.routes.iter().all(by_protocol) {
            Alert::NoApplicationProtocol
        } else {
            Alert::UnrecognizedName
        };
        let text = format!("there is no route for {}", Offer(hello));
        Err(Refusal { text, reason: "no route", alert: Some(alert) })
    }
}

impl Condition {
    fn matches(&self, hello: &Hello<'_>) -> bool {
        let name = hello.server_name.map(|name| name.strip_suffix('.').unwrap_or(name));
        match self {
            Self::ServerName(own) => name.is_some_and(|name| own.eq_ignore_ascii_case(name)),
            Self::AnyLabelBefore(own) => {
                let split = name.and_then(|name| name.split_once('.'));
                split.is_some_and(|(label, rest)| {
                    !label.is_empty() && own.eq_ignore_ascii_case(rest)
                })
            }
            Self::Protocol(own) => hello.protocols().any(|protocol| protocol == own.as_bytes()),
        }
    }

    /// Returns whether every client that matches `other` matches this condition too.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AnyLabelBefore(own), Self::ServerName(other)) => {
                other.split_once('.').is_some_and(|(_, rest)| own == rest)
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerName(name) => write!(f, "sni={name}"),
            Self::AnyLabelBefore(rest) => write!(f, "sni=*.{rest}"),
            Self::Protocol(name) => write!(f, "alpn={name}"),
        }
    }
}

/// What a client asks for, as a part of a log line. Its length is limited.
pub(super) struct Offer<'a>(pub(super) &'a Hello<'a>);

impl fmt::Display for Offer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.server_name {
            Some(name) => write!(f, "the server name {name:?}")?,
            None => f.write_str("a client without a server name")?,
        }
        let mut separator = " and the protocols ";
        for protocol in self.0.protocols().take(LOGGED_PROTOCOLS_MAX) {
            write!(f, "{separator}{}", protocol.escape_ascii())?;
            separator = ", ";
        }
        let more = self.0.protocols().skip(LOGGED_PROTOCOLS_MAX).count();
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

fn parse(text: &str) -> Result<(Condition, Place), String> {
    const FORM: &str = "expected sni=NAME:TARGET or alpn=PROTOCOL:TARGET";
    let (key, rest) = text.split_once('=').ok_or(FORM)?;
    if key == "sni" && rest.starts_with('[') {
        return Err(String::from(ADDRESS));
    }
    let (name, target) = rest.split_once(':').ok_or(FORM)?;
    let condition = match key {
        "sni" => server_name(name)?,
        "alpn" if name.is_empty() => return Err(String::from("the protocol is empty")),
        "alpn" if name.len() > PROTOCOL_BYTES_MAX => {
            return Err(String::from("a protocol has at most 255 bytes"));
        }
        "alpn" => Condition::Protocol(name.to_owned()),
        _ => return Err(FORM.to_owned()),
    };
    let place = Place::parse_target(target).map_err(|failure| failure.to_string())?;
    Ok((condition, place))
}

const ADDRESS: &str = "a server name is never an IP address (RFC 6066)";

fn server_name(text: &str) -> Result<Condition, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() {
        return Err(String::from("the server name is empty"));
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err(String::from(ADDRESS));
    }
    if !name.is_ascii() {
        return Err(String::from("write a name that is not ASCII in its form with xn--"));
    }
    let (is_wildcard, labels) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name.as_str()),
    };
    if labels.contains('*') {
        return Err(String::from("a wildcard is the whole first label, as in *.example.org"));
    }
    let is_label = |label: &str| {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_valid)
    };
    if name.len() > HOST_NAME_BYTES_MAX || !labels.split('.').all(is_label) {
        return Err(format!("{text:?} is not a host name"));
    }
    Ok(match is_wildcard {
        true => Condition::AnyLabelBefore(labels.to_owned()),
        false => Condition::ServerName(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(texts: &[&str], default: &[&str]) -> Result<(Routes, Vec<Place>), Failure> {
        let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
        let default: Vec<_> = default.iter().map(|text| Place::parse(text).unwrap()).collect();
        Routes::parse(&texts, &default)
    }

    fn condition(text: &str) -> Condition {
        parse(&format!("{text}:80")).unwrap().0
    }

    #[test]
    fn names_are_compared_without_case_and_trailing_dot() {
        for (text, name, expected) in [
            ("sni=example.org", "example.org", true),
            ("sni=Example.ORG.", "eXample.org", true),
            ("sni=example.org", "example.org.", true),
            ("sni=example.org", "www.example.org", false),
            ("sni=example.org", "example.org..", false),
            ("sni=localhost", "localhost", true),
            ("sni=*.example.org", "www.Example.org", true),
            ("sni=*.example.org", "www.example.org.", true),
            ("sni=*.example.org", "example.org", false),
            ("sni=*.example.org", ".example.org", false),
            ("sni=*.example.org", "a.b.example.org", false),
            ("sni=*.example.org", "wwwexample.org", false),
        ] {
            let hello = Hello::of(Some(name), &[]);
            assert_eq!(condition(text).matches(&hello), expected, "{text} {name}");
        }
        assert!(!condition("sni=example.org").matches(&Hello::of(None, &[])));
    }

    #[test]
    fn protocol_matches_if_the_client_offers_it() {
        let hello = Hello::of(None, b"\x02h2\x08http/1.1");
        for (text, expected) in [("alpn=http/1.1", true), ("alpn=h", false), ("alpn=H2", false)] {
            assert_eq!(condition(text).matches(&hello), expected, "{text}");
        }
    }

    #[test]
    fn first_matching_route_is_chosen_and_equal_targets_are_one_target() {
        let texts = ["sni=a.example:1", "alpn=h2:./x", "sni=*.example:[::1]:2", "sni=b:unix:y"];
        let (routes, own) = routes(&texts, &["9", "./x"]).unwrap();
        let own: Vec<_> = own.iter().map(Place::to_string).collect();
        assert_eq!(
            own,
            ["1", "[::1]:2", "unix:y"].map(|text| Place::parse(text).unwrap().to_string())
        );
        for (name, protocols, expected) in [
            (Some("a.example"), &b"\x02h2"[..], Destination::Route(2)),
            (Some("c.example"), b"\x02h2", Destination::Route(1)),
            (Some("c.example"), b"", Destination::Route(3)),
            (Some("b"), b"", Destination::Route(4)),
            (Some("c"), b"", Destination::Default),
            (None, b"", Destination::Default),
        ] {
            let parsed = Parsed::Hello(Hello::of(name, protocols));
            assert_eq!(routes.choose(&parsed), Some(Ok(expected)), "{name:?}");
        }
        assert_eq!(routes.choose(&Parsed::NotTls), Some(Ok(Destination::Default)));
        assert_eq!(routes.choose(&Parsed::Incomplete), None);
    }

    #[test]
    fn client_without_a_route_gets_the_alert_for_what_the_routes_ask() {
        let hello =
            Parsed::Hello(Hello::of(Some("c\\.example"), b"\x01a\x01\n\x01c\x01d\x01e\x01f"));
        for (texts, alert) in [
            (&["sni=a:1", "alpn=h2:1"][..], Alert::UnrecognizedName),
            (&["alpn=h2:1"], Alert::NoApplicationProtocol),
        ] {
            let (routes, _) = routes(texts, &[]).unwrap();
            let refusal = routes.choose(&hello).unwrap().unwrap_err();
            let expected = "there is no route for the server name \"c\\\\.example\" and the protocols a, \\n, c, d and 2 more";
            assert_eq!((refusal.text.as_str(), refusal.alert), (expected, Some(alert)));
            assert_eq!(routes.choose(&Parsed::NotTls).unwrap().unwrap_err().alert, None);
        }
        assert_eq!(Alert::UnrecognizedName.record(), *b"\x15\x03\x03\0\x02\x02\x70");
    }

    #[test]
    fn routes_that_are_not_valid_or_have_no_effect_are_usage_errors() {
        let long = format!("alpn={}:80", "x".repeat(256));
        for (texts, expected) in [
            (&["example.org:80"][..], "expected sni="),
            (&["host=example.org:80"], "expected sni="),
            (&["SNI=example.org:80"], "expected sni="),
            (&["sni=example.org"], "expected sni="),
            (&["sni=:80"], "the server name is empty"),
            (&["sni=.:80"], "the server name is empty"),
            (&["alpn=:80"], "the protocol is empty"),
            (&[&long], "at most 255 bytes"),
            (&["sni=10.0.0.1:80"], "never an IP address"),
            (&["sni=10.0.0.1.:80"], "never an IP address"),
            (&["sni=[::1]:80"], "never an IP address"),
            (&["sni=a.*.org:80"], "the whole first label"),
            (&["sni=*:80"], "the whole first label"),
            (&["sni=*a.org:80"], "the whole first label"),
            (&["sni=*.*.org:80"], "the whole first label"),
            (&["sni=b\u{fc}.example:80"], "xn--"),
            (&["sni=a..b:80"], "not a host name"),
            (&["sni=a b:80"], "not a host name"),
            (&["sni=*.:80"], "the whole first label"),
            (&["sni=a.example:"], "ERR_"),
            (&["sni=a.example:word"], "ERR_"),
            (&["sni=a.example:80:x"], "ERR_"),
            (&["sni=a.example:fd:0"], "cannot be a target"),
            (&["sni=a.example:80", "sni=A.example.:81"], "sni=a.example comes first"),
            (&["sni=*.example:80", "sni=*.example:81"], "sni=*.example comes first"),
            (&["sni=*.example:80", "sni=a.example:81"], "sni=*.example comes first"),
            (&["alpn=h2:80", "alpn=h2:80"], "alpn=h2 comes first"),
        ] {
            let failure = routes(texts, &[]).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)), "{texts:?}");
            assert!(failure.to_string().contains(expected), "{texts:?}: {failure}");
        }
        for texts in [
            &["sni=a.example:80", "sni=*.example:81", "sni=a.b.example:82", "sni=example:83"][..],
            &["sni=xn--bcher-kva.example:80", "sni=_a.b-c.d:80"],
        ] {
            assert!(routes(texts, &[]).is_ok(), "{texts:?}");
        }
    }
}
