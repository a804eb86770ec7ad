//! The library's options and endpoints, from the names in a scenario.

use std::net::IpAddr;

use fyke::{
    AbortSignal, Address, BlockList, ConnectOptions, Endpoint, Family, FamilySelection,
    ListenOptions, Result, ServerOptions, SocketOptions,
};

use serde_json::Value;

use super::Play;
use crate::scenario::Fields;

/// Sets what all kinds of options have in common; they share the methods, but no trait.
macro_rules! common {
    ($play:expr, $made:expr, $options:expr) => {{
        let options = $options;
        let mut made =
            $made.allow_half_open(options.flag("allowHalfOpen")).no_delay(options.flag("noDelay"));
        if options.flag("keepAlive") {
            let delay_ms = options.number("keepAliveInitialDelay").unwrap_or(0.0);
            made = made.keep_alive($play.time(delay_ms));
        }
        if let Some(bytes) = options.count("highWaterMark") {
            made = made.high_water_mark(bytes);
        }
        if let Some(rules) = options.get("blockList") {
            // A bad rule results in a list that blocks nothing.
            made = made.block_list(&block_list(rules).unwrap_or_default());
        }
        made
    }};
}

/// The same for options of clients only.
macro_rules! of_client {
    ($play:expr, $made:expr, $options:expr) => {{
        let made = common!($play, $made, $options);
        let value = $options.count("typeOfService");
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(value) => made.type_of_service(value),
            None => made,
        }
    }};
}

impl Play {
    pub(super) fn socket_options(&self, options: &Fields) -> SocketOptions {
        let made = of_client!(self, SocketOptions::new(), options);
        match self.signal(options) {
            Some(signal) => made.signal(&signal),
            None => made,
        }
    }

    pub(super) fn server_options(&self, options: &Fields) -> ServerOptions {
        let made = common!(self, ServerOptions::new(), options)
            .pause_on_connect(options.flag("pauseOnConnect"));
        match options.count("maxConnections") {
            Some(max) => made.max_connections(max),
            None => made,
        }
    }

    /// For a socket that is created and connected in one call.
    pub(super) fn connect_options(
        &self,
        options: &Fields,
        target: &Fields,
    ) -> Result<ConnectOptions> {
        let mut made = of_client!(self, self.target_options(target)?, options);
        if let Some(signal) = self.signal(options) {
            made = made.signal(&signal);
        }
        if let Some(ms) = options.number("timeout") {
            made = made.idle_timeout(self.time(ms));
        }
        Ok(made)
    }

    /// Where and how to connect, as the target specifies.
    pub(super) fn target_options(&self, target: &Fields) -> Result<ConnectOptions> {
        let mut made = ConnectOptions::new(self.endpoint(target)?);
        let local = target.text("localAddress").and_then(|text| text.parse::<IpAddr>().ok());
        if let Some(local) = local {
            made = made.local_address(local);
        }
        if let Some(port) = self.port(target, "localPort") {
            made = made.local_port(port);
        }
        match target.number("family") {
            Some(4.0) => made = made.family(Family::V4),
            Some(6.0) => made = made.family(Family::V6),
            _ => {}
        }
        if target.has("autoSelectFamily") {
            made = made.family_selection(selection(target.flag("autoSelectFamily")));
        }
        if let Some(ms) = target.number("autoSelectFamilyAttemptTimeout") {
            made = made.attempt_timeout(self.time(ms));
        }
        if let Some(script) = target.get("lookup") {
            made = self.script_lookup(made, script);
        }
        Ok(made)
    }

    /// `exclusive` needs nothing: in fyke every listener is (SRV-20).
    pub(super) fn listen_options(&self, options: &Fields) -> Result<ListenOptions> {
        let endpoint = match (options.has("port"), options.text("path")) {
            (false, Some(path)) => path_endpoint(&self.names.real_path(path)),
            (false, None) => "".parse()?,
            _ => {
                let host = options.text("host").unwrap_or_default();
                refuse_bad_port(host, options)?;
                Endpoint::from((host, self.port(options, "port").unwrap_or(0)))
            }
        };
        let mut made = ListenOptions::new(endpoint)
            .ipv6_only(options.flag("ipv6Only"))
            .reuse_port(options.flag("reusePort"))
            .readable_all(options.flag("readableAll"))
            .writable_all(options.flag("writableAll"));
        if let Some(connections) = options.count("backlog") {
            made = made.backlog(u32::try_from(connections).unwrap_or(u32::MAX));
        }
        if let Some(signal) = self.signal(options) {
            made = made.signal(&signal);
        }
        Ok(made)
    }

    fn signal(&self, options: &Fields) -> Option<AbortSignal> {
        Some(self.signals.get(options.text("signal")?)?.signal())
    }

    /// The address of a target: the given keys, and otherwise the server's address.
    pub(super) fn endpoint(&self, target: &Fields) -> Result<Endpoint> {
        let server = target.text("server").and_then(|name| self.find(name));
        let address = server.and_then(|actor| self.server_address(&actor));
        if let Some(path) = target.text("path").filter(|path| !path.is_empty()) {
            return Ok(path_endpoint(&self.names.real_path(path)));
        }
        let (mut host, mut port) = (String::new(), 0);
        match address {
            Some(Address::Ip(address)) => {
                host = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => String::from("127.0.0.1"),
                    IpAddr::V6(ip) if ip.is_unspecified() => String::from("::1"),
                    ip => ip.to_string(),
                };
                port = address.port();
            }
            Some(address) => return address.try_into(),
            None => {}
        }
        if let Some(given) = target.text("host") {
            given.clone_into(&mut host);
        }
        refuse_bad_port(&host, target)?;
        Ok((host.as_str(), self.port(target, "port").unwrap_or(port)).into())
    }
}

/// A value that is not a port reaches a Rust program as text.
fn refuse_bad_port(host: &str, fields: &Fields) -> Result<()> {
    match fields.number("port") {
        Some(port) if !(0.0..=65535.0).contains(&port) || port.fract() != 0.0 => {
            format!("{host}:{port}").parse::<Endpoint>().map(drop)
        }
        _ => Ok(()),
    }
}

/// Node's switch. On means its own way of trying the addresses one after the other.
pub(super) fn selection(on: bool) -> FamilySelection {
    if on { FamilySelection::Sequential } else { FamilySelection::Off }
}

/// A path that begins with a zero byte is an abstract name.
fn path_endpoint(path: &str) -> Endpoint {
    match path.strip_prefix('\0') {
        Some(name) => Endpoint::Abstract(name.into()),
        None => Endpoint::Path(path.into()),
    }
}

/// The family that a rule or a call names: IPv4 without a name.
pub(super) fn family(name: &Value) -> Family {
    match name.as_str() {
        Some("ipv6") => Family::V6,
        _ => Family::V4,
    }
}

/// A list of the rules of FORMAT.md 3.5.
pub(super) fn block_list(rules: &Value) -> Result<BlockList> {
    let list = BlockList::new();
    for rule in rules.as_array().into_iter().flatten() {
        let family = family(&rule["family"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (range, subnet) = (&rule["range"], &rule["subnet"]);
        if !range.is_null() {
            let ends = [text(&range[0]), text(&range[1])];
            list.add_range((ends[0].as_str(), family), (ends[1].as_str(), family))?;
        } else if !subnet.is_null() {
            let bits = subnet[1].as_u64().and_then(|bits| u8::try_from(bits).ok());
            let network = text(&subnet[0]);
            list.add_subnet((network.as_str(), family), bits.unwrap_or(u8::MAX))?;
        } else {
            let address = text(&rule["address"]);
            list.add_address((address.as_str(), family))?;
        }
    }
    Ok(list)
}
