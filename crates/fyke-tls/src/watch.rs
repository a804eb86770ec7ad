//! What a connection collects of the [reports](crate::reports) of rustls, and the listeners for it. Most connections
//! collect something only in the handshake, and have nothing here.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Error, Socket};

use crate::error::of_rustls;
use crate::reports::{self, Reports};
use crate::resumption::Session;
use crate::verify::Recheck;

type KeyListener = Rc<dyn Fn(&Socket, &str)>;
type SessionListener = Rc<dyn Fn(&Socket, Session)>;

#[derive(Default)]
pub(crate) struct Watch {
    /// There are listeners, whose events can occur after the handshake.
    listens: Cell<bool>,
    rare: RefCell<Option<Box<Rare>>>,
}

#[derive(Default)]
struct Rare {
    on_key_log: Vec<KeyListener>,
    on_session: Vec<SessionListener>,
    keys: Vec<String>,
    sessions: Vec<Session>,
    /// Why the certificate of the peer is not acceptable.
    unauthorized: Option<Error>,
    /// Set if the connection goes on with such a certificate.
    recheck: Option<Recheck>,
}

impl Watch {
    fn change<T>(&self, f: impl FnOnce(&mut Rare) -> T) -> T {
        f(self.rare.borrow_mut().get_or_insert_default())
    }

    pub(crate) fn on_key_log(&self, listener: KeyListener) {
        self.listens.set(true);
        self.change(|rare| rare.on_key_log.push(listener));
    }

    pub(crate) fn on_session(&self, listener: SessionListener) {
        self.listens.set(true);
        self.change(|rare| rare.on_session.push(listener));
    }

    pub(crate) fn recheck_with(&self, recheck: Recheck) {
        self.change(|rare| rare.recheck = Some(recheck));
    }

    /// Returns the result of `f`, which calls the engine, and collects what rustls reports meanwhile. Returns the
    /// certificates of the peer, too, if they are not acceptable.
    pub(crate) fn collect<T>(&self, f: impl FnOnce() -> T) -> (T, Option<Vec<Vec<u8>>>) {
        let mut wanted = Reports::default();
        if let Some(rare) = &*self.rare.borrow() {
            wanted.wants_keys = !rare.on_key_log.is_empty();
            wanted.wants_sessions = !rare.on_session.is_empty();
        }
        let (result, Reports { mut keys, mut sessions, rejected, .. }) =
            reports::collect(wanted, f);
        if !keys.is_empty() || !sessions.is_empty() {
            self.change(|rare| {
                rare.keys.append(&mut keys);
                rare.sessions.append(&mut sessions);
            });
        }
        let rejected = rejected.map(|rejected| {
            self.change(|rare| rare.unauthorized = Some(of_rustls(rejected.error)));
            rejected.chain
        });
        (result, rejected)
    }

    /// Returns whether there are listeners whose events can occur after the handshake.
    pub(crate) fn listens(&self) -> bool {
        self.listens.get()
    }

    /// A handshake has resumed a session, in which rustls does not verify the certificates again.
    pub(crate) fn resumed(&self, chain: &[Vec<u8>]) {
        let recheck = self.rare.borrow().as_ref().and_then(|rare| rare.recheck.clone());
        if let Some(Err(error)) = recheck.map(|recheck| recheck(chain)) {
            self.change(|rare| rare.unauthorized = Some(of_rustls(error)));
        }
    }

    pub(crate) fn unauthorized(&self) -> Option<Error> {
        self.rare.borrow().as_ref()?.unauthorized.clone()
    }

    pub(crate) fn emit_keys(&self, socket: &Socket) {
        if !self.listens() {
            return;
        }
        let (keys, listeners) =
            self.change(|rare| (std::mem::take(&mut rare.keys), rare.on_key_log.clone()));
        for line in keys {
            for listener in listeners.iter().filter(|_| !socket.is_destroyed()) {
                listener(socket, &line);
            }
        }
    }

    pub(crate) fn emit_sessions(&self, socket: &Socket) {
        if !self.listens() {
            return;
        }
        let (sessions, listeners) =
            self.change(|rare| (std::mem::take(&mut rare.sessions), rare.on_session.clone()));
        for session in sessions {
            for listener in listeners.iter().filter(|_| !socket.is_destroyed()) {
                listener(socket, session.clone());
            }
        }
    }

    /// Drops the listeners.
    pub(crate) fn clear(&self) {
        self.listens.set(false);
        let listeners = self.rare.borrow_mut().as_mut().map(|rare| {
            rare.recheck = None;
            (std::mem::take(&mut rare.on_key_log), std::mem::take(&mut rare.on_session))
        });
        drop(listeners);
    }
}
