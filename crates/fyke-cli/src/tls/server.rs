//! TLS on connections of clients.

use std::time::{Duration, SystemTime};

use fyke::{Error, Socket};
use fyke_tls::{Fingerprint, Identity, ServerContext, ServerOptions, upgrade_server};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::client::{check_alpn, identity};
use super::{read, refuse, refuse_without};
use crate::arguments::TlsServer;
use crate::failure::Failure;
use crate::log;
use crate::signals::Ending;

/// How long the certificate of `--self-signed` is valid.
const VALIDITY: Duration = Duration::from_secs(365 * 86400);
/// Clocks of clients may be behind.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(86400);

/// What all connections of clients have in common.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    context: ServerContext,
    /// The fingerprint of the certificate of `--self-signed`.
    self_signed: Option<Fingerprint>,
}

impl Server {
    /// Returns `None` if `option`, such as `--tls`, is not given.
    pub(crate) fn parse(
        option: &str,
        is_given: bool,
        options: &TlsServer,
        alpn: &[String],
    ) -> Result<Option<Self>, Failure> {
        if is_given {
            return Self::new(option, options, alpn).map(Some);
        }
        let given = [
            ("--cert", options.cert.is_some()),
            ("--self-signed", options.self_signed),
            ("--client-ca", options.client_ca.is_some()),
            ("--alpn", !alpn.is_empty()),
        ];
        refuse_without(option, &given)?;
        Ok(None)
    }

    fn new(option: &str, options: &TlsServer, alpn: &[String]) -> Result<Self, Failure> {
        check_alpn(alpn)?;
        let identity = match (&options.cert, &options.key) {
            (Some(certificate), Some(key)) => identity("--cert and --key", certificate, key)?,
            _ if options.self_signed => self_signed()?,
            _ => {
                return Err(Failure::Usage(format!(
                    "{option} requires a certificate: --cert FILE and --key FILE, or --self-signed"
                )));
            }
        };
        let self_signed = options.self_signed.then(|| identity.fingerprint());
        let mut made = ServerOptions::new(identity).alpn_protocols(alpn.iter().map(String::as_str));
        let mut concerned = String::from(option);
        if let Some(path) = &options.client_ca {
            concerned = format!("--client-ca {}", path.display());
            let pem = read("--client-ca", path)?;
            if pem.is_empty() {
                return Err(Failure::Usage(format!("{concerned}: the file is empty")));
            }
            made = made.require_client_certificate(pem);
        }
        let context = made.build().map_err(refuse(concerned))?;
        Ok(Self { context, self_signed })
    }

    /// Prints the fingerprint of the certificate of `--self-signed`.
    pub(crate) fn announce(&self) {
        if let Some(fingerprint) = self.self_signed {
            log::note(format_args!("the certificate has the fingerprint {fingerprint}"));
        }
    }

    /// Watches the signals that end the command. SIGHUP reads --cert and --key again, if this server has them.
    pub(crate) fn watch_signals(
        server: Option<&Self>,
        f: impl Fn() + 'static,
    ) -> Result<Ending, Failure> {
        match server {
            Some(server) if server.self_signed.is_none() => {
                let context = server.context.clone();
                Ending::watch_with_reload(f, move || reload(&context))
            }
            _ => Ending::watch(f),
        }
    }

    /// Makes a certificate, and returns its fingerprint too.
    pub(super) fn self_signed() -> Result<(Self, Fingerprint), Failure> {
        let identity = self_signed()?;
        let fingerprint = identity.fingerprint();
        let context = ServerContext::new(identity)?;
        Ok((Self { context, self_signed: None }, fingerprint))
    }

    /// Puts TLS on the connection of a client. `f` runs when the handshake is done.
    pub(crate) fn begin(
        &self,
        socket: &Socket,
        f: impl FnOnce(&Socket) + 'static,
    ) -> Result<(), Error> {
        upgrade_server(socket, &[], &self.context)?.on_secure_connect(f);
        Ok(())
    }
}

fn reload(context: &ServerContext) {
    match context.reload() {
        Ok(()) => log::note("SIGHUP: --cert and --key were read again, for new connections"),
        Err(error) => {
            let reason = error.message().map_or_else(|| error.to_string(), String::from);
            log::note(format_args!("SIGHUP: the certificate stays as it was: {reason}"));
        }
    }
}

/// Makes a certificate for this machine. Its key exists only in this process.
fn self_signed() -> Result<Identity, Failure> {
    let failed = |error: rcgen::Error| {
        Failure::Bad(format!("the certificate of --self-signed cannot be made: {error}"))
    };
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, "fyke --self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_DIFFERENCE).into();
    params.not_after = (now + VALIDITY).into();
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Identity::from_der(vec![certificate.der().to_vec()], key.serialize_der())?)
}
