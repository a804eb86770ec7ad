//! Names that differ from run to run, and their normal forms: ports, the temporary folder, the
//! abstract prefix (FORMAT.md 2.2 and 7.4).

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fyke::{Address, Error, ErrorCode};
use serde_json::{Map, Value, json};

use crate::ports::free_ports;
use crate::random::random;

const FOLDER: &str = "$TMP";
const PREFIX: &str = "$ABS";

#[derive(Debug)]
pub(crate) struct Names {
    folder: PathBuf,
    /// Begins with a zero byte.
    prefix: String,
    fixed: HashMap<String, u16>,
    shown: RefCell<HashMap<u16, String>>,
}

impl Names {
    /// Chooses the names of this run, and creates the temporary folder.
    pub(crate) fn choose(placeholders: &[String]) -> std::io::Result<Self> {
        let unique = format!("cf-{}-{:08x}", std::process::id(), random() as u32);
        let folder = std::env::temp_dir().join(&unique);
        std::fs::create_dir(&folder)?;
        let fixed: HashMap<String, u16> =
            placeholders.iter().cloned().zip(free_ports(placeholders.len())).collect();
        let shown = fixed.iter().map(|(name, port)| (*port, format!("<{name}>"))).collect();
        Ok(Self { folder, prefix: format!("\0{unique}"), fixed, shown: RefCell::new(shown) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path of the scenario as the system knows it. An abstract name begins with a zero byte.
    pub(crate) fn real_path(&self, path: &str) -> String {
        if let Some(rest) = path.strip_prefix(FOLDER) {
            return format!("{}{rest}", self.folder.display());
        }
        match path.strip_prefix(PREFIX) {
            Some(rest) => format!("{}{rest}", self.prefix),
            None => path.to_owned(),
        }
    }

    /// The port of a placeholder such as `P0`.
    pub(crate) fn fixed_port(&self, name: &str) -> Option<u16> {
        self.fixed.get(name).copied()
    }

    /// Shows this port as that server's from now on.
    pub(crate) fn name_port(&self, port: u16, server: &str) {
        self.shown.borrow_mut().insert(port, format!("<{server}>"));
    }

    pub(crate) fn show_port(&self, port: Option<u16>) -> Value {
        match port {
            None => Value::Null,
            Some(0) => json!(0),
            Some(port) => {
                let shown = self.shown.borrow();
                Value::from(shown.get(&port).map_or("<port>", String::as_str))
            }
        }
    }

    fn show_text(&self, text: &str) -> String {
        text.replace(&*self.folder.to_string_lossy(), FOLDER).replace(&self.prefix, PREFIX)
    }

    /// The address without its port.
    pub(crate) fn show_host(&self, address: &Address) -> Value {
        match address {
            Address::Ip(address) => Value::from(address.ip().to_string()),
            Address::Path(path) => Value::from(self.show_text(&path.to_string_lossy())),
            Address::Abstract(name) => {
                Value::from(self.show_text(&format!("\0{}", String::from_utf8_lossy(name))))
            }
            _ => Value::Null,
        }
    }

    /// The address in Node's form: a path, or an object.
    pub(crate) fn show_address(&self, address: &Address) -> Value {
        match address.ip() {
            None => self.show_host(address),
            Some(ip) => json!({
                "address": ip.ip().to_string(),
                "family": family_name(&ip),
                "port": self.show_port(Some(ip.port())),
            }),
        }
    }

    pub(crate) fn show_error(&self, error: &Error) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("code".into(), error.code().as_str().into());
        if let Some(syscall) = error.syscall() {
            shown.insert("syscall".into(), syscall.into());
        }
        if let Some(address) = error.address() {
            shown.insert("address".into(), self.show_host(address));
        }
        if let Some(port) = error.port() {
            shown.insert("port".into(), self.show_port(Some(port)));
        }
        if !error.attempts().is_empty() {
            let attempts = error.attempts().iter().map(|error| self.show_error(error).into());
            shown.insert("errors".into(), Value::Array(attempts.collect()));
        }
        shown
    }
}

/// `IPv4` or `IPv6`.
pub(crate) fn family_name(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// 4 or 6.
pub(crate) fn family_number(address: &SocketAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

/// An error that the scenario defines. Its code is never freed, because codes live as long as the
/// program, and there are few of them.
pub(crate) fn own_error(code: &str) -> Error {
    let code = ErrorCode::from_static(Box::leak(code.into()));
    Error::new(code, "the scenario's own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_ports_are_shown_as_the_scenario_wrote_them() {
        let names = Names::choose(&[String::from("P3")]).unwrap();
        let path = names.real_path("$TMP/a.sock");
        assert_eq!(names.show_host(&Address::Path(path.into())), "$TMP/a.sock");
        let name = names.real_path("$ABS-x");
        assert_eq!(names.show_host(&Address::Abstract(name[1..].into())), "$ABS-x");
        assert_eq!(names.show_port(names.fixed_port("P3")), "<P3>");
        assert_eq!(names.show_port(Some(0)), 0);
        names.name_port(4000, "S1");
        assert_eq!(names.show_port(Some(4000)), "<S1>");
        std::fs::remove_dir(names.folder()).unwrap();
    }
}
