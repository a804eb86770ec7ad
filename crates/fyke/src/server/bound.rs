//! Servers over sockets that are bound already (FD-08, BND-04, BND-05).

use std::rc::Rc;

use super::options::BACKLOG;
use super::{Event, Server};
use crate::{BoundSocket, Error, ErrorCode, NotAdopted, Result};
use fyke_machine::error::MakeError;

impl Server {
    /// Listens on a socket that is bound already, and keeps its address. Listening at once; the
    /// event comes on the tick, or an `error` with the syscall `listen` and the bound address if
    /// another one listens there by now: then the bound socket is used up, and the server may
    /// listen again. Its [`backlog`](BoundSocket::backlog) and [`signal`](BoundSocket::signal)
    /// count. Closing removes the file of a Unix socket. Node: `server.listen(boundSocket)`.
    ///
    /// # Errors
    /// Hands the bound socket back, as it was: with `ERR_SERVER_ALREADY_LISTEN`, with
    /// `ERR_INVALID_ARG_VALUE` if it is of another loop than the server, with
    /// `ERR_EVENT_LOOP_CLOSED` if their loop is gone.
    #[doc(alias = "listen")]
    pub fn listen_bound(&self, bound: BoundSocket) -> Result<(), NotAdopted> {
        self.listen_bound_then(bound, |_| {})
    }

    /// Listens on a socket that is bound already, as [`listen_bound`](Self::listen_bound) does, and runs
    /// `f` once, when it listens.
    ///
    /// # Errors
    /// Those of [`listen_bound`](Self::listen_bound); `f` is dropped then.
    pub fn listen_bound_then(
        &self,
        mut bound: BoundSocket,
        f: impl FnOnce(&Server) + 'static,
    ) -> Result<(), NotAdopted> {
        if let Err(error) = self.check_can_listen(&bound) {
            return Err(NotAdopted::new(error, bound));
        }
        let Some(id) = bound.take() else { return Ok(()) };
        let core = Rc::clone(bound.core());
        self.once(Event::Listening, f);
        let round = self.next_round();
        if let Some(signal) = bound.signal.take() {
            self.watch_signal(&signal, round);
        }
        let backlog = if bound.backlog == 0 { BACKLOG } else { bound.backlog };
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let wishes = self.inner.state.borrow().options.socket.wishes;
        wishes.size_buffers_of(&core.driver, id);
        self.share_options(&core, id);
        let listening = core.driver.listen(id, backlog).and_then(|()| core.driver.accept_start(id));
        let address = bound.address().clone();
        match listening {
            Ok(()) => self.listens(round, id, Some(address)),
            Err(source) => {
                core.close(id);
                let error = Error::system("listen", source).at(address, core.policy.words_as_node);
                self.fail_later(error);
            }
        }
        Ok(())
    }

    fn check_can_listen(&self, bound: &BoundSocket) -> Result<()> {
        if self.inner.core.get().is_none() {
            self.join(Rc::clone(bound.core()));
        }
        bound.core().check_open()?;
        if !self.core().is_some_and(|core| Rc::ptr_eq(core, bound.core())) {
            let message = "the bound socket belongs to another event loop";
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        }
        self.check_not_listening()
    }
}
