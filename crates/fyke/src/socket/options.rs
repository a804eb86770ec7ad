//! Options that can change during the life of a socket.

use super::Socket;
use crate::socket_options::SocketOptions;

/// # Making
impl SocketOptions {
    /// Makes a socket with these options that is not connected. Node: `new net.Socket(options)`.
    pub fn build(self) -> Socket {
        Socket::with_options(&self)
    }
}

/// # Options
impl Socket {
    /// Returns whether the socket stays writable after the peer has ended. Default false. Node:
    /// `allowHalfOpen`.
    pub fn allow_half_open(&self) -> bool {
        self.inner.state.borrow().half_open
    }

    /// Sets whether the socket stays writable after the peer has ended. It can be changed until the `end`
    /// listeners have run. Node: `allowHalfOpen`.
    // END-20
    pub fn set_allow_half_open(&self, allow: bool) {
        self.inner.state.borrow_mut().change().half_open = allow;
    }

    /// Makes this socket keep the loop alive while it reads (the default). Node: `socket.ref()`.
    #[doc(alias = "ref")]
    pub fn ref_loop(&self) -> &Self {
        self.set_referred(true)
    }

    /// Allows the loop to end while this socket is open, except while it connects or writes. Node:
    /// `socket.unref()`.
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
