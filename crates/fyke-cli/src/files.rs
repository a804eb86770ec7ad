//! The files that the command writes. They are always new files: a symbolic link is never followed,
//! and an existing file is only replaced with `--overwrite`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::failure::Failure;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Owner,
    /// What the umask allows.
    Usual,
}

/// Creates a file. An existing file is refused, or removed if `overwrite` is set: it is not
/// truncated, so a process that has the old file open, or a hard link to it, does not see the new
/// content. Character devices such as `/dev/null` are opened as they are.
pub(crate) fn create(path: &Path, overwrite: bool, access: Access) -> Result<File, Failure> {
    let failed = |error| failure("cannot write", path, error);
    let refuse = |why: &str| Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, why)));
    let mut options = OpenOptions::new();
    options.write(true);
    options.custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default());
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(found) if found.file_type().is_char_device() => {
            let file = options.open(path).map_err(failed)?;
            // The path may have been replaced since it was looked at.
            let is_device = file.metadata().is_ok_and(|found| found.file_type().is_char_device());
            return if is_device { Ok(file) } else { refuse("it is not a file") };
        }
        Ok(found) if found.is_symlink() => return refuse("it is a symbolic link"),
        Ok(found) if !found.is_file() => return refuse("it is not a file"),
        Ok(_) if !overwrite => return refuse("it exists; --overwrite replaces it"),
        Ok(_) => fs::remove_file(path).map_err(failed)?,
    }
    let mode = if access == Access::Owner { 0o600 } else { 0o666 };
    options.create_new(true).mode(mode).open(path).map_err(failed)
}

pub(crate) fn failure(what: &str, path: &Path, error: io::Error) -> Failure {
    Failure::File(format!("{what} {}", path.display()), error)
}

/// The file of a result. It is created before the run, so that an unusable path is reported at
/// once, and removed if there is no result.
pub(crate) struct ResultFile {
    path: PathBuf,
    file: File,
    is_written: bool,
}

impl ResultFile {
    pub(crate) fn create(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        let file = create(path, overwrite, Access::Usual)?;
        Ok(Self { path: path.to_owned(), file, is_written: false })
    }

    pub(crate) fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        self.is_written = written.is_ok();
        written.map_err(|error| failure("cannot write", &self.path, error))
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        // A device stays.
        let made = self.file.metadata().is_ok_and(|found| found.is_file());
        if made && !self.is_written {
            // It may have been removed already.
            let _ = fs::remove_file(&self.path);
        }
    }
}
