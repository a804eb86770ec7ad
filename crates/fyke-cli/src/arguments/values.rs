//! Parsers for times, sizes, rates and numbers.

use std::time::Duration;

const TIME: &str = "expected a time such as 5 (seconds), 100ms, 1.5s, 2m or 1h";
const SIZE: &str = "expected a size such as 500, 64k, 10M or 1G";
const COUNT: &str = "expected a number such as 500, 10k or 1M";

/// Parses a time: `5` (seconds), `100ms`, `1.5s`, `2m`, `1h`, `50us`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" => 0.000_001,
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(String::from(TIME)),
    };
    let number = number.parse::<f64>();
    let number = number.map_err(|_| String::from(TIME))?;
    // The longest time that a timer supports, about 24 days.
    let most = Duration::from_millis(0x7fff_ffff);
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(duration) if duration <= most => Ok(duration),
        _ => Err(String::from("the maximum is 596 hours")),
    }
}

/// Parses a time greater than zero.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(String::from("the time must be greater than 0")),
        duration => Ok(duration),
    }
}

/// Parses a size in multiples of 1024: `500`, `64k`, `10M`, `1G`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    scaled(text, 1024.0, SIZE)
}

/// Parses a size greater than zero.
pub(super) fn some_bytes(text: &str) -> Result<u64, String> {
    nonzero(bytes(text)?)
}

/// Parses a rate in bytes per second, with or without `/s`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    some_bytes(text.strip_suffix("/s").unwrap_or(text))
}

/// Parses a number in multiples of 1000: `500`, `10k`, `1M`.
pub(super) fn count(text: &str) -> Result<u64, String> {
    nonzero(scaled(text.strip_suffix("/s").unwrap_or(text), 1000.0, COUNT)?)
}

/// Parses the seed of a random sequence.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| String::from("a seed is a whole number, such as 7"))
}

/// Parses a factor that is not negative.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| *factor >= 0.0 && factor.is_finite());
    factor.ok_or_else(|| String::from("a factor is 0 or more, such as 2 or 0.5"))
}

/// Parses the mode of a file, in octal digits.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| String::from("expected up to three octal digits, such as 660"))
}

/// A size, or a range of sizes `A..B` from which each use takes a random value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

pub(super) fn span(text: &str) -> Result<Span, String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let span = Span { least: some_bytes(least)?, most: some_bytes(most)? };
    if span.least > span.most {
        return Err(String::from("the range must start with the smaller value, as in 1k..64k"));
    }
    Ok(span)
}

fn nonzero(number: u64) -> Result<u64, String> {
    if number == 0 { Err(String::from("the value must be greater than 0")) } else { Ok(number) }
}

fn scaled(text: &str, thousand: f64, expected: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = unit.strip_suffix("iB").or(unit.strip_suffix('B')).unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        _ => return Err(expected.to_owned()),
    };
    let number = number.parse::<f64>().map_err(|_| expected.to_owned())? * thousand.powi(power);
    // Larger numbers cannot all be represented as a float.
    if !(0.0..9e15).contains(&number) {
        return Err(expected.to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    let number = number as u64;
    Ok(number)
}

/// Splits text into its digits and the suffix.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_with_their_units() {
        for (text, milliseconds) in [
            ("5", 5000),
            ("0", 0),
            ("100ms", 100),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1", "1d", "1 s", "1e3", "nan", "inf", "1.2.3", "600h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(some_time("0ms").is_err());
    }

    #[test]
    fn a_seed_is_a_whole_number_and_a_factor_is_not_negative() {
        assert_eq!((seed("7"), factor("0"), factor("0.5")), (Ok(7), Ok(0.0), Ok(0.5)));
        for text in ["", "x", "-1", "nan", "inf"] {
            assert!(seed(text).is_err() && factor(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_multiples_of_1024_and_numbers_of_1000() {
        for (text, number) in [
            ("0", 0),
            ("500", 500),
            ("64k", 65536),
            ("64KiB", 65536),
            ("1.5M", 1_572_864),
            ("1G", 1 << 30),
        ] {
            assert_eq!(bytes(text), Ok(number), "{text}");
        }
        assert_eq!(rate("2k/s"), Ok(2048));
        assert_eq!(count("10k"), Ok(10_000));
        for text in ["", "k", "-1", "1T", "99999999G", "1 k"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert!(count("0").is_err() && rate("0").is_err());
    }

    #[test]
    fn a_span_is_one_size_or_a_range_of_two() {
        assert_eq!(span("5"), Ok(Span { least: 5, most: 5 }));
        assert_eq!(span("1k..2k"), Ok(Span { least: 1024, most: 2048 }));
        for text in ["0", "2..1", "1..", "..", "1..2..3"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mode_is_parsed_as_octal() {
        assert_eq!(mode("660"), Ok(0o660));
        for text in ["", "888", "1777", "rw"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
