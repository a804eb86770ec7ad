//! The certificate of a peer, in readable form.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use fyke::{Error, Result};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::code;
use crate::fingerprint::Fingerprint;

/// What a certificate says: Node's `getPeerCertificate()`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerCertificate {
    /// The name of the owner, such as `CN=example.org`.
    pub subject: String,
    /// The name of the authority that issued the certificate.
    pub issuer: String,
    /// The names of hosts that it is for. Node: `subjectaltname`.
    pub dns_names: Vec<String>,
    /// The IP addresses that it is for.
    pub ip_addresses: Vec<IpAddr>,
    /// The beginning of its validity.
    pub valid_from: SystemTime,
    /// The end of its validity.
    pub valid_to: SystemTime,
    /// The serial number, in hexadecimal digits.
    pub serial_number: String,
    /// The SHA-256 of the certificate. Node: `fingerprint256`.
    pub fingerprint: Fingerprint,
    /// The certificate in DER. Node: `raw`.
    pub der: Vec<u8>,
}

impl PeerCertificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// `ERR_TLS_CERT_INVALID` if it is not a certificate.
    pub fn parse(der: &[u8]) -> Result<Self> {
        let invalid = |_| {
            let message = "the certificate of the peer cannot be read";
            Error::new(code::ERR_TLS_CERT_INVALID, message)
        };
        let (_, certificate) = X509Certificate::from_der(der).map_err(invalid)?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        let time = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
        };
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            dns_names: names.iter().filter_map(dns_name).collect(),
            ip_addresses: names.iter().filter_map(ip_address).collect(),
            valid_from: time(certificate.validity().not_before.timestamp()),
            valid_to: time(certificate.validity().not_after.timestamp()),
            serial_number: certificate.raw_serial_as_string().replace(':', ""),
            fingerprint: Fingerprint::of(der),
            der: der.to_vec(),
        })
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

fn ip_address(name: &GeneralName<'_>) -> Option<IpAddr> {
    match name {
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(bytes) => Some(bytes.into()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
        },
        _ => None,
    }
}
