//! The errors of TLS, as errors of fyke.

use fyke::{Error, ErrorCode};
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* pub const $name: ErrorCode = ErrorCode::from_static(stringify!($name));)*
    };
}

/// The codes of the errors of TLS. Where Node has a code for the same case, it is that one.
pub mod code {
    use super::ErrorCode;

    codes! {
        /// The certificate of the peer has expired.
        CERT_HAS_EXPIRED
        /// The certificate of the peer is not valid yet.
        CERT_NOT_YET_VALID
        /// The certificate of the peer was revoked.
        CERT_REVOKED
        /// A signature in the certificates of the peer is wrong.
        CERT_SIGNATURE_FAILURE
        /// The certificate of the peer was not issued by an authority that is trusted.
        UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        /// The certificate of the peer is not for the name that was asked for.
        ERR_TLS_CERT_ALTNAME_INVALID
        /// The certificate of the peer is not acceptable for another reason.
        ERR_TLS_CERT_INVALID
        /// The peer presented no certificate, but one is required.
        ERR_TLS_CERT_REQUIRED
        /// The peer closed the connection with an alert.
        ERR_TLS_ALERT
        /// The peer sent something that is not TLS.
        ERR_TLS_NOT_TLS
        /// The peer violated the protocol.
        ERR_TLS_PROTOCOL
        /// A record could not be decrypted: it was changed on its way.
        ERR_TLS_DECRYPT
        /// Both sides have no version, cipher suite or key exchange in common.
        ERR_TLS_INCOMPATIBLE
        /// Both sides have no application protocol in common.
        ERR_TLS_NO_APPLICATION_PROTOCOL
        /// The application chose an application protocol that the client has not offered.
        ERR_TLS_ALPN_CALLBACK_INVALID_RESULT
        /// A server has both a list of application protocols and a callback that chooses one.
        ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS
        /// The connection ended without `close_notify`: bytes may be missing.
        ERR_TLS_TRUNCATED
        /// The handshake took too long.
        ERR_TLS_HANDSHAKE_TIMEOUT
        /// Too many handshakes are in progress.
        ERR_TLS_TOO_MANY_HANDSHAKES
        /// The configuration is not valid, for example a key that does not belong to the certificate.
        ERR_TLS_INVALID_CONTEXT
        /// The name of the server is neither a host name nor an IP address.
        ERR_TLS_INVALID_SERVER_NAME
        /// The application refused the name that the client asked for.
        ERR_TLS_SNI_REFUSED
        /// The implementation of TLS has failed.
        ERR_TLS_INTERNAL
    }
}

/// Converts an error of rustls.
pub(crate) fn of_rustls(error: rustls::Error) -> Error {
    use rustls::Error as Tls;
    let code = match &error {
        Tls::InvalidCertificate(problem) => return of_certificate(problem),
        Tls::AlertReceived(alert) => {
            let message = format!("the peer closed the connection: {}", words(*alert));
            return Error::new(code::ERR_TLS_ALERT, message);
        }
        Tls::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => {
            let message = "the peer sent data that is not TLS; does it expect plain text?";
            return Error::new(code::ERR_TLS_NOT_TLS, message);
        }
        Tls::NoCertificatesPresented => {
            let message = "the peer presented no certificate, but one is required";
            return Error::new(code::ERR_TLS_CERT_REQUIRED, message);
        }
        Tls::DecryptError => code::ERR_TLS_DECRYPT,
        Tls::PeerIncompatible(reason) => {
            return Error::new(code::ERR_TLS_INCOMPATIBLE, incompatible(reason));
        }
        Tls::NoApplicationProtocol => code::ERR_TLS_NO_APPLICATION_PROTOCOL,
        Tls::InvalidMessage(_)
        | Tls::InappropriateMessage { .. }
        | Tls::InappropriateHandshakeMessage { .. }
        | Tls::PeerMisbehaved(_)
        | Tls::PeerSentOversizedRecord => code::ERR_TLS_PROTOCOL,
        Tls::InconsistentKeys(_) => code::ERR_TLS_INVALID_CONTEXT,
        _ => code::ERR_TLS_INTERNAL,
    };
    Error::new(code, error.to_string())
}

fn of_certificate(problem: &CertificateError) -> Error {
    let (code, message) = match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (code::CERT_HAS_EXPIRED, "the certificate of the peer has expired".to_owned())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (code::CERT_NOT_YET_VALID, "the certificate of the peer is not valid yet".to_owned())
        }
        CertificateError::Revoked => {
            (code::CERT_REVOKED, "the certificate of the peer was revoked".to_owned())
        }
        CertificateError::UnknownIssuer => (
            code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            "the certificate of the peer was not issued by a trusted authority".to_owned(),
        ),
        CertificateError::BadSignature => (
            code::CERT_SIGNATURE_FAILURE,
            "a signature in the certificates of the peer is wrong".to_owned(),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (code::ERR_TLS_CERT_ALTNAME_INVALID, problem.to_string())
        }
        CertificateError::ApplicationVerificationFailure => (
            code::ERR_TLS_CERT_INVALID,
            "the certificate of the peer does not have the expected fingerprint".to_owned(),
        ),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            code::ERR_TLS_CERT_INVALID,
            "a certificate of the peer has a kind of key or signature that is not supported, such as SHA-1"
                .to_owned(),
        ),
        problem => (
            code::ERR_TLS_CERT_INVALID,
            format!("the certificate of the peer is not acceptable: {problem}"),
        ),
    };
    Error::new(code, message)
}

/// What both sides do not have in common.
fn incompatible(reason: &PeerIncompatible) -> String {
    use PeerIncompatible as Reason;
    let what = match reason {
        Reason::NoCipherSuitesInCommon => "cipher suite",
        Reason::NoKxGroupsInCommon
        | Reason::NamedGroupsExtensionRequired
        | Reason::KeyShareExtensionRequired => "key exchange",
        Reason::NoSignatureSchemesInCommon
        | Reason::NoCertificateRequestSignatureSchemesInCommon => {
            "kind of signature that fits the key of the certificate"
        }
        Reason::ServerDoesNotSupportTls12Or13
        | Reason::ServerTlsVersionIsDisabledByOurConfig
        | Reason::SupportedVersionsExtensionRequired
        | Reason::Tls12NotOffered
        | Reason::Tls12NotOfferedOrEnabled
        // Clients before TLS 1.2 do not have it.
        | Reason::SignatureAlgorithmsExtensionRequired => "version of TLS (1.2 or 1.3)",
        other => return format!("both sides have too little in common: {other:?}"),
    };
    format!("both sides have no {what} in common")
}

/// What a client gets that is refused before rustls is involved: a record with a fatal alert, or an answer that an
/// HTTP client understands.
pub(crate) fn refusal(error: &Error) -> Vec<u8> {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    let code = error.code();
    let description = if code == code::ERR_TLS_NOT_TLS {
        return Vec::from(HTTP_REFUSAL);
    } else if code == code::ERR_TLS_SNI_REFUSED {
        AlertDescription::UnrecognisedName
    } else if code == code::ERR_TLS_ALPN_CALLBACK_INVALID_RESULT {
        AlertDescription::NoApplicationProtocol
    } else {
        AlertDescription::InternalError
    };
    vec![ALERT, 3, 3, 0, 2, FATAL, description.into()]
}

const HTTP_REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
                            This port expects TLS. Use https:// instead of http://.\n";

/// The error for a client that sends an HTTP request without TLS.
pub(crate) fn http_request() -> Error {
    Error::new(code::ERR_TLS_NOT_TLS, "the peer sent an HTTP request without TLS")
}

/// The name of an alert, and what to do about the most frequent ones.
fn words(alert: AlertDescription) -> String {
    let name = name_of(alert);
    let meaning = match alert {
        AlertDescription::HandshakeFailure => {
            "both sides have no version, cipher suite, key exchange or kind of certificate in common"
        }
        AlertDescription::ProtocolVersion => "it supports neither TLS 1.2 nor TLS 1.3",
        AlertDescription::CertificateRequired => "it requires a certificate of the client",
        AlertDescription::UnknownCA => "it does not trust the authority of our certificate",
        AlertDescription::UnrecognisedName => "it has no certificate for the name asked for",
        AlertDescription::NoApplicationProtocol => "it supports none of our application protocols",
        _ => return name,
    };
    format!("{name} ({meaning})")
}

/// The name of an alert, as RFC 8446 (section 6) writes it: `unknown_ca` for `UnknownCA`.
fn name_of(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("alert {}", u8::from(alert)) };
    let mut words = String::from("alert ");
    let mut letters = name.chars().peekable();
    let mut before = None::<char>;
    while let Some(letter) = letters.next() {
        let follows = before.is_some_and(char::is_lowercase);
        let precedes = letters.peek().is_some_and(|next| next.is_lowercase());
        if before.is_some() && letter.is_uppercase() && (follows || precedes) {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
        before = Some(letter);
    }
    words.replace("recognised", "recognized")
}

pub(crate) fn invalid_context(message: impl Into<String>) -> Error {
    Error::new(code::ERR_TLS_INVALID_CONTEXT, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Users saw names of rustls, and a list of numbers.
    #[test]
    fn errors_of_rustls_become_sentences() {
        use rustls::Error as Tls;
        let unsupported = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![6, 9, 42],
            supported_algorithms: Vec::new(),
        };
        for (error, expected) in [
            (
                Tls::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon),
                "ERR_TLS_INCOMPATIBLE: both sides have no key exchange in common",
            ),
            (
                Tls::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
                "ERR_TLS_INCOMPATIBLE: both sides have no version of TLS (1.2 or 1.3) in common",
            ),
            (
                Tls::InvalidCertificate(unsupported),
                "ERR_TLS_CERT_INVALID: a certificate of the peer has a kind of key or signature that is not \
                 supported, such as SHA-1",
            ),
            (
                Tls::AlertReceived(AlertDescription::CertificateRequired),
                "ERR_TLS_ALERT: the peer closed the connection: alert certificate_required (it requires a \
                 certificate of the client)",
            ),
            (
                Tls::AlertReceived(AlertDescription::InternalError),
                "ERR_TLS_ALERT: the peer closed the connection: alert internal_error",
            ),
        ] {
            assert_eq!(of_rustls(error).to_string(), expected);
        }
    }

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        for (alert, name) in [
            (AlertDescription::NoApplicationProtocol, "alert no_application_protocol"),
            (AlertDescription::UnknownCA, "alert unknown_ca"),
            (AlertDescription::UnknownPSKIdentity, "alert unknown_psk_identity"),
            (
                AlertDescription::EncryptedClientHelloRequired,
                "alert encrypted_client_hello_required",
            ),
            (AlertDescription::UnrecognisedName, "alert unrecognized_name"),
            (AlertDescription::Unknown(99), "alert 99"),
        ] {
            assert_eq!(name_of(alert), name);
        }
    }
}
