//! Session tickets: sessions that the server encrypts and the client keeps (RFC 5077, RFC 8446 section 4.6.1).

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use fyke::Result;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use rustls::server::ProducesTickets;

use crate::error::{invalid_context, of_rustls};
use crate::provider::provider;

const NAME_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const KEY_BYTES: usize = NAME_BYTES + SECRET_BYTES;
const SALT_BYTES: usize = 32;
/// How long clients may keep a ticket.
const LIFETIME_SECONDS: u32 = 12 * 60 * 60;

/// The keys of session tickets, for servers that resume each other's sessions: several processes or machines, or the same
/// server after a restart. Node: `ticketKeys`.
///
/// Without them, a server makes a random key that no other one has, and a new one every six hours. Keys that are set stay
/// until they are replaced. That should be done several times a day, because whoever gets a key can decrypt the
/// recorded connections of TLS 1.2 whose tickets it has encrypted.
///
/// The first key encrypts new tickets. The tickets of all keys are accepted. To rotate, put a new key before the others on every
/// server, and remove the last one:
///
/// ```
/// # fn distribute(_: &[u8]) {}
/// # fn rotate(context: &fyke_tls::ServerContext, current: &fyke_tls::TicketKeys) -> fyke::Result<()> {
/// let next = current.rotated()?;
/// distribute(&next.to_bytes());
/// // On every server:
/// context.set_ticket_keys(next)
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKeys(Vec<[u8; KEY_BYTES]>);

impl TicketKeys {
    /// Makes one random key.
    ///
    /// # Errors
    /// `ERR_TLS_INTERNAL` if the system has no random bytes.
    pub fn generate() -> Result<Self> {
        Ok(Self(vec![random()?]))
    }

    /// Reads keys from bytes, as [`to_bytes`](Self::to_bytes) returns them or as a generator of random bytes makes them
    /// (`openssl rand 48`): 48 bytes for each key, of which the first 16 are its name.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_CONTEXT` if the number of bytes is 0 or not a multiple of 48.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let keys: Result<Vec<_>, _> =
            bytes.chunks(KEY_BYTES).map(<[u8; KEY_BYTES]>::try_from).collect();
        match keys {
            Ok(keys) if !keys.is_empty() => Ok(Self(keys)),
            _ => Err(invalid_context("a key for session tickets has 48 bytes")),
        }
    }

    /// Returns the keys as bytes, for other servers. They are secret. Node: `server.getTicketKeys()`.
    #[doc(alias = "getTicketKeys")]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Returns a new random key, followed by the first of these: new tickets are encrypted with the new key, and
    /// those of the key before it are accepted.
    ///
    /// # Errors
    /// `ERR_TLS_INTERNAL` if the system has no random bytes.
    pub fn rotated(&self) -> Result<Self> {
        let before = self.0.iter().copied().take(1);
        Ok(Self(std::iter::once(random()?).chain(before).collect()))
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

fn random<const LEN: usize>() -> Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    provider().secure_random.fill(&mut bytes).map_err(|error| of_rustls(error.into()))?;
    Ok(bytes)
}

/// A ticket is the name of its key, a random salt, and the session, encrypted with AES-256-GCM. The key for that is
/// derived from the secret and the salt, so that it is used once, and the nonce can be constant: the number of tickets
/// of a secret is not limited, also if many servers share it.
impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (name, secret) = self.0.first()?.split_at(NAME_BYTES);
        let salt: [u8; SALT_BYTES] = random().ok()?;
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let key = derive(secret, &salt)?;
        key.seal_in_place_append_tag(nonce, Aad::from(name), &mut sealed).ok()?;
        Some([name, &salt, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME_BYTES)?;
        let (salt, sealed) = rest.split_at_checked(SALT_BYTES)?;
        let key = self.0.iter().find(|key| key.starts_with(name))?;
        let key = derive(&key[NAME_BYTES..], salt)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let len = key.open_in_place(nonce, Aad::from(name), &mut plain).ok()?.len();
        plain.truncate(len);
        Some(plain)
    }
}

/// Derives the key of one ticket.
fn derive(secret: &[u8], salt: &[u8]) -> Option<LessSafeKey> {
    let secret = Salt::new(HKDF_SHA256, salt).extract(secret);
    let key = secret.expand(&[b"fyke session ticket"], &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(key)))
}

/// The tickets of a context, whose keys can be replaced.
#[derive(Debug)]
pub(crate) struct Tickets(RwLock<Arc<dyn ProducesTickets>>);

impl Tickets {
    /// With these keys, or with random ones that rotate every six hours.
    pub(crate) fn new(keys: Option<TicketKeys>) -> Result<Self> {
        let tickets = match keys {
            Some(keys) => Arc::new(keys),
            None => random_keys()?,
        };
        Ok(Self(RwLock::new(tickets)))
    }

    pub(crate) fn set(&self, keys: TicketKeys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn current(&self) -> Arc<dyn ProducesTickets> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.current().enabled()
    }

    fn lifetime(&self) -> u32 {
        self.current().lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.current().encrypt(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.current().decrypt(ticket)
    }
}

fn random_keys() -> Result<Arc<dyn ProducesTickets>> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::Ticketer::new().map_err(of_rustls);
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return rustls::crypto::ring::Ticketer::new().map_err(of_rustls);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_decrypted_by_its_key_only_and_only_unchanged() {
        let keys = TicketKeys::generate().unwrap();
        for session in [&b""[..], b"a session", &[7; 5000]] {
            let ticket = keys.encrypt(session).unwrap();
            assert!(
                session.is_empty() || !ticket.windows(session.len()).any(|part| part == session)
            );
            assert_eq!(keys.decrypt(&ticket).as_deref(), Some(session));
            assert_ne!(keys.encrypt(session).unwrap(), ticket, "no ticket is made twice");
            assert_eq!(TicketKeys::generate().unwrap().decrypt(&ticket), None);
            let same_name = [&keys.0[0][..NAME_BYTES], &[1; SECRET_BYTES]].concat();
            assert_eq!(TicketKeys::from_bytes(&same_name).unwrap().decrypt(&ticket), None);
            for index in (0..ticket.len()).step_by(1 + ticket.len() / 500) {
                let mut changed = ticket.clone();
                changed[index] ^= 1;
                assert_eq!(keys.decrypt(&changed), None, "byte {index} is changed");
                assert_eq!(keys.decrypt(&ticket[..index]), None, "only {index} bytes");
            }
        }
    }

    #[test]
    fn a_rotation_accepts_the_tickets_of_one_key_before() {
        let old = TicketKeys::generate().unwrap();
        let next = old.rotated().unwrap();
        let ticket = old.encrypt(b"old").unwrap();
        assert_eq!(next.decrypt(&ticket).unwrap(), b"old");
        assert_eq!(
            old.decrypt(&next.encrypt(b"new").unwrap()),
            None,
            "it is made with the new key"
        );
        assert_eq!(next.rotated().unwrap().decrypt(&ticket), None);
    }

    #[test]
    fn keys_are_bytes() {
        let keys = TicketKeys::generate().unwrap().rotated().unwrap();
        let bytes = keys.to_bytes();
        assert_eq!(bytes.len(), 96);
        assert_eq!(TicketKeys::from_bytes(&bytes).unwrap(), keys);
        for len in [0, 47, 49, 95] {
            assert!(TicketKeys::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert_eq!(format!("{keys:?}"), "TicketKeys { count: 2, .. }", "they are secret");
    }
}
