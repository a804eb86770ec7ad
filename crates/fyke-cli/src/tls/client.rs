//! TLS on a connection to a server.

use std::path::Path;
use std::time::Duration;

use fyke::{Endpoint, Error, Socket};
use fyke_tls::{
    ClientContext, ClientOptions, Fingerprint, Identity, NotAFingerprint, Tls, upgrade_client,
};

use super::{read, refuse, refuse_without};
use crate::arguments::TlsClient;
use crate::failure::Failure;
use crate::log;
use crate::place::Place;

/// What all connections to servers have in common.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    context: ClientContext,
    /// The name of `--sni`.
    name: Option<String>,
    is_insecure: bool,
}

impl Client {
    /// Returns `None` if `option`, such as `--tls`, is not given.
    pub(crate) fn parse(
        option: &str,
        is_given: bool,
        options: &TlsClient,
        alpn: &[String],
    ) -> Result<Option<Self>, Failure> {
        if is_given {
            return Self::new(options, alpn).map(Some);
        }
        refuse_client_options(option, options, alpn)?;
        Ok(None)
    }

    /// Accepts one certificate.
    pub(super) fn pinned(fingerprint: Fingerprint) -> Result<Self, Failure> {
        let context = ClientOptions::new().pin(fingerprint).build()?;
        Ok(Self { context, name: None, is_insecure: false })
    }

    /// Prints one warning for all connections that follow, because there are too many for one each.
    pub(crate) fn warn_once(&mut self, place: &Place, connections: &str) {
        if std::mem::take(&mut self.is_insecure) {
            log::note(format_args!(
                "warning: the certificate of {place} is not verified on {connections}, so the \
                 server may be anyone"
            ));
        }
    }

    fn new(options: &TlsClient, alpn: &[String]) -> Result<Self, Failure> {
        let mut made = ClientOptions::new().alpn_protocols(alpn.iter().map(String::as_str));
        let mut concerned = String::from("TLS");
        if let Some(name) = &options.sni {
            check_name(name).map_err(refuse(String::from("--sni")))?;
        }
        for pin in &options.pin {
            let invalid = |error: NotAFingerprint| Failure::Usage(format!("--pin {pin}: {error}"));
            made = made.pin(pin.parse::<Fingerprint>().map_err(invalid)?);
        }
        if let Some(path) = &options.ca {
            concerned = format!("--ca {}", path.display());
            let pem = read("--ca", path)?;
            if pem.is_empty() {
                return Err(Failure::Usage(format!("{concerned}: the file is empty")));
            }
            made = made.authorities_pem(pem);
        }
        if let (Some(certificate), Some(key)) = (&options.client_cert, &options.client_key) {
            let options = "--client-cert and --client-key";
            made = made.identity(identity(options, certificate, key)?);
        }
        if options.insecure {
            made = made.dangerous_accept_any_certificate();
        }
        check_alpn(alpn)?;
        let context = made.build().map_err(refuse(concerned))?;
        Ok(Self { context, name: options.sni.clone(), is_insecure: options.insecure })
    }

    /// Returns the same with a time limit for handshakes. It starts when TLS is put on a socket, which
    /// may be connecting then.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        let context = self.context.with_handshake_timeout(Some(timeout));
        Self { context, ..self.clone() }
    }

    /// Checks that a certificate can be for the name of this place.
    pub(crate) fn check(&self, place: &Place) -> Result<(), Failure> {
        let checked = check_name(self.name_of(place));
        checked.map_err(refuse(format!("{place} needs --sni NAME with TLS")))
    }

    fn name_of<'a>(&'a self, place: &'a Place) -> &'a str {
        match (&self.name, place) {
            (Some(name), _) => name,
            (None, Place::Endpoint(Endpoint::Host(host, _))) => host,
            (None, _) => "localhost",
        }
    }

    /// Puts TLS on a socket that is connected or connecting to this place. `f` runs when the handshake
    /// is done.
    pub(crate) fn begin(
        &self,
        socket: &Socket,
        place: &Place,
        f: impl FnOnce(&Socket) + 'static,
    ) -> Result<(), Error> {
        let tls = match (&self.name, place) {
            (None, Place::Endpoint(Endpoint::Ip(address))) => {
                upgrade_client(socket, &address.ip().to_string(), &[], &self.context)?
            }
            _ => upgrade_client(socket, self.name_of(place), &[], &self.context)?,
        };
        let warned = self.is_insecure.then(|| place.clone());
        tls.on_secure_connect(move |socket| {
            if let Some(place) = warned {
                warn(socket, &place);
            }
            f(socket);
        });
        Ok(())
    }
}

/// Refuses the first option that is given, because it has no effect without `needed`.
pub(crate) fn refuse_client_options(
    needed: &str,
    options: &TlsClient,
    alpn: &[String],
) -> Result<(), Failure> {
    refuse_without(needed, &given(options))?;
    refuse_without(needed, &[("--alpn", !alpn.is_empty())])
}

fn warn(socket: &Socket, place: &Place) {
    let Some(tls) = Tls::of(socket) else { return };
    let Some(error) = tls.authorization_error() else {
        return log::note(format_args!(
            "warning: the certificate of {place} is valid, but --insecure would accept any other one"
        ));
    };
    let reason = error.message().unwrap_or_default();
    let pin = tls.peer_certificate_chain().first().map(|der| Fingerprint::of(der));
    let pin = pin.map(|pin| format!("; its --pin is {pin}")).unwrap_or_default();
    log::note(format_args!(
        "warning: the certificate of {place} is accepted, but the server may be anyone: {reason}{pin}"
    ));
}

fn given(options: &TlsClient) -> [(&'static str, bool); 5] {
    [
        ("--ca", options.ca.is_some()),
        ("--pin", !options.pin.is_empty()),
        ("--insecure", options.insecure),
        ("--sni", options.sni.is_some()),
        ("--client-cert", options.client_cert.is_some()),
    ]
}

/// Checks a name without the authorities of the system, which take time to read.
fn check_name(name: &str) -> Result<(), Error> {
    let options = ClientOptions::new().pin(Fingerprint::of(&[]));
    options.server_name(name).build().map(drop)
}

pub(super) fn check_alpn(alpn: &[String]) -> Result<(), Failure> {
    match alpn.iter().find(|name| name.is_empty() || name.len() > 255) {
        Some(name) => Err(Failure::Usage(format!(
            "--alpn: the name of an application protocol has 1 to 255 bytes, not {}",
            name.len()
        ))),
        None => Ok(()),
    }
}

/// Reads a certificate and its key. The error names the options and the file.
pub(super) fn identity(options: &str, certificate: &Path, key: &Path) -> Result<Identity, Failure> {
    Identity::from_pem_files(certificate, key).map_err(refuse(String::from(options)))
}
