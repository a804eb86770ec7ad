//! The cryptography: aws-lc-rs, or ring if that is all there is.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Hash, HashAlgorithm};

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("fyke-tls needs cryptography: enable the feature `aws-lc-rs` or `ring`");

/// The provider of all contexts. None is installed for the process, because that is the application's choice.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        #[cfg(feature = "aws-lc-rs")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
        let provider = rustls::crypto::ring::default_provider();
        Arc::new(provider)
    }))
}

/// The SHA-256 of the provider.
pub(crate) fn sha256() -> &'static dyn Hash {
    let provider = provider();
    let suites = provider.cipher_suites.iter().filter_map(rustls::SupportedCipherSuite::tls13);
    let mut hashes = suites.map(|suite| suite.common.hash_provider);
    hashes
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
        .expect("a suite with SHA-256 is mandatory in TLS 1.3 (RFC 8446, section 9.1)")
}
