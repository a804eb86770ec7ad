//! The files of Unix sockets: who bound one removes it, and only that one.

use std::io;
use std::path::{Path, PathBuf};

use super::system;

/// The file that a bind made, recognised by device and inode.
#[derive(Debug)]
pub(super) struct BoundFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl BoundFile {
    pub(super) fn new(path: &Path) -> Option<Self> {
        let identity = system::file_identity(path)?;
        Some(Self { path: path.to_owned(), identity })
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        system::set_mode(&self.path, mode)
    }

    /// Removes the file; if something else is there by now it is not ours (IPC-04).
    pub(super) fn unlink(&self) {
        if system::file_identity(&self.path) == Some(self.identity) {
            system::unlink(&self.path);
        }
    }
}
