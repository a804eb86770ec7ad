//! The names of pipes.

use std::os::windows::ffi::OsStrExt;
use std::path::Path;

use windows_sys::Win32::Foundation::ERROR_FILE_NOT_FOUND;

use super::Errno;

/// The name of a pipe, ending with a zero.
#[derive(Clone, Debug)]
pub(super) struct PipeName(Vec<u16>);

/// `\\.\pipe\`, which `\\?\pipe\` is replaced by, because not every call accepts that.
const PREFIX: &str = r"\\.\pipe\";

impl PipeName {
    /// `None` if the path is not in `\\.\pipe\` or `\\?\pipe\`, or names nothing there.
    fn of(path: &Path) -> Option<Self> {
        let is_separator = |unit: u16| unit == u16::from(b'\\') || unit == u16::from(b'/');
        let units: Vec<u16> = path.as_os_str().encode_wide().collect();
        let (prefix, name) = units.split_at_checked(PREFIX.len())?;
        let matches =
            PREFIX.bytes().zip(prefix).enumerate().all(|(index, (wanted, found))| {
                match (wanted, u8::try_from(*found)) {
                    (b'\\', _) => is_separator(*found),
                    (b'.', Ok(b'.' | b'?')) => index == 2,
                    (wanted, Ok(found)) => found.eq_ignore_ascii_case(&wanted),
                    _ => false,
                }
            });
        if !matches || name.is_empty() || name.contains(&0) {
            return None;
        }
        Some(Self(PREFIX.encode_utf16().chain(name.iter().copied()).chain([0]).collect()))
    }

    /// The name to listen at. A path that cannot name a pipe is refused with EACCES, as in libuv, and one with a
    /// NUL with EINVAL, as on other systems.
    pub(super) fn to_bind(path: &Path) -> Result<Self, Errno> {
        Self::of(path).ok_or(if has_nul(path) { Errno::INVAL } else { Errno::ACCESS })
    }

    /// The name to connect to. Fails with ENOTSOCK for a file, and with ENOENT for nothing.
    pub(super) fn to_connect(path: &Path) -> Result<Self, Errno> {
        Self::of(path).ok_or_else(|| match path.exists() {
            _ if has_nul(path) => Errno::INVAL,
            true => Errno::NOTSOCK,
            false => ERROR_FILE_NOT_FOUND.into(),
        })
    }

    pub(super) fn as_ptr(&self) -> *const u16 {
        self.0.as_ptr()
    }
}

fn has_nul(path: &Path) -> bool {
    path.as_os_str().encode_wide().any(|unit| unit == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> Option<String> {
        PipeName::of(Path::new(path)).map(|name| String::from_utf16(&name.0).unwrap())
    }

    #[test]
    fn both_forms_of_a_pipe_name_are_one() {
        for path in [r"\\.\pipe\Some\Name", r"\\?\pipe\Some\Name", r"//./PIPE/Some\Name"] {
            assert_eq!(name(path).as_deref(), Some("\\\\.\\pipe\\Some\\Name\0"));
        }
    }

    #[test]
    fn other_paths_name_no_pipe() {
        for path in [
            r"\\.\pipe\",
            r"\\.\pip\x",
            r"C:\pipe\x",
            "x.sock",
            r"\\x\pipe\y",
            "\\\\.\\pipe\\a\0b",
            "",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
