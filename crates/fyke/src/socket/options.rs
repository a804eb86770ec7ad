//! Options that can be changed while the socket exists.

use super::Socket;
use crate::socket_options::SocketOptions;

/// # Making
impl SocketOptions {
    /// Makes the socket. Node: `new net.Socket(options)`.
    pub fn build(self) -> Socket {
        Socket::with_options(&self)
    }
}

/// # Options
impl Socket {
    /// Whether the socket stays writable after the peer has ended.
    pub fn allow_half_open(&self) -> bool {
        self.inner.state.borrow().half_open
    }

    /// Decides whether the socket stays writable after the peer has ended. Counts until the
    /// `end` listeners have run (END-20).
    pub fn set_allow_half_open(&self, allow: bool) {
        self.inner.state.borrow_mut().change().half_open = allow;
    }

    /// Keeps the loop alive while this socket reads (the default). Node: `socket.ref()`.
    #[doc(alias = "ref")]
    pub fn ref_loop(&self) -> &Self {
        self.set_referred(true)
    }

    /// Lets the loop end though this socket is open, except while it connects or writes. Node: `socket.unref()`.
    #[doc(alias = "unref")]
    pub fn unref_loop(&self) -> &Self {
        self.set_referred(false)
    }

    fn set_referred(&self, referred: bool) -> &Self {
        self.inner.state.borrow_mut().change().referred = referred;
        self.sync();
        self
    }
}
