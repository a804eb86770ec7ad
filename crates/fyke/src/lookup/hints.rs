//! Which addresses a lookup returns: the flags of `getaddrinfo`.

use std::fmt;
use std::net::IpAddr;
use std::ops::BitOr;

use fyke_driver::Family;

/// Selects which of a host's addresses a lookup returns. Combine the constants with `|`. Node: the numbers
/// of `hints`.
///
/// ```
/// use fyke::LookupHints;
///
/// let hints = LookupHints::V4MAPPED | LookupHints::ALL;
/// assert!(hints.contains(LookupHints::ALL) && !hints.contains(LookupHints::ADDRCONFIG));
/// assert_eq!(LookupHints::default(), LookupHints::NONE);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LookupHints(u8);

impl LookupHints {
    /// All addresses of the requested family, or of both families.
    pub const NONE: Self = Self(0);

    /// Only addresses of families in which this machine has a non-loopback address. Node: `dns.ADDRCONFIG`.
    pub const ADDRCONFIG: Self = Self(1);

    /// If IPv6 is requested and the host has no IPv6 address: its IPv4 addresses in mapped form
    /// (`::ffff:1.2.3.4`). No effect unless the family is [`Family::V6`]. Node: `dns.V4MAPPED`.
    pub const V4MAPPED: Self = Self(2);

    /// With [`V4MAPPED`](Self::V4MAPPED): also returns the mapped addresses if the host has IPv6 addresses.
    /// Node: `dns.ALL`.
    pub const ALL: Self = Self(4);

    const NAMES: [(Self, &'static str); 3] =
        [(Self::ADDRCONFIG, "ADDRCONFIG"), (Self::V4MAPPED, "V4MAPPED"), (Self::ALL, "ALL")];

    /// Returns whether all flags of `other` are set.
    ///
    /// ```
    /// use fyke::LookupHints;
    ///
    /// let hints = LookupHints::ADDRCONFIG | LookupHints::V4MAPPED;
    /// assert!(hints.contains(LookupHints::V4MAPPED) && !hints.contains(LookupHints::ALL));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The hints of a connect that sets none: ADDRCONFIG, unless a family is set.
    // HE-05
    pub(crate) fn default_for(family: Option<Family>) -> Self {
        match family {
            None => Self::ADDRCONFIG,
            Some(_) => Self::NONE,
        }
    }

    /// The flags of `getaddrinfo`, as defined in this system's netdb.h or ws2def.h. Systems that are not listed here
    /// use none.
    pub(super) fn system_flags(self) -> i32 {
        let (address_config, v4_mapped, all) = if cfg!(target_os = "linux") {
            (0x20, 0x08, 0x10)
        } else if cfg!(any(target_vendor = "apple", target_os = "freebsd", windows)) {
            (0x400, 0x800, 0x100)
        } else {
            (0, 0, 0)
        };
        let flag = |hint, flag| if self.contains(hint) { flag } else { 0 };
        flag(Self::ADDRCONFIG, address_config)
            | flag(Self::V4MAPPED, v4_mapped)
            | flag(Self::ALL, all)
    }

    /// Selects the addresses that `getaddrinfo` would return on a machine with both families.
    pub(super) fn select(self, family: Option<Family>, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let Some(family) = family else { return addresses };
        let is_wanted = |ip: &IpAddr| ip.is_ipv4() == (family == Family::V4);
        let (mut wanted, others): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.into_iter().partition(is_wanted);
        let maps = family == Family::V6 && self.contains(Self::V4MAPPED);
        if maps && (wanted.is_empty() || self.contains(Self::ALL)) {
            let mapped = others.into_iter().map(|ip| match ip {
                IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
                IpAddr::V6(_) => ip,
            });
            wanted.extend(mapped);
        }
        wanted
    }
}

impl BitOr for LookupHints {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Writes `ADDRCONFIG | ALL`, for example, or `NONE`.
impl fmt::Debug for LookupHints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str("NONE");
        }
        let set = Self::NAMES.iter().filter(|(hint, _)| self.contains(*hint));
        for (index, (_, name)) in set.enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(hints: LookupHints, family: Family, addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        hints.select(Some(family), addresses).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn he_05_without_hints_addrconfig_is_used_unless_a_family_is_requested() {
        assert_eq!(LookupHints::default_for(None), LookupHints::ADDRCONFIG);
        assert_eq!(LookupHints::default_for(Some(Family::V4)), LookupHints::NONE);
        assert_eq!(LookupHints::default_for(Some(Family::V6)), LookupHints::NONE);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn he_05_the_numbers_are_nodes_on_linux() {
        let numbers = [LookupHints::NONE, LookupHints::ADDRCONFIG, LookupHints::V4MAPPED]
            .map(LookupHints::system_flags);
        assert_eq!(numbers, [0, 32, 8]);
        assert_eq!((LookupHints::ADDRCONFIG | LookupHints::ALL).system_flags(), 48);
    }

    #[test]
    fn mapped_addresses_replace_missing_ipv6_addresses_or_are_added_to_them() {
        let (v4, v6) = (Family::V4, Family::V6);
        let (mapped, all) = (LookupHints::V4MAPPED, LookupHints::V4MAPPED | LookupHints::ALL);
        let both = ["1.2.3.4", "::9"];
        assert_eq!(selected(LookupHints::NONE, v6, &both), ["::9"]);
        assert_eq!(selected(mapped, v6, &both), ["::9"]);
        assert_eq!(selected(all, v6, &both), ["::9", "::ffff:1.2.3.4"]);
        assert_eq!(selected(mapped, v6, &["1.2.3.4"]), ["::ffff:1.2.3.4"]);
        assert_eq!(selected(LookupHints::ALL, v6, &["1.2.3.4"]), [""; 0]);
        assert_eq!(selected(all, v4, &both), ["1.2.3.4"]);
    }

    #[test]
    fn hints_are_printed_by_name() {
        let hints = LookupHints::ADDRCONFIG | LookupHints::ALL;
        assert_eq!(format!("{hints:?}, {:?}", LookupHints::NONE), "ADDRCONFIG | ALL, NONE");
    }
}
