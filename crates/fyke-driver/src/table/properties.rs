//! Names, options and credentials of sockets: each is one system call on the descriptor.

use std::io;
use std::time::Duration;

use super::SystemBackend;
use crate::backend::Properties;
use crate::system;
use crate::{Address, KeepAliveProbes, PeerCredentials, SocketId, SocketOption};

impl<B: SystemBackend> Properties for B {
    fn local_address(&self, socket: SocketId) -> io::Result<Address> {
        self.table().with_fd(socket, system::local_address)
    }

    fn peer_address(&self, socket: SocketId) -> io::Result<Address> {
        self.table().with_fd(socket, system::peer_address)
    }

    fn set_option(&self, socket: SocketId, option: SocketOption) -> io::Result<()> {
        self.table().with_fd(socket, |fd| Ok(system::set_option(fd, option)?))
    }

    fn no_delay(&self, socket: SocketId) -> io::Result<bool> {
        self.table().with_fd(socket, |fd| Ok(system::no_delay(fd)?))
    }

    fn keep_alive(&self, socket: SocketId) -> io::Result<Option<KeepAliveProbes>> {
        self.table().with_fd(socket, |fd| Ok(system::keep_alive(fd)?))
    }

    fn user_timeout(&self, socket: SocketId) -> io::Result<Option<Duration>> {
        self.table().with_fd(socket, |fd| Ok(system::user_timeout(fd)?))
    }

    fn buffer_bytes(&self, socket: SocketId) -> io::Result<(usize, usize)> {
        self.table().with_fd(socket, |fd| Ok(system::buffer_bytes(fd)?))
    }

    fn unacknowledged_bytes(&self, socket: SocketId) -> io::Result<usize> {
        self.table().with_fd(socket, |fd| Ok(system::unacknowledged_bytes(fd)?))
    }

    fn type_of_service(&self, socket: SocketId) -> io::Result<u8> {
        self.table().with_fd(socket, |fd| Ok(system::type_of_service(fd)?))
    }

    fn peer_credentials(&self, socket: SocketId) -> io::Result<PeerCredentials> {
        self.table().with_fd(socket, system::peer_credentials)
    }
}
