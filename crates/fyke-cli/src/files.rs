//! The files that the command writes: made anew, never through a symbolic link, and never in place
//! of another one without `--overwrite`.

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
    /// As the mask has it.
    Usual,
}

/// Makes a new file. One that exists is refused, or with `overwrite` removed, so that nobody who has
/// it open, or another name for it, gets what is written now. Devices (`/dev/null`) are opened as
/// they are.
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
            // It may have been replaced meanwhile.
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

/// The file of a result. It is made before there is one, so that what is wrong with it shows at
/// once, and removed again if none comes.
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
            // If it is gone already, all the better.
            let _ = fs::remove_file(&self.path);
        }
    }
}
