//! The certificates of a server.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

// A panic leaves nothing half done.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The certificates of a context, which can be replaced.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) default: RwLock<Arc<CertifiedKey>>,
    pub(crate) by_name: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let by_name = read(&self.by_name);
        let named = hello.server_name().filter(|_| !by_name.is_empty()).and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || {
                let (_, domain) = name.split_once('.')?;
                by_name.get(&format!("*.{domain}"))
            };
            by_name.get(&name).or_else(wildcard).cloned()
        });
        let default = || Arc::clone(&read(&self.default));
        Some(named.unwrap_or_else(default))
    }
}
