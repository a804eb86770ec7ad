//! The bytes that a scenario writes (FORMAT.md 4.1 and 4.6).

use fyke::{Encoding, Payload, Result};

use crate::scenario::Fields;

/// A period that is not a power of two, so that lost or swapped blocks are detected.
const PERIOD: usize = 65_521;

/// The data for `write` or `end`; `None` if there is none.
///
/// fyke accepts bytes (WR-25), so the caller encodes text.
pub(crate) fn payload(fields: &Fields) -> Result<Option<Payload<'static>>> {
    if let Some(length) = fields.count("big") {
        return Ok(Some(pattern(length).into()));
    }
    if let Some(hex) = fields.text("hex") {
        return Ok(Some(Encoding::Hex.encode(hex).into()));
    }
    let Some(text) = fields.text("data") else { return Ok(None) };
    Ok(Some(match fields.text("encoding") {
        None => text.to_owned().into(),
        Some(encoding) => encoding.parse::<Encoding>()?.encode(text).into(),
    }))
}

fn pattern(length: usize) -> Vec<u8> {
    let byte = |j: usize| (j * 7 + (j >> 8) * 13) as u8;
    let period: Vec<u8> = (0..PERIOD.min(length)).map(byte).collect();
    // In whole periods, because some scenarios write 32 MiB between two timers.
    let mut bytes = period.repeat(length / PERIOD);
    bytes.extend_from_slice(&period[..length % PERIOD]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_follows_its_formula_and_repeats() {
        let bytes = pattern(PERIOD + 300);
        assert_eq!(bytes[..3], [0, 7, 14]);
        assert_eq!(bytes[256], ((256 * 7 + 13) % 256) as u8);
        assert_eq!(bytes[PERIOD..], bytes[..300]);
    }
}
