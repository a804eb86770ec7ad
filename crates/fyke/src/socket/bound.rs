//! Clients over sockets that are bound already, and not connected yet (BND-07 … BND-11, FD-01).

use fyke_driver::{Address, SocketId};

use super::{Socket, State};
use crate::connect::ConnectOptions;
use crate::socket_options::SocketOptions;
use crate::{BoundSocket, Error, ErrorCode, Result};

/// # Adopting a bound socket
impl Socket {
    /// A socket whose own end is bound already: [`local_address`](Self::local_address) is known,
    /// and [`connect`](Self::connect) comes from there. Until then it is pending, reads nothing,
    /// and fails with `EPIPE` when it is written to; destroying it, or dropping the last handle,
    /// frees the address. One connection uses it up: the next `connect` of the same socket is
    /// an ordinary one. Node: `new net.Socket({ handle: boundSocket })`.
    ///
    /// Of a host with several addresses only the first is tried. See [`BoundSocket`] for an
    /// example.
    pub fn from_bound(bound: BoundSocket) -> Self {
        SocketOptions::new().build_from_bound(bound)
    }

    pub(super) fn with_bound(options: &SocketOptions, bound: BoundSocket) -> Self {
        let core = bound.core().clone();
        let mut state = State::new(options);
        state.keeps_listeners = true;
        state.change().unix = bound.is_unix();
        state.change().bound = true;
        state.rare().bound = Some(bound);
        let socket = Self::from_state(state);
        socket.join(core);
        socket.watch_signal(options);
        socket
    }

    /// Our end's address, also of a Unix socket if it is bound to one: none of those that were
    /// made by `connect` or accepted is (IPC-03). Kept after `close`. Node: `socket.address()`.
    pub fn address(&self) -> Option<Address> {
        let known = {
            let state = self.inner.state.borrow();
            state.rare_if_any().and_then(|rare| {
                let bound = rare.bound.as_ref().map(BoundSocket::address);
                rare.local.as_ref().or(bound).filter(|address| address.is_unix()).cloned()
            })
        };
        let known = known.filter(|address| *address != Address::Unnamed);
        known.or_else(|| self.local_address().map(Address::Ip))
    }

    /// What a connect of a bound socket may not ask for (BND-08, BND-11).
    pub(super) fn check_bound(&self, options: &ConnectOptions) -> Result<()> {
        let unix = {
            let state = self.inner.state.borrow();
            let bound = state.rare_if_any().and_then(|rare| rare.bound.as_ref());
            bound.map(BoundSocket::is_unix)
        };
        let Some(unix) = unix else { return Ok(()) };
        if unix != options.endpoint.is_unix() {
            let message = "the socket is bound to an address of another kind";
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_TYPE, message));
        }
        if options.local_address.is_some() || options.local_port != 0 {
            let message = "the socket is bound already: it takes no other address or port";
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        }
        Ok(())
    }

    /// Where this socket is bound, if it is and no attempt has used it yet.
    pub(super) fn bound_address(&self) -> Option<Address> {
        let state = self.inner.state.borrow();
        Some(state.rare_if_any()?.bound.as_ref()?.address().clone())
    }

    /// For the attempt that begins: the bound socket, which is in the attempt's hands now.
    pub(super) fn take_bound(&self) -> Option<SocketId> {
        let mut bound = {
            let mut state = self.inner.state.borrow_mut();
            let rare = state.rare_if_any_mut()?;
            let bound = rare.bound.take()?;
            if bound.is_unix() {
                // The system would tell, but not any more after `close` (BND-10).
                rare.local = Some(bound.address().clone());
            }
            state.change().bound = false;
            bound
        };
        bound.take()
    }

    /// The socket is destroyed: frees the address.
    pub(super) fn drop_bound(&self) {
        let bound = {
            let mut state = self.inner.state.borrow_mut();
            state.rare_if_any_mut().and_then(|rare| rare.bound.take())
        };
        drop(bound);
    }
}

impl SocketOptions {
    /// Makes a socket with these options whose own end is bound already, see
    /// [`Socket::from_bound`]. Node: `new net.Socket({ handle: boundSocket, … })`.
    pub fn build_from_bound(self, bound: BoundSocket) -> Socket {
        Socket::with_bound(&self, bound)
    }
}
