//! What was negotiated with a peer, in readable form.

use std::time::{Duration, SystemTime};

use fyke_tls::{PeerCertificate, Tls};

use crate::arguments::Level;
use crate::json::Line;
use crate::{clock, log};

const DAY: Duration = Duration::from_secs(86400);

/// What was negotiated, and the certificates of the peer.
pub(crate) struct Facts {
    protocol: &'static str,
    cipher: &'static str,
    alpn: Option<String>,
    name: Option<String>,
    is_resumed: bool,
    is_authorized: bool,
    /// The code of the error, if the certificate of the peer is not acceptable.
    problem: Option<String>,
    /// The certificates that the peer has sent, its own one first.
    chain: Vec<PeerCertificate>,
}

impl Facts {
    pub(crate) fn of(tls: &Tls) -> Self {
        let alpn = tls.alpn_protocol();
        let chain = tls.peer_certificate_chain();
        Self {
            protocol: tls.protocol().unwrap_or("TLS"),
            cipher: tls.cipher().unwrap_or("an unknown cipher"),
            alpn: alpn.map(|alpn| String::from_utf8_lossy(&alpn).into_owned()),
            name: tls.server_name(),
            is_resumed: tls.is_session_reused(),
            is_authorized: tls.is_authorized(),
            problem: tls.authorization_error().map(|error| error.code().to_string()),
            // A certificate that cannot be read is left out. The handshake has accepted it.
            chain: chain.iter().filter_map(|der| PeerCertificate::parse(der).ok()).collect(),
        }
    }

    /// What was negotiated, in one line.
    pub(crate) fn summary(&self) -> String {
        let alpn = self.alpn.as_ref().map_or("no ALPN".into(), |alpn| format!("ALPN {alpn}"));
        let name = self.name.as_ref().map_or(String::new(), |name| format!(", name {name}"));
        let session = if self.is_resumed { "resumed session" } else { "new session" };
        format!("{}, {}, {alpn}{name}, {session}", self.protocol, self.cipher)
    }

    /// What was negotiated, and the subject of the peer's certificate, in one line.
    pub(crate) fn summary_with_subject(&self) -> String {
        let subject = self.subject().map(|subject| format!(", certificate {subject}"));
        format!("{}{}", self.summary(), subject.unwrap_or_default())
    }

    /// Shows the certificates of a peer whose handshake has failed because of them, with `-v`.
    pub(crate) fn show_rejected(tls: &Tls) {
        if tls.authorization_error().is_some() && log::is_on(Level::Info) {
            Self::of(tls).certificates().iter().for_each(log::note);
        }
    }

    /// The certificates, in several lines each.
    pub(crate) fn certificates(&self) -> Vec<String> {
        let now = SystemTime::now();
        let describe = |(index, certificate): (usize, &PeerCertificate)| {
            let PeerCertificate { subject, issuer, fingerprint, .. } = certificate;
            let mut lines =
                vec![format!("certificate {}: {subject}, issued by {issuer}", index + 1)];
            let names = names(certificate);
            if !names.is_empty() {
                lines.push(format!("  names: {}", names.join(", ")));
            }
            lines.push(format!("  {}", validity(certificate, now)));
            lines.push(format!("  fingerprint: {fingerprint}"));
            lines
        };
        self.chain.iter().enumerate().flat_map(describe).collect()
    }

    /// The name of the peer's own certificate.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.chain.first().map(|certificate| certificate.subject.as_str())
    }

    pub(crate) fn add_to(&self, line: Line) -> Line {
        let line = line
            .with("protocol", self.protocol)
            .with("cipher", self.cipher)
            .with("alpn", self.alpn.clone())
            .with("name", self.name.clone())
            .with("resumed", self.is_resumed)
            .with("authorized", self.is_authorized)
            .with("authorization_error", self.problem.clone());
        let now = SystemTime::now();
        let certificate = |certificate: &PeerCertificate| {
            serde_json::json!({
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "names": names(certificate),
                "valid_days": days_left(certificate, now),
                "fingerprint": certificate.fingerprint.to_string(),
            })
        };
        line.with("certificates", self.chain.iter().map(certificate).collect::<Vec<_>>())
    }
}

fn names(certificate: &PeerCertificate) -> Vec<String> {
    let addresses = certificate.ip_addresses.iter().map(ToString::to_string);
    certificate.dns_names.iter().cloned().chain(addresses).collect()
}

/// The complete days until the end of validity; negative after it.
fn days_left(certificate: &PeerCertificate, now: SystemTime) -> i64 {
    match certificate.valid_to.duration_since(now) {
        Ok(left) => days(left),
        Err(error) => -days(error.duration()),
    }
}

fn days(time: Duration) -> i64 {
    i64::try_from(time.as_secs() / DAY.as_secs()).unwrap_or(i64::MAX)
}

fn validity(certificate: &PeerCertificate, now: SystemTime) -> String {
    let (from, to) = (certificate.valid_from, certificate.valid_to);
    let period = format!("from {} to {}", clock::day(from), clock::day(to));
    let counted = |count: i64| if count == 1 { "1 day".into() } else { format!("{count} days") };
    if let Ok(early) = from.duration_since(now) {
        return format!("not valid for another {}: {period}", counted(days(early)));
    }
    match to.duration_since(now) {
        Ok(left) => format!("valid for another {}: {period}", counted(days(left))),
        Err(error) => format!("expired {} ago: {period}", counted(days(error.duration()))),
    }
}
