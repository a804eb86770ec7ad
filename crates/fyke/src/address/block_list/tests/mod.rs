//! Tests of the BLK entries, in their order.

mod changing;
mod matching;

use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr};

use crate::{ErrorCode, Result};

fn v6(text: &str) -> IpAddr {
    text.parse::<Ipv6Addr>().unwrap().into()
}

fn code<T: Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code()
}
