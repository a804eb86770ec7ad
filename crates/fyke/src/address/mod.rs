//! IP addresses as values: checking text, an address with its port, and lists of blocked addresses.
//!
//! This module uses no socket and no loop, and all of its types are `Send`.

mod block_list;
mod is_ip;
mod socket_address;
mod to_ip_addr;

pub use block_list::BlockList;
pub use is_ip::{is_ip, is_ipv4, is_ipv6};
pub use socket_address::SocketAddress;
pub use to_ip_addr::ToIpAddr;
