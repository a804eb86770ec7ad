//! A connection of either kind.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::arguments::Target;

/// One address has about 28,000 ports for outgoing connections; this many addresses share them.
const SOURCE_ADDRESSES: u32 = 250;

pub(crate) trait Connection: Read + Write + Source + Send {}
impl<T: Read + Write + Source + Send> Connection for T {}

/// A connected, blocking stream. `index` selects its local address.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn connect(target: &Target, index: usize) -> io::Result<Self> {
        let port = match target {
            Target::Port(port) => *port,
            Target::Path(path) => return Ok(Self::Unix(UnixStream::connect(path)?)),
        };
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        let number = u32::try_from(index).unwrap_or(0) % SOURCE_ADDRESSES;
        let first = u32::from(Ipv4Addr::new(127, 0, 1, 1));
        bind(&fd, &SocketAddrV4::new(Ipv4Addr::from(first + number), 0))?;
        connect(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// The same stream, non-blocking, in a poll.
    pub(crate) fn register(
        self,
        registry: &Registry,
        token: usize,
    ) -> io::Result<Box<dyn Connection>> {
        let mut connection: Box<dyn Connection> = match self {
            Self::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Box::new(mio::net::TcpStream::from_std(stream))
            }
            Self::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Box::new(mio::net::UnixStream::from_std(stream))
            }
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut connection, Token(token), interest)?;
        Ok(connection)
    }

    /// The same stream twice, for two threads.
    pub(crate) fn halves(self) -> io::Result<(Self, Self)> {
        Ok(match self {
            Self::Tcp(stream) => (Self::Tcp(stream.try_clone()?), Self::Tcp(stream)),
            Self::Unix(stream) => (Self::Unix(stream.try_clone()?), Self::Unix(stream)),
        })
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    pub(crate) fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.read_exact(buffer),
            Self::Unix(stream) => stream.read_exact(buffer),
        }
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Returns whether the call would have blocked.
pub(crate) fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
