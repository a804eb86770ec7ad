//! The files of Unix sockets: the socket that bound a file removes it, and no other file.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

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

    /// Sets the mode of the file to exactly this value, whatever the umask.
    ///
    /// # Errors
    /// The error of the system; ENOENT if the path now names another file. In a folder that others can
    /// write to, another process may have created a link to another file there.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        match super::file_identity(&self.path) == Some(self.identity) {
            true => change_mode(&self.path, self.identity, mode),
            false => Err(Errno::NOENT.into()),
        }
    }

    /// Removes the file, unless the path now names another one.
    // IPC-04.
    pub(crate) fn unlink(&self) {
        if super::file_identity(&self.path) == Some(self.identity) {
            super::unlink(&self.path);
        }
    }
}

/// Sets the mode of the file of a bound socket; does nothing for a socket without a file.
pub(crate) fn set_mode(
    _: std::os::fd::BorrowedFd<'_>,
    file: Option<&BoundFile>,
    mode: u32,
) -> io::Result<()> {
    file.map_or(Ok(()), |file| file.set_mode(mode))
}

/// Creates the file of the next bind of `socket` without permissions, so that no process can connect
/// before its mode is set: Linux takes the mode of the file from the socket (`unix_bind_bsd` in
/// net/unix/af_unix.c). So the file is never open to more processes than its mode allows.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn close_to_all(socket: std::os::fd::BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fchmod(socket, rustix::fs::Mode::empty())
}

/// Elsewhere a socket has no mode, and the umask applies until the mode is set.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn close_to_all(_: std::os::fd::BorrowedFd<'_>) -> Result<(), Errno> {
    Ok(())
}

/// Checks the file that it changes: the file is opened without following a link and without any right
/// except to name it, and must be the one that the bind created, which is a socket without any
/// permission bits.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn change_mode(path: &Path, identity: (u64, u64), mode: u32) -> io::Result<()> {
    use std::fs::{File, Permissions};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    let ours = (found.dev(), found.ino()) == identity
        && found.file_type().is_socket()
        && found.mode() & 0o777 == 0;
    if !ours {
        return Err(Errno::NOENT.into());
    }
    // fchmod(2) refuses such a descriptor; its name in /proc can be used (open(2), O_PATH).
    std::fs::set_permissions(
        format!("/proc/self/fd/{}", file.as_raw_fd()),
        Permissions::from_mode(mode),
    )
}

/// Changes a link itself and not the file that it refers to.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn change_mode(path: &Path, _: (u64, u64), mode: u32) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Mode, RawMode, chmodat};

    let mode = RawMode::try_from(mode).map_err(|_| Errno::INVAL)?;
    Ok(chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::SYMLINK_NOFOLLOW)?)
}
