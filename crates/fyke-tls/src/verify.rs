//! Verifying the certificates of peers.

use std::rc::Rc;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::fingerprint::Fingerprint;
use crate::reports::{Rejected, report};

/// Verifies the certificates of a peer again, because its session is resumed.
pub(crate) type Recheck = Rc<dyn Fn(&[Vec<u8>]) -> Result<(), Error>>;

/// Verifies certificates as `inner` does, and reports those that are not acceptable.
#[derive(Debug)]
pub(crate) struct Reporting<V: ?Sized> {
    inner: Arc<V>,
    /// The connection goes on with a certificate that is not acceptable.
    accepts_all: bool,
}

impl<V: ?Sized> Reporting<V> {
    pub(crate) fn new(inner: Arc<V>, accepts_all: bool) -> Self {
        Self { inner, accepts_all }
    }

    fn judge<T>(
        &self,
        result: Result<T, Error>,
        accepted: T,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<T, Error> {
        let Err(error) = result else { return result };
        let rejected = Rejected::new(error.clone(), end, others);
        report(|reports| reports.rejected = Some(rejected));
        if self.accepts_all { Ok(accepted) } else { Err(error) }
    }
}

impl Reporting<dyn ServerCertVerifier> {
    /// Verifies the certificates of a session that is resumed.
    pub(crate) fn recheck(&self, chain: &[Vec<u8>], name: &ServerName<'_>) -> Result<(), Error> {
        let Some((end, others)) = split(chain) else { return Ok(()) };
        self.inner.verify_server_cert(&end, &others, name, &[], UnixTime::now()).map(drop)
    }
}

impl Reporting<dyn ClientCertVerifier> {
    /// Verifies the certificates of a session that is resumed.
    pub(crate) fn recheck(&self, chain: &[Vec<u8>]) -> Result<(), Error> {
        let Some((end, others)) = split(chain) else { return Ok(()) };
        self.inner.verify_client_cert(&end, &others, UnixTime::now()).map(drop)
    }
}

/// Returns a certificate and those that follow it.
fn split(chain: &[Vec<u8>]) -> Option<(CertificateDer<'_>, Vec<CertificateDer<'_>>)> {
    let mut chain = chain.iter().map(|der| CertificateDer::from(der.as_slice()));
    Some((chain.next()?, chain.collect()))
}

impl ServerCertVerifier for Reporting<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let inner = &self.inner;
        let result =
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        self.judge(result, ServerCertVerified::assertion(), end_entity, intermediates)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

impl ClientCertVerifier for Reporting<dyn ClientCertVerifier> {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let result = self.inner.verify_client_cert(end_entity, intermediates, now);
        self.judge(result, ClientCertVerified::assertion(), end_entity, intermediates)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts the certificates of servers by their fingerprint. The server must own the key.
#[derive(Debug)]
pub(crate) struct ByFingerprint {
    provider: Arc<CryptoProvider>,
    pins: Vec<Fingerprint>,
    /// Why a certificate without pin is not acceptable.
    otherwise: CertificateError,
}

impl ByFingerprint {
    pub(crate) fn new(provider: Arc<CryptoProvider>, pins: Vec<Fingerprint>) -> Self {
        Self { provider, pins, otherwise: CertificateError::ApplicationVerificationFailure }
    }

    /// Accepts no certificate, because no authority is trusted.
    pub(crate) fn nothing(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, pins: Vec::new(), otherwise: CertificateError::UnknownIssuer }
    }
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.pins.contains(&Fingerprint::of(end_entity)) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(self.otherwise.clone().into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
