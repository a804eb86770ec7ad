//! Handing a listener over to another process, or to the loop of another thread.
// IPC-17, PROC-18

use std::os::fd::OwnedFd;

use super::Server;
use crate::wiring::Core;
use crate::{Error, Result};
use fyke_machine::error::MakeError;

/// # Handing over
impl Server {
    /// Returns the listener's descriptor, for [`listen_fd`](Self::listen_fd) in another loop or process.
    /// This server stops listening without an event; its connections stay open.
    ///
    /// All connections for which no `connection` event was emitted yet go along with the descriptor, on
    /// every driver: none is refused or reset. The file of a Unix socket is not removed. The descriptor
    /// stays non-blocking. No counterpart in Node.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| unreachable!("the other server accepts"));
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let port = server.port();
    ///         let fd = server.take_fd().unwrap();
    ///         assert!(!server.is_listening());
    ///         let other = fyke::create_server(|_| {});
    ///         other.listen_fd(fd).unwrap();
    ///         assert_eq!(other.port(), port);
    ///         other.close();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server keeps listening. `ERR_SERVER_NOT_RUNNING` if it is not listening; `ENOTSUP` in the
    /// simulated network.
    pub fn take_fd(&self) -> Result<OwnedFd> {
        let fd = self.with_listener(Core::detach)?;
        self.give_up_lookup();
        // Declared first, so that it is dropped last, while nothing is borrowed.
        let _origin;
        let signal = {
            let mut state = self.inner.state.borrow_mut();
            state.acceptor.stop();
            state.listener = None;
            state.address = None;
            _origin = state.origin.take();
            state.signal.take()
        };
        if let Some(signal) = signal {
            signal.forget(self.place());
        }
        self.sync_hold();
        Ok(fd)
    }

    /// Returns another descriptor for the same listener, for [`listen_fd`](Self::listen_fd) in another loop
    /// or process.
    ///
    /// Both then listen, and the system gives each connection to one of them. Closing one does not stop the
    /// other. Closing this server still removes the file of a Unix socket; to keep the file, use
    /// [`take_fd`](Self::take_fd). Node: sending a server to another process.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         // Or in another process, which gets the descriptor as its standard input.
    ///         let other = fyke::create_server(|_| {});
    ///         other.listen_fd(server.duplicate_fd().unwrap()).unwrap();
    ///         assert_eq!(server.address(), other.address());
    ///         server.close();
    ///         other.close();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ERR_SERVER_NOT_RUNNING` if the server is not listening; the system's error, such as `EMFILE`, with
    /// the syscall `dup`; `ENOTSUP` in the simulated network.
    pub fn duplicate_fd(&self) -> Result<OwnedFd> {
        self.with_listener(|core, listener| core.driver.duplicate(listener))
    }

    fn with_listener(
        &self,
        call: impl FnOnce(&Core, fyke_driver::SocketId) -> std::io::Result<OwnedFd>,
    ) -> Result<OwnedFd> {
        let listener = self.inner.state.borrow().listener;
        let (Some(core), Some(listener)) = (self.core(), listener) else {
            return Err(Self::not_running());
        };
        call(core, listener).map_err(|source| Error::system("dup", source))
    }
}
