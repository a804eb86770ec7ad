//! The certificates of a server, which can be replaced while it serves.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fyke::Result;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::invalid_context;
use crate::identity::Identity;

#[derive(Debug)]
pub(crate) struct Identities(RwLock<ByName>);

#[derive(Debug)]
struct ByName {
    default: Identity,
    named: HashMap<String, Identity>,
}

impl Identities {
    pub(crate) fn new(default: Identity, named: HashMap<String, Identity>) -> Self {
        Self(RwLock::new(ByName { default, named }))
    }

    // A panic leaves nothing half done.
    fn read(&self) -> RwLockReadGuard<'_, ByName> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByName> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, identity: Identity) {
        self.write().default = identity;
    }

    pub(crate) fn set_for(&self, name: &str, identity: Identity) {
        self.write().named.insert(name.to_ascii_lowercase(), identity);
    }

    /// Reads all identities again that were read from files, and then replaces all of them.
    pub(crate) fn reload(&self) -> Result<()> {
        let before: Vec<Identity> = {
            let identities = self.read();
            std::iter::once(&identities.default).chain(identities.named.values()).cloned().collect()
        };
        // Handshakes do not wait for the files.
        let mut renewed = Vec::new();
        for identity in before {
            if let Some(read) = identity.read_again() {
                renewed.push((identity, read?));
            }
        }
        if renewed.is_empty() {
            return Err(invalid_context("no certificate was read from files"));
        }
        let mut identities = self.write();
        let ByName { default, named } = &mut *identities;
        for current in std::iter::once(default).chain(named.values_mut()) {
            // Not if the application has replaced it meanwhile.
            let is_current =
                |(before, _): &&(Identity, _)| Arc::ptr_eq(&before.certified, &current.certified);
            let new = renewed.iter().find(is_current).map(|(_, new)| new.clone());
            if let Some(new) = new {
                *current = new;
            }
        }
        Ok(())
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identities = self.read();
        let named = &identities.named;
        let for_name = hello.server_name().filter(|_| !named.is_empty()).and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || {
                let (_, domain) = name.split_once('.')?;
                named.get(&format!("*.{domain}"))
            };
            named.get(&name).or_else(wildcard)
        });
        Some(Arc::clone(&for_name.unwrap_or(&identities.default).certified))
    }
}
