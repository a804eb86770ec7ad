//! Files that a scenario inspects: those of Unix sockets.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use serde_json::{Value, json};

/// The kind of the file and its mode, or an error code. Does not follow links.
pub(crate) fn stat(path: &str) -> Value {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return json!(error_code(&error)),
    };
    let kind = match found.file_type() {
        kind if kind.is_socket() => "socket",
        kind if kind.is_dir() => "dir",
        _ => "file",
    };
    json!({ "type": kind, "mode": format!("{:o}", found.permissions().mode() & 0o777) })
}

/// True, or an error code.
pub(crate) fn unlink(path: &str) -> Value {
    match fs::remove_file(path) {
        Ok(()) => json!(true),
        Err(error) => json!(error_code(&error)),
    }
}

/// The name of a system error, for those that inspecting a file can cause.
fn error_code(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "ENOENT",
        io::ErrorKind::PermissionDenied => "EACCES",
        io::ErrorKind::NotADirectory => "ENOTDIR",
        io::ErrorKind::IsADirectory => "EISDIR",
        _ => "EIO",
    }
}
