//! A certificate and its key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fyke::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::error::invalid_context;
use crate::fingerprint::Fingerprint;
use crate::provider::provider;

/// A certificate, those of the authorities between it and a trusted one, and its private key.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    files: Option<Arc<Files>>,
}

/// The files that an identity was read from.
#[derive(Debug)]
struct Files {
    certificates: PathBuf,
    key: PathBuf,
}

impl Identity {
    /// Reads the certificates and the key from PEM. The identity's own certificate comes first. Both may be in
    /// one text. Node: `cert` and `key`.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if there is no certificate or no key, if the key needs a password, or if it
    /// does not belong to the certificate.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self> {
        let chain = certificates_in(certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            invalid_context(format!("there is no private key without a password: {error}"))
        })?;
        Self::new(chain, key)
    }

    /// Reads the certificates and the key from files in PEM, which may be one file. The paths are remembered:
    /// [`ServerContext::reload`](crate::ServerContext::reload) reads them again. Blocks while it reads.
    ///
    /// # Errors
    /// - The error of the system, such as `ENOENT`, with the path.
    /// - `ERR_TLS_INVALID_CONTEXT`, with the paths, if there is no certificate or no key, if the key needs a
    ///   password, or if it does not belong to the certificate.
    ///
    /// ```no_run
    /// let identity = fyke_tls::Identity::from_pem_files("cert.pem", "key.pem")?;
    /// println!("{}", identity.fingerprint());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn from_pem_files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        Files { certificates: certificates.as_ref().into(), key: key.as_ref().into() }.read()
    }

    /// Reads the files of this identity again. Returns `None` if it was not read from files.
    pub(crate) fn read_again(&self) -> Option<Result<Self>> {
        let Files { certificates, key } = self.files.as_deref()?;
        Some(Self::from_pem_files(certificates, key))
    }

    /// Takes the certificates and the key in DER.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if there is no certificate, or if the key cannot be used or does not belong to
    /// it.
    pub fn from_der(certificates: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self> {
        let chain = certificates.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(key).map_err(invalid_context)?;
        Self::new(chain, key)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self> {
        let invalid = |error: rustls::Error| {
            invalid_context(format!(
                "the private key cannot be used; it must be RSA (2048 bits or more), ECDSA (P-256 or P-384) or \
                 Ed25519: {error}"
            ))
        };
        let key = provider().key_provider.load_private_key(key).map_err(invalid)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Not every kind of key can tell.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => {
                return Err(invalid_context("the private key does not belong to the certificate"));
            }
        }
        Ok(Self { certified: Arc::new(certified), files: None })
    }

    /// Returns the fingerprint of the identity's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.certified.cert.first().map_or(&[], |certificate| certificate.as_ref()))
    }
}

impl Files {
    fn read(self) -> Result<Identity> {
        let (certificates, key) = (read_file(&self.certificates)?, read_file(&self.key)?);
        let read = Identity::from_pem(&certificates, &key).map_err(|error| {
            let (certificates, key) = (self.certificates.display(), self.key.display());
            let message = error.message().unwrap_or_default();
            Error::new(error.code(), format!("{certificates} and {key}: {message}"))
        });
        Ok(Identity { files: Some(Arc::new(self)), ..read? })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Error::new(Error::from(error).code(), message)
    })
}

/// Reads the certificates of authorities in a text in PEM, of which there must be one.
pub(crate) fn authorities_in(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(pem)? {
        roots.add(certificate).map_err(|error| invalid_context(error.to_string()))?;
    }
    Ok(roots)
}

/// Reads the certificates in a text in PEM, of which there must be one.
fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates
        .map_err(|error| invalid_context(format!("the certificates are not valid PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(invalid_context("there is no certificate in the PEM"));
    }
    Ok(certificates)
}
