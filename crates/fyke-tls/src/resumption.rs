//! Sessions that clients can continue.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

use crate::reports::{Reports, report};

/// The sessions that a context remembers by itself.
const SESSIONS_MAX: usize = 256;

/// A session that a client can continue with a later connection, which saves the server a signature, and both sides
/// the certificates. [`Tls::on_session`](crate::Tls::on_session) has it, and
/// [`ClientContext::with_session`](crate::ClientContext::with_session) takes it. Node: the event `session`, and the option
/// of the same name.
///
/// A session is used once, because observers could recognize a client by a ticket that it shows twice. Clones are
/// the same session. It can be used on every thread. It cannot be converted to bytes, because its format is private to
/// rustls.
#[derive(Clone)]
pub struct Session(Arc<Held>);

struct Held {
    server_name: ServerName<'static>,
    /// Empty after it was used.
    value: Mutex<Value>,
}

/// One of both.
#[derive(Default)]
struct Value {
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Option<Tls13ClientSessionValue>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server_name", &self.0.server_name).finish_non_exhaustive()
    }
}

/// The sessions of a context. A session goes to the listener of its connection, or is remembered for the next
/// connection to the same server.
#[derive(Debug)]
pub(crate) struct Sessions(ClientSessionMemoryCache);

impl Sessions {
    pub(crate) fn new() -> Self {
        Self(ClientSessionMemoryCache::new(SESSIONS_MAX))
    }
}

/// Gives the value to the listeners of the connection, if there are any.
fn give(server_name: &ServerName<'static>, value: impl FnOnce() -> Value) {
    report(|reports| {
        if reports.wants_sessions {
            let held = Held { server_name: server_name.clone(), value: Mutex::new(value()) };
            reports.sessions.push(Session(Arc::new(held)));
        }
    });
}

/// Takes a value from the session that the connection offers, if that is for this server.
fn offered<T>(name: &ServerName<'_>, take: impl FnOnce(&mut Value) -> Option<T>) -> Option<T> {
    let take = |reports: &mut Reports| {
        let held = &reports.offered.as_ref()?.0;
        if held.server_name != *name {
            return None;
        }
        take(&mut held.value.lock().unwrap_or_else(PoisonError::into_inner))
    };
    report(take).flatten()
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        let mut value = Some(value);
        give(&server_name, || Value { tls12: value.take(), tls13: None });
        if let Some(value) = value {
            self.0.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let offered = offered(server_name, |value| value.tls12.take());
        offered.or_else(|| self.0.tls12_session(server_name))
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.0.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        let mut value = Some(value);
        give(&server_name, || Value { tls12: None, tls13: value.take() });
        if let Some(value) = value {
            self.0.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        let offered = offered(server_name, |value| value.tls13.take());
        offered.or_else(|| self.0.take_tls13_ticket(server_name))
    }
}
