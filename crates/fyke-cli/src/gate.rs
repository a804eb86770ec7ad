//! Which clients may connect: `--allow`, `--deny`, and the limits on the number of connections.

use std::net::IpAddr;

use fyke::{BlockList, ServerOptions, Socket};

use crate::arguments::Limits;
use crate::failure::Failure;

/// Rules for client addresses. The library's block lists are sets of addresses, so they serve as
/// allow lists too.
pub(crate) struct Gate {
    allow: Option<BlockList>,
    deny: BlockList,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Result<Self, Failure> {
        let allow = if limits.allow.is_empty() { None } else { Some(addresses(&limits.allow)?) };
        Ok(Self { allow, deny: addresses(&limits.deny)? })
    }

    pub(crate) fn admits(&self, client: &Socket) -> bool {
        match client.remote_address() {
            Some(address) => self.admits_ip(address.ip()),
            None => self.admits_without_ip(is_unix(client)),
        }
    }

    /// Returns whether the client may connect. A client of a Unix socket has no IP address and
    /// matches no list: `--allow` refuses it, and `--deny` does not. A client whose address cannot
    /// be determined is refused if there is any rule.
    pub(crate) fn admits_without_ip(&self, is_unix: bool) -> bool {
        self.allow.is_none() && (is_unix || self.deny.is_empty())
    }

    pub(crate) fn admits_ip(&self, ip: IpAddr) -> bool {
        !self.deny.check(ip) && self.allow.as_ref().is_none_or(|list| list.check(ip))
    }
}

/// Returns whether the client is connected through a Unix socket.
pub(crate) fn is_unix(client: &Socket) -> bool {
    client.server().and_then(|server| server.address()).is_some_and(|address| address.is_unix())
}

/// Parses a list of addresses and subnets.
pub(crate) fn addresses(texts: &[String]) -> Result<BlockList, Failure> {
    let list = BlockList::new();
    for text in texts {
        let added = match text.parse::<IpAddr>() {
            Ok(ip) => list.add_address(ip).is_ok(),
            Err(_) => list.add_cidr(text).is_ok(),
        };
        if !added {
            let text = format!(
                "{text:?} is not an address; expected for example 10.1.2.3, 10.0.0.0/8 or fd00::/8"
            );
            return Err(Failure::Usage(text));
        }
    }
    Ok(list)
}

/// Returns the options of a server with these limits. Small writes are sent at once, as with
/// `Place::connect`.
pub(crate) fn server_options(limits: &Limits) -> ServerOptions {
    let number = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let mut options = ServerOptions::new().no_delay(true);
    if let Some(max) = limits.max_connections {
        options = options.max_connections(number(max));
    }
    if let Some(max) = limits.max_per_ip {
        options = options.max_connections_per_ip(number(max));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(allow: &[&str], deny: &[&str]) -> Gate {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let limits = Limits { allow: texts(allow), deny: texts(deny), ..Limits::default() };
        Gate::new(&limits).unwrap_or_else(|error| panic!("{error}"))
    }

    fn admitted(gate: &Gate, ip: &str) -> bool {
        gate.admits_ip(ip.parse().unwrap())
    }

    #[test]
    fn without_rules_all_clients_are_admitted_and_deny_overrides_allow() {
        assert!(admitted(&gate(&[], &[]), "1.2.3.4"));
        let gate = gate(&["10.0.0.0/8", "::1"], &["10.1.0.0/16"]);
        for (ip, expected) in
            [("10.2.3.4", true), ("::1", true), ("10.1.2.3", false), ("1.2.3.4", false)]
        {
            assert_eq!(admitted(&gate, ip), expected, "{ip}");
        }
        // A dual-stack server sees an IPv4 client with this address.
        assert!(admitted(&gate, "::ffff:10.2.3.4") && !admitted(&gate, "::ffff:10.1.2.3"));
    }

    #[test]
    fn client_without_an_address_matches_no_list() {
        for (allow, deny, unix, unknown) in [
            (&[][..], &[][..], true, true),
            (&[], &["10.0.0.0/8"], true, false),
            (&["10.0.0.0/8"], &[], false, false),
        ] {
            let gate = gate(allow, deny);
            assert_eq!(gate.admits_without_ip(true), unix, "{allow:?} {deny:?}");
            assert_eq!(gate.admits_without_ip(false), unknown, "{allow:?} {deny:?}");
        }
    }

    #[test]
    fn text_that_is_not_an_address_is_a_usage_error() {
        for text in ["", "x", "10.0.0.0/33", "10.0.0/8", "host.example"] {
            let limits = Limits { deny: vec![text.to_owned()], ..Limits::default() };
            assert!(matches!(Gate::new(&limits), Err(Failure::Usage(_))), "{text}");
        }
    }
}
