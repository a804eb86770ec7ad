//! `--tls-in` and `--tls-out`: TLS with clients, and with targets.

use std::collections::HashMap;

use fyke::Socket;
use fyke_tls::Tls;

use crate::arguments::Relay;
use crate::failure::Failure;
use crate::place::Place;
use crate::tls::{Client, Server};

#[derive(Default)]
pub(super) struct Security {
    /// TLS with clients.
    pub(super) clients: Option<Server>,
    /// TLS with targets.
    targets: Option<Client>,
    /// TLS with the targets of clients that have agreed on a protocol.
    by_protocol: HashMap<Vec<u8>, Client>,
}

impl Security {
    pub(super) fn parse<'a>(
        options: &Relay,
        mut targets: impl Iterator<Item = &'a Place>,
    ) -> Result<Self, Failure> {
        let (ingoing, outgoing, alpn) = (options.tls_in, options.tls_out, &options.alpn);
        if !ingoing && !outgoing && !alpn.is_empty() {
            return Err(Failure::Usage(
                "--alpn has no effect without --tls-in or --tls-out".into(),
            ));
        }
        let alpn_of = |is_given: bool| if is_given { alpn.as_slice() } else { &[] };
        let clients = Server::parse("--tls-in", ingoing, &options.tls_server, alpn_of(ingoing))?;
        let client =
            |alpn: &[String]| Client::parse("--tls-out", outgoing, &options.tls_client, alpn);
        let both = ingoing && outgoing;
        let default = client(alpn_of(outgoing && !both))?;
        let timeout = options.connect_timeout;
        let mut by_protocol = HashMap::new();
        for name in alpn_of(both) {
            if let Some(client) = client(std::slice::from_ref(name))? {
                by_protocol.insert(name.clone().into_bytes(), client.with_timeout(timeout));
            }
        }
        if let Some(tls) = &default {
            targets.try_for_each(|place| tls.check(place))?;
        }
        Ok(Self { clients, targets: default.map(|tls| tls.with_timeout(timeout)), by_protocol })
    }

    /// Returns the TLS with the target of this client.
    pub(super) fn of_target(&self, client: &Socket) -> Option<&Client> {
        let agreed = || Tls::of(client)?.alpn_protocol();
        let by_protocol = || self.by_protocol.get(&agreed()?);
        let special = if self.by_protocol.is_empty() { None } else { by_protocol() };
        special.or(self.targets.as_ref())
    }
}
