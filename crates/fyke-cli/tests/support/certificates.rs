//! Certificates that are made for each test, and openssl as the other side.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use super::support::{Folder, Running};

/// An authority, and a folder with its certificate and those that it has issued.
pub(crate) struct Authority {
    folder: Folder,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("Test Authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Folder::new();
        std::fs::write(folder.path("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    /// The path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path(name)
    }

    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// Issues a certificate that is valid in these years. Returns the paths of it and of its key.
    pub(crate) fn valid(&self, name: &str, from: i32, to: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        std::fs::write(&paths.0, certificate.pem()).unwrap();
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }

    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        self.valid(name, 2020, 4000)
    }
}

/// Returns whether openssl is installed. A test that needs it does nothing without it.
pub(crate) fn has_openssl() -> bool {
    let version = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// `openssl s_server` with more arguments, on a free port, and its endpoint. It sends each line back in
/// reverse.
pub(crate) fn openssl_server(
    (certificate, key): &(String, String),
    more: &[&str],
) -> (Running, String) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "0", "-rev", "-cert", certificate, "-key", key]);
    let command = command.args(more).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = Running::of(command);
    loop {
        let line = server.line();
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            let (_, port) = address.rsplit_once(':').expect("a port");
            return (server, format!("localhost:{port}"));
        }
    }
}

/// `openssl s_client` with more arguments. It prints only received data and errors.
pub(crate) fn openssl_client(endpoint: &str, more: &[&str]) -> Running {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-connect", endpoint]);
    Running::of(command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()))
}
