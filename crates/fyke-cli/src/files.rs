//! The files that the command writes. They are always new files: a symbolic link is never followed,
//! and an existing file is only replaced with `--overwrite`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::failure::Failure;

/// The permissions of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Owner,
    /// The permissions that the umask allows.
    Usual,
}

/// A new file. It is created before there is anything to write, so that an unusable path is
/// reported at once. It is removed again unless it is [kept](Self::keep).
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
    /// The temporary name until the file is kept, if it replaces another file.
    temporary: Option<PathBuf>,
    is_kept: bool,
}

impl NewFile {
    /// Creates the file. An existing file is refused, or if `overwrite` is set, replaced when the
    /// new one is kept. It is not truncated, so a process that has the old file open, or a hard
    /// link to it, does not see the new content. Character devices such as `/dev/null` are opened
    /// as they are.
    pub(crate) fn create(path: &Path, overwrite: bool, access: Access) -> Result<Self, Failure> {
        Self::try_create(path, overwrite, access)
            .map_err(|error| failure("cannot write", path, error))
    }

    fn try_create(path: &Path, overwrite: bool, access: Access) -> io::Result<Self> {
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        let mut options = OpenOptions::new();
        options.write(true);
        options.custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default());
        let temporary = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
            Ok(found) if found.file_type().is_char_device() => {
                let file = options.open(path)?;
                // The path may have been replaced since it was looked at.
                if !file.metadata()?.file_type().is_char_device() {
                    return refuse("the path is not a regular file");
                }
                return Ok(Self { file, path: path.to_owned(), temporary: None, is_kept: true });
            }
            Ok(found) if found.is_symlink() => return refuse("the path is a symbolic link"),
            Ok(found) if !found.is_file() => return refuse("the path is not a regular file"),
            Ok(_) if !overwrite => return refuse("the file exists; --overwrite replaces it"),
            Ok(_) => Some(temporary_name(path)),
        };
        let mode = if access == Access::Owner { 0o600 } else { 0o666 };
        let created = temporary.as_deref().unwrap_or(path);
        let file = options.create_new(true).mode(mode).open(created)?;
        Ok(Self { file, path: path.to_owned(), temporary, is_kept: false })
    }

    /// Gives the file its final name, and keeps it when this value is dropped.
    pub(crate) fn keep(&mut self) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path)?;
            self.temporary = None;
        }
        self.is_kept = true;
        Ok(())
    }

    /// Writes the whole content and keeps the file.
    pub(crate) fn write_and_keep(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.keep());
        written.map_err(|error| failure("cannot write", &self.path, error))
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // The file may have been removed already.
            let _ = fs::remove_file(self.temporary.as_deref().unwrap_or(&self.path));
        }
    }
}

/// The temporary file is in the same folder, so that it can be renamed.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

pub(crate) fn failure(what: &str, path: &Path, error: io::Error) -> Failure {
    Failure::File(format!("{what} {}", path.display()), error)
}
