//! The addresses of a connection. They are known from `connect` on, and kept after `close` until the socket
//! connects again.
// PROP-08, PROP-09

use std::net::{IpAddr, SocketAddr};

use fyke_driver::{Address, PeerCredentials};

use super::Socket;
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// # Addresses
impl Socket {
    /// Returns the peer's address. `None` on a Unix socket, and before the connection is established. The
    /// address is kept after `close`. Node: `remoteAddress`, `remotePort`, `remoteFamily`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         let asked = server.port();
    ///         client.once_connect(move |client| {
    ///             assert_eq!(client.remote_address().map(|address| address.port()), asked);
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias("remoteAddress", "remotePort", "remoteFamily"))]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        let asks = self.policy().asks_for_addresses;
        if asks {
            self.ask_peer();
        } else {
            self.capture_accepted_peer();
        }
        let state = self.inner.state.borrow();
        state.peer().filter(|_| state.peer_was_asked() || !asks)
    }

    /// Asks the system for the peer's address when the user asks for it, and remembers the answer.
    fn ask_peer(&self) {
        let id = {
            let state = self.inner.state.borrow();
            state.connected().filter(|_| !state.peer_was_asked())
        };
        let (Some(core), Some(id)) = (self.core(), id) else { return };
        if let Ok(address) = core.driver.peer_address(id) {
            let mut state = self.inner.state.borrow_mut();
            state.rare().peer_was_asked = true;
            state.set_peer(address.ip());
        }
    }

    /// Returns the local address. `None` on a Unix socket, and before the connection is established, unless
    /// the socket is bound. The address is kept after `close`. Node: `localAddress`, `localPort`,
    /// `localFamily`, `address()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         let peer = socket.remote_address();
    ///         socket.end_with(peer.unwrap().to_string());
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|client, text| {
    ///             // The server sees the address that is local here.
    ///             assert_eq!(client.local_address().unwrap().to_string(), text);
    ///         });
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias("localAddress", "localPort", "localFamily", "address"))]
    pub fn local_address(&self) -> Option<SocketAddr> {
        if self.policy().asks_for_addresses && self.is_destroyed() {
            return None;
        }
        let (id, kept) = {
            let state = self.inner.state.borrow();
            let kept = state.rare_if_any().and_then(|rare| {
                rare.local.as_ref().or_else(|| Some(rare.bound.as_ref()?.address()))
            });
            // An attempt that is bound has its address before the connection is established.
            let attempt = || state.rare_if_any()?.connecting.as_ref()?.ids().next();
            // On an exact loop, a socket that is connected may connect again (CON-18).
            let kept = kept.and_then(Address::ip).or_else(|| state.shared_local());
            (state.id.or_else(attempt), kept)
        };
        // An attempt that is not bound has port 0, which means that it has no address yet.
        let asked = || self.core()?.driver.local_address(id?).ok()?.ip();
        kept.or_else(asked).filter(|address| address.port() != 0)
    }

    /// Returns the addresses that were tried, in order, if the host has several. Node:
    /// `autoSelectFamilyAttemptedAddresses`.
    ///
    /// ```
    /// use fyke::ConnectOptions;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let options = ConnectOptions::new(("my.test", 1)).lookup(|_, reply| {
    ///         let addresses = ["127.0.0.1", "127.0.0.2"].map(|address| address.parse().unwrap());
    ///         reply.answer(Ok(addresses.to_vec()));
    ///     });
    ///     let client = options.connect()?;
    ///     client.on_error(|client, error| {
    ///         assert!(client.has_several_addresses());
    ///         assert_eq!(client.attempted_addresses().len(), 2);
    ///         assert_eq!(error.attempts().len(), 2);
    ///     });
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "autoSelectFamilyAttemptedAddresses")]
    pub fn attempted_addresses(&self) -> Vec<SocketAddr> {
        let state = self.inner.state.borrow();
        state.rare_if_any().and_then(|rare| rare.attempted.clone()).unwrap_or_default()
    }

    /// Returns whether the host name resolved to several addresses. If so,
    /// [`attempted_addresses`](Self::attempted_addresses) lists the attempts; the list is empty if no
    /// address was tried yet, for example because a [`BlockList`](crate::BlockList) contains all of them.
    /// The value is kept after `close`; a new connect resets it to `false`. Node: whether
    /// `autoSelectFamilyAttemptedAddresses` is defined.
    pub fn has_several_addresses(&self) -> bool {
        let state = self.inner.state.borrow();
        state.rare_if_any().is_some_and(|rare| rare.attempted.is_some())
    }

    /// Returns the process, user and group at the other end of a Unix socket, as verified by the system. No
    /// counterpart in Node.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let (ours, theirs) = UnixStream::pair().unwrap();
    ///     let socket = fyke::Socket::from_fd(ours.into())?;
    ///     # if cfg!(target_os = "linux") {
    ///     assert_eq!(socket.peer_credentials()?.pid, std::process::id() as i32);
    ///     # }
    ///     drop(theirs);
    ///     socket.resume();
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ERR_SOCKET_CLOSED` without a connection; `ENOTSUP` on TCP and on systems other than Linux.
    pub fn peer_credentials(&self) -> Result<PeerCredentials> {
        let id = self.inner.state.borrow().connected();
        let (Some(core), Some(id)) = (self.core(), id) else {
            return Err(Error::new(ErrorCode::ERR_SOCKET_CLOSED, "the socket is not connected"));
        };
        let asked = core.driver.peer_credentials(id);
        asked.map_err(|source| Error::system("getsockopt", source))
    }

    /// Stores the peer's address when the connection is established. It is the address that was connected
    /// to, except that an unspecified one (0.0.0.0) reaches a local address, so the system is asked.
    pub(super) fn capture_peer(&self) {
        let (id, asked) = {
            let state = self.inner.state.borrow();
            (state.connected(), state.peer())
        };
        let (Some(core), Some(id), Some(asked)) = (self.core(), id, asked) else { return };
        let as_asked = match asked.ip() {
            IpAddr::V4(ip) => !ip.is_unspecified(),
            // The system adds the zone of a link-local address.
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_unicast_link_local(),
        };
        if as_asked {
            return;
        }
        let peer = core.driver.peer_address(id).ok().and_then(|address| address.ip());
        self.inner.state.borrow_mut().set_peer(peer.or(Some(asked)));
    }

    /// Asks the system for the address of an accepted peer if the driver has not reported it. This costs a
    /// system call, and is rarely needed.
    pub(super) fn capture_accepted_peer(&self) {
        let id = {
            let state = self.inner.state.borrow();
            state.id.filter(|_| state.has_unasked_peer())
        };
        if let (Some(core), Some(id)) = (self.inner.core.get(), id) {
            let peer = core.driver.accepted_peer(id);
            self.inner.state.borrow_mut().set_peer(peer);
        }
    }

    /// Stores the addresses before the connection ends, because the system forgets them.
    pub(super) fn capture_addresses(&self) {
        self.capture_accepted_peer();
        let known = {
            let state = self.inner.state.borrow();
            // The address of an attempt that failed is not the local address of a connection.
            let none = state.unix || state.connecting() || state.shared_local().is_some();
            let known = |rare: &super::state::Rare<_>| rare.local.is_some() || rare.bound.is_some();
            none || state.rare_if_any().is_some_and(known)
        };
        if known {
            return;
        }
        if let Some(local) = self.local_address() {
            self.inner.state.borrow_mut().rare().local = Some(Address::Ip(local));
        }
    }
}
