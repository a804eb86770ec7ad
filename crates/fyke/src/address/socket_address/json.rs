//! Serializes a [`SocketAddress`] as the object that Node's `toJSON` returns.
// ADR-08

use serde::{Deserialize, Serialize};

use super::SocketAddress;
use crate::{Error, ErrorCode, Family, Result};

/// The object, with Node's names and order of fields. A missing field has its default.
// ADR-01
#[derive(Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    address: Option<String>,
    port: u16,
    family: String,
    flowlabel: u32,
}

impl Default for Fields {
    fn default() -> Self {
        Self { address: None, port: 0, family: "ipv4".to_owned(), flowlabel: 0 }
    }
}

impl From<SocketAddress> for Fields {
    fn from(address: SocketAddress) -> Self {
        Self {
            address: Some(address.address().to_string()),
            port: address.port(),
            family: address.family().to_string().to_ascii_lowercase(),
            flowlabel: address.flow_label(),
        }
    }
}

impl TryFrom<Fields> for SocketAddress {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let family = family_from_text(&fields.family)?;
        let address = match &fields.address {
            Some(text) => Self::from_text(text, fields.port, family)?,
            None => Self::new(Self::for_family(family), fields.port),
        };
        address.with_flow_label(fields.flowlabel)
    }
}

/// Accepts upper and lower case.
// ADR-01
fn family_from_text(text: &str) -> Result<Family> {
    match text.to_ascii_lowercase().as_str() {
        "ipv4" => Ok(Family::V4),
        "ipv6" => Ok(Family::V6),
        _ => {
            let message = format!("the family must be ipv4 or ipv6, not {text:?}");
            Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SocketAddress, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn adr_08_the_json_object_is_the_same_as_nodes() {
        let address = SocketAddress::parse("[2001:db8::1]:80").unwrap().with_flow_label(5).unwrap();
        let text = r#"{"address":"2001:db8::1","port":80,"family":"ipv6","flowlabel":5}"#;
        assert_eq!(serde_json::to_string(&address).unwrap(), text);
        assert_eq!(read(text).unwrap(), address);
    }

    #[test]
    fn adr_01_missing_fields_have_their_defaults() {
        assert_eq!(read("{}").unwrap(), SocketAddress::default());
        let address = SocketAddress::parse("[::]:1").unwrap();
        assert_eq!(read(r#"{"family":"IPv6","port":1}"#).unwrap(), address);
    }

    #[test]
    fn adr_03_bad_fields_are_refused() {
        let bad = [
            (r#"{"family":"ipv5"}"#, "ERR_INVALID_ARG_VALUE"),
            (r#"{"address":"::1"}"#, "ERR_INVALID_ADDRESS"),
            (r#"{"flowlabel":1048576}"#, "ERR_OUT_OF_RANGE"),
            (r#"{"port":65536}"#, "65536"),
            (r#"{"address":1}"#, "string"),
            ("[]x", "trailing"),
        ];
        for (text, word) in bad {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
