//! Limits on clients and on the number of connections, shared by all commands that listen.

use std::time::Duration;

use clap::Args;

use super::values;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Accept at most COUNT connections per endpoint; refuse further ones
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) max_connections: Option<u64>,
    /// Accept at most COUNT connections from one IPv4 address or IPv6 /64 network; refuse further ones
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) max_per_ip: Option<u64>,
    /// Accept connections from these addresses only, for example 10.0.0.0/8 or ::1 (may be repeated);
    /// clients of a Unix socket have no address and are refused
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow: Vec<String>,
    /// Refuse connections from these addresses, even if --allow contains them
    #[arg(long, value_name = "CIDR")]
    pub(crate) deny: Vec<String>,
    /// Close a connection if no byte is transferred in either direction for TIME
    #[arg(long, value_name = "TIME", value_parser = values::some_time)]
    pub(crate) idle_timeout: Option<Duration>,
    /// Set the mode of the file of a Unix socket, for example 660; the default depends on the umask
    #[arg(long, value_name = "MODE", value_parser = values::mode)]
    pub(crate) mode: Option<u32>,
    /// Fail if the path of a Unix socket exists, even if no server is listening on it
    #[arg(long)]
    pub(crate) keep_stale: bool,
}
