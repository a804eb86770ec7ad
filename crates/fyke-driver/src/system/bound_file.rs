//! The files of Unix sockets: who bound one removes it, and only that one.

use std::io;
use std::path::{Path, PathBuf};

/// The file that a bind made, recognised by device and inode.
#[derive(Debug)]
pub(crate) struct BoundFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl BoundFile {
    pub(super) fn new(path: &Path) -> Option<Self> {
        let identity = super::file_identity(path)?;
        Some(Self { path: path.to_owned(), identity })
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        super::set_mode(&self.path, mode)
    }

    /// Removes the file; if something else is there by now it is not ours (IPC-04).
    pub(crate) fn unlink(&self) {
        if super::file_identity(&self.path) == Some(self.identity) {
            super::unlink(&self.path);
        }
    }
}
