//! What only a loop with Node's manners does.

mod connecting;

use fyke_machine::error::MakeError;

use super::Socket;
use super::attempts::Connecting;
use crate::{Decoder, Error, ErrorCode};

impl Socket {
    /// Node counts what is kept by the UTF-16 units of its text, once there is an encoding (RD-16).
    pub(super) fn stored_units(&self) -> Option<usize> {
        let state = self.inner.state.borrow();
        let (encoding, _) = state.rare_if_any()?.decoder.as_ref()?;
        let mut text = String::new();
        Decoder::new(*encoding).decode(&state.read.copy_stored(), &mut text);
        Some(text.encode_utf16().count())
    }

    /// One of several attempts is cancelled by `destroy`, and Node tells it as failed.
    pub(super) fn remember_cancelled_attempt(&self, attempts: &Connecting) {
        let told = self.policy().tells_cancelled_attempt && attempts.several();
        let target = attempts.running_target().filter(|_| told);
        if let Some(target) = target {
            self.inner.state.borrow_mut().rare().cancelled_attempt = Some(Box::new(target.clone()));
        }
    }

    pub(super) fn tell_cancelled_attempt(&self) {
        let target = {
            let mut state = self.inner.state.borrow_mut();
            state.rare_if_any_mut().and_then(|rare| rare.cancelled_attempt.take())
        };
        if let Some(target) = target.map(|target| *target) {
            let error = Error::named(ErrorCode::ECANCELED, "connect").at(target.clone(), true);
            self.emit_attempt_failed(&target, &error);
        }
    }
}
