//! The time of day, as RFC 3339 writes it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Formats the time as `2026-05-12T10:11:12.345678Z`. It is always UTC, because the standard
/// library supports no other time zone.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    text(since.as_secs(), since.subsec_micros())
}

/// The day of a time, as `2026-05-12`, in UTC. A day before 1970 is printed as the first day of 1970.
pub(crate) fn day(time: SystemTime) -> String {
    let (year, month, day) =
        date(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86400);
    format!("{year:04}-{month:02}-{day:02}")
}

fn text(seconds: u64, microseconds: u32) -> String {
    let (days, second) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microseconds:06}Z")
}

/// The Gregorian date of the day that is this many days after 1970-01-01. This is Howard Hinnant's
/// `civil_from_days`: years begin in March, so that a leap day is the last day of a year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_and_the_ends_of_years_are_correct() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000007Z"),
        ] {
            assert_eq!(text(seconds, 7), expected);
        }
    }
}
