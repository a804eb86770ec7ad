//! A temporary folder that is removed when it is dropped.

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
                // The folder belongs to an earlier process with our id, or to another user.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(Failure::System("cannot create a temporary folder", error));
                }
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Other users must not be able to connect to the sockets in the folder.
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
        // Also removes files that a server left behind. A failure has no consequences.
        let _ = fs::remove_dir_all(&self.path);
    }
}
