//! Client sockets that are already bound, but not connected yet.
// BND-07 … BND-11, FD-01

use fyke_driver::{Address, SocketId};

use super::{Socket, State};
use crate::connect::ConnectOptions;
use crate::socket_options::SocketOptions;
use crate::{BoundSocket, Error, ErrorCode, Result};

/// # Adopting a bound socket
impl Socket {
    /// Makes a socket that is already bound to a local address.
    ///
    /// [`local_address`](Self::local_address) returns that address, and [`connect`](Self::connect) connects
    /// from it. Until then the socket is pending: it reads nothing, and a write fails with `EPIPE`.
    /// Destroying the socket, or dropping its last handle, frees the address. The first `connect` consumes
    /// the bound socket; the next `connect` of the same socket is an ordinary one. If the host has several
    /// addresses, only the first one is tried. See [`BoundSocket`] for an example. Node:
    /// `new net.Socket({ handle: boundSocket })`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?;
    ///     let port = bound.address().port();
    ///     let client = fyke::Socket::from_bound(bound);
    ///     assert_eq!(client.local_address().map(|address| address.port()), port);
    ///     Ok(())
    /// })
    /// # }
    /// ```
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

    /// Returns the local address. Unlike [`local_address`](Self::local_address), this includes the address
    /// of a Unix socket that was bound; Unix sockets made by `connect` or accepted by a server have none.
    /// The address is kept after `close`. Node: `socket.address()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     # if cfg!(target_os = "linux") {
    ///     let bound = fyke::BoundSocket::bind("abstract:fyke-example")?;
    ///     let client = fyke::Socket::from_bound(bound);
    ///     assert_eq!(client.address().unwrap().to_string(), "abstract:fyke-example");
    ///     assert_eq!(client.local_address(), None, "it has no IP address");
    ///     # }
    ///     Ok(())
    /// })
    /// # }
    /// ```
    // IPC-03
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

    /// Returns an error if the options ask for something that a bound socket cannot do.
    // BND-08, BND-11
    pub(super) fn check_bound(&self, options: &ConnectOptions) -> Result<()> {
        let unix = {
            let state = self.inner.state.borrow();
            let bound = state.rare_if_any().and_then(|rare| rare.bound.as_ref());
            bound.map(BoundSocket::is_unix)
        };
        let Some(unix) = unix else { return Ok(()) };
        if unix != options.endpoint.is_unix() {
            let message =
                "the socket is bound to an address of another kind than the endpoint (TCP or Unix)";
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_TYPE, message));
        }
        if options.local_address.is_some() || options.local_port != 0 {
            let message =
                "the socket is already bound, so local_address and local_port cannot be set";
            return Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        }
        Ok(())
    }

    /// Returns the address to which this socket is bound, unless an attempt has already used it.
    pub(super) fn bound_address(&self) -> Option<Address> {
        let state = self.inner.state.borrow();
        Some(state.rare_if_any()?.bound.as_ref()?.address().clone())
    }

    /// Takes the bound socket for the attempt that begins. The attempt owns it from now on.
    pub(super) fn take_bound(&self) -> Option<SocketId> {
        let mut bound = {
            let mut state = self.inner.state.borrow_mut();
            let rare = state.rare_if_any_mut()?;
            let bound = rare.bound.take()?;
            if bound.is_unix() {
                // The system could report it, but not after `close` (BND-10).
                rare.local = Some(bound.address().clone());
            }
            state.change().bound = false;
            bound
        };
        bound.take()
    }

    /// Frees the bound address, because the socket is destroyed.
    pub(super) fn drop_bound(&self) {
        let bound = {
            let mut state = self.inner.state.borrow_mut();
            state.rare_if_any_mut().and_then(|rare| rare.bound.take())
        };
        drop(bound);
    }
}

impl SocketOptions {
    /// Makes a socket with these options that is already bound to a local address, see
    /// [`Socket::from_bound`]. Node: `new net.Socket({ handle: boundSocket, … })`.
    pub fn build_from_bound(self, bound: BoundSocket) -> Socket {
        Socket::with_bound(&self, bound)
    }
}
