//! TLS: the options of both sides, and what they make of a socket.

mod client;
mod facts;
mod server;

use std::path::Path;

use crate::failure::Failure;

pub(crate) use client::{Client, refuse_client_options};
pub(crate) use facts::Facts;
pub(crate) use server::Server;

/// Makes both sides of connections within this process.
pub(crate) fn within_this_process() -> Result<(Server, Client), Failure> {
    let (server, fingerprint) = Server::self_signed()?;
    Ok((server, Client::pinned(fingerprint)?))
}

/// Reads the file of an option.
fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::Usage(format!("{option} {}: {error}", path.display()));
    std::fs::read(path).map_err(failed)
}

/// Returns a conversion of an error of the library that the value of an option has caused.
fn refuse(option: String) -> impl FnOnce(fyke::Error) -> Failure {
    move |error| match error.message() {
        Some(message) => Failure::Usage(format!("{option}: {message}")),
        None => Failure::Usage(format!("{option}: {error}")),
    }
}

/// Refuses the first of these options that is given, because it has no effect without `needed`.
fn refuse_without(needed: &str, given: &[(&str, bool)]) -> Result<(), Failure> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            Err(Failure::Usage(format!("{option} has no effect without {needed}")))
        }
        None => Ok(()),
    }
}
