//! The errors of TLS, as errors of fyke.

use fyke::{Error, ErrorCode};
use rustls::{AlertDescription, CertificateError, InvalidMessage};

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
        Tls::PeerIncompatible(_) => code::ERR_TLS_INCOMPATIBLE,
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
        problem => (code::ERR_TLS_CERT_INVALID, problem.to_string()),
    };
    Error::new(code, message)
}

/// The name of an alert, as RFC 8446 (section 6) writes it.
fn words(alert: AlertDescription) -> String {
    alert
        .as_str()
        .map_or_else(|| format!("alert {}", u8::from(alert)), |name| format!("alert {name}"))
}

pub(crate) fn invalid_context(message: impl Into<String>) -> Error {
    Error::new(code::ERR_TLS_INVALID_CONTEXT, message.into())
}
