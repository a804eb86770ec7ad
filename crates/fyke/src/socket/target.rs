//! The memory that a stream reads into.

use std::io;

use fyke_driver::uninit::{Unfilled, copy_into};
use fyke_driver::{Driver, SocketId};

/// Memory that a read fills.
pub(crate) trait Target {
    /// The filled memory, or its length.
    type Filled;

    /// Returns the number of bytes for which there is room.
    fn room(&self) -> usize;

    fn read(self, driver: &Driver, socket: SocketId) -> io::Result<Self::Filled>;

    /// Copies bytes that were received before into the memory, at most as many as there is room for.
    fn copy(self, bytes: &[u8]) -> Self::Filled;

    fn len(filled: &Self::Filled) -> usize;
}

impl<'a> Target for Unfilled<'a> {
    type Filled = &'a mut [u8];

    fn room(&self) -> usize {
        self.len()
    }

    #[inline]
    fn read(self, driver: &Driver, socket: SocketId) -> io::Result<&'a mut [u8]> {
        driver.read_into(socket, self)
    }

    fn copy(self, bytes: &[u8]) -> &'a mut [u8] {
        copy_into(bytes, self)
    }

    fn len(filled: &&'a mut [u8]) -> usize {
        <[u8]>::len(filled)
    }
}

/// Appends to the spare capacity of a vector, which must have some.
impl Target for &mut Vec<u8> {
    type Filled = usize;

    fn room(&self) -> usize {
        self.capacity() - Vec::len(self)
    }

    #[inline]
    fn read(self, driver: &Driver, socket: SocketId) -> io::Result<usize> {
        driver.read_append(socket, self)
    }

    fn copy(self, bytes: &[u8]) -> usize {
        self.extend_from_slice(bytes);
        bytes.len()
    }

    fn len(filled: &usize) -> usize {
        *filled
    }
}
