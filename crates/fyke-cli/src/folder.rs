//! A temporary folder that goes when it is dropped.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

pub(crate) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut number = 0;
        loop {
            let name = format!("fyke-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match private().create(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left by a process that had our number once, or put there by somebody else.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Failure::System("a temporary folder", error)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Nobody else may connect to the sockets in it.
#[cfg(unix)]
fn private() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt;

    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
fn private() -> DirBuilder {
    DirBuilder::new()
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // With what a server may have left behind. If it cannot be removed, nothing is lost.
        let _ = fs::remove_dir_all(&self.path);
    }
}
