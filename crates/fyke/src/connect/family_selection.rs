//! How to connect to a host that has several addresses: the defaults, which belong to the process.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

pub use fyke_machine::planner::FamilySelection;

use crate::{Error, ErrorCode, Result};

static SELECTION: AtomicU8 = AtomicU8::new(0);
static ATTEMPT_TIMEOUT_MS: AtomicU64 = AtomicU64::new(500);

/// Shorter timeouts are raised to this value, as in Node.
// HE-20
const ATTEMPT_TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// The default of connects that do not set
/// [`ConnectOptions::family_selection`](crate::ConnectOptions::family_selection): initially
/// [`FamilySelection::Race`]. Node: `net.getDefaultAutoSelectFamily()`.
///
/// ```
/// use fyke::{FamilySelection, family_selection};
///
/// assert_eq!(family_selection::default(), FamilySelection::Race);
/// # Ok::<(), fyke::Error>(())
/// ```
#[doc(alias = "getDefaultAutoSelectFamily")]
pub fn default() -> FamilySelection {
    match SELECTION.load(Ordering::Relaxed) {
        1 => FamilySelection::Sequential,
        2 => FamilySelection::Off,
        _ => FamilySelection::Race,
    }
}

/// Sets the default for later connects of the process. Node: `net.setDefaultAutoSelectFamily()`.
///
/// ```
/// use fyke::{FamilySelection, family_selection};
///
/// family_selection::set_default(FamilySelection::Sequential); // Node's way
/// assert_eq!(family_selection::default(), FamilySelection::Sequential);
/// # family_selection::set_default(FamilySelection::Race);
/// # Ok::<(), fyke::Error>(())
/// ```
#[doc(alias = "setDefaultAutoSelectFamily")]
pub fn set_default(selection: FamilySelection) {
    let number = match selection {
        FamilySelection::Sequential => 1,
        FamilySelection::Off => 2,
        _ => 0,
    };
    SELECTION.store(number, Ordering::Relaxed);
}

/// How long [`FamilySelection::Sequential`] tries one address, unless the connect sets
/// [`ConnectOptions::attempt_timeout`](crate::ConnectOptions::attempt_timeout): initially 500 ms. Node:
/// `net.getDefaultAutoSelectFamilyAttemptTimeout()`.
#[doc(alias = "getDefaultAutoSelectFamilyAttemptTimeout")]
pub fn attempt_timeout() -> Duration {
    Duration::from_millis(ATTEMPT_TIMEOUT_MS.load(Ordering::Relaxed))
}

/// Sets the default of [`attempt_timeout`] for later connects of the process. Fractions of a millisecond are
/// dropped, and less than 10 ms is raised to 10 ms. Node: `net.setDefaultAutoSelectFamilyAttemptTimeout()`.
///
/// ```
/// use std::time::Duration;
/// use fyke::family_selection;
///
/// family_selection::set_attempt_timeout(Duration::from_millis(5))?;
/// assert_eq!(family_selection::attempt_timeout(), Duration::from_millis(10), "raised");
/// assert!(family_selection::set_attempt_timeout(Duration::ZERO).is_err());
/// # family_selection::set_attempt_timeout(Duration::from_millis(500))?;
/// # Ok::<(), fyke::Error>(())
/// ```
///
/// # Errors
/// `ERR_OUT_OF_RANGE` for less than 1 ms, and for more than 2,147,483,647 ms.
#[doc(alias = "setDefaultAutoSelectFamilyAttemptTimeout")]
pub fn set_attempt_timeout(timeout: Duration) -> Result<()> {
    let timeout = checked(timeout)?;
    let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    ATTEMPT_TIMEOUT_MS.store(milliseconds, Ordering::Relaxed);
    Ok(())
}

/// Checks a timeout, and returns the value that takes effect.
pub(super) fn checked(timeout: Duration) -> Result<Duration> {
    let range = Duration::from_millis(1)..=Duration::from_millis(0x7fff_ffff);
    if !range.contains(&timeout) {
        let message =
            format!("the attempt timeout must be from 1 ms to 2147483647 ms, not {timeout:?}");
        return Err(Error::new(ErrorCode::ERR_OUT_OF_RANGE, message));
    }
    Ok(timeout.max(ATTEMPT_TIMEOUT_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn he_19_the_defaults_are_nodes_and_can_be_set() {
        assert_eq!((default(), attempt_timeout().as_millis()), (FamilySelection::Race, 500));
        for (set, kept) in [(5, 10), (10, 10), (700, 700), (500, 500)] {
            set_attempt_timeout(Duration::from_millis(set)).unwrap();
            assert_eq!(attempt_timeout().as_millis(), kept);
        }
        for selection in [FamilySelection::Off, FamilySelection::Sequential, FamilySelection::Race]
        {
            set_default(selection);
            assert_eq!(default(), selection);
        }
    }

    #[test]
    fn he_20_zero_and_too_long_timeouts_are_out_of_range() {
        for timeout in [Duration::ZERO, Duration::from_millis(1 << 31)] {
            let code = checked(timeout).unwrap_err().code();
            assert_eq!(code, ErrorCode::ERR_OUT_OF_RANGE);
        }
    }
}
