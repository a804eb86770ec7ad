//! Addresses as values: what a text is, an address with its port, and the addresses to refuse.
//!
//! Nothing here touches a socket or a loop, and everything is `Send`.

mod block_list;
mod is_ip;
mod socket_address;
mod to_ip_addr;

pub use block_list::BlockList;
pub use is_ip::{is_ip, is_ipv4, is_ipv6};
pub use socket_address::SocketAddress;
pub use to_ip_addr::ToIpAddr;
