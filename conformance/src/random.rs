//! A number that differs in each run.

use std::hash::{BuildHasher, RandomState};

/// From the keys that the standard library generates for its maps.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}
