//! Block lists: the first line is JSON, the others are subnets and addresses to look up. A list accepts
//! a text completely or not at all, prints what it parses, and finds its rules.

#![no_main]

use std::net::IpAddr;

use fyke::{BlockList, Family};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let list = BlockList::new();
    let mut lines = text.lines();
    if list.add_json(lines.next().unwrap_or_default()).is_err() {
        assert!(list.is_empty(), "half of it was added");
    }
    for line in lines {
        let before = list.rules();
        if let Ok(address) = line.parse::<IpAddr>() {
            let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
            assert_eq!(list.check(address), list.check_text(line, family).expect("it is one"));
        } else if list.add_cidr(line).is_ok() {
            let network: IpAddr = line.split(['/', '%']).next().unwrap().parse().unwrap();
            assert!(list.check(network), "{line} has its own address");
            // Of equal rules the newest is removed, and the list is unchanged.
            assert!(list.remove_cidr(line).unwrap(), "{line}");
            assert_eq!(list.rules(), before);
            list.add_cidr(line).unwrap();
        } else {
            assert_eq!(list.rules(), before, "{line} was refused");
        }
    }
    let copy = BlockList::new();
    copy.add_json(&list.to_json()).expect("what was written is read");
    let mut rules = [list.rules(), copy.rules()];
    rules.iter_mut().for_each(|rules| rules.sort());
    assert_eq!(rules[0], rules[1]);
});
