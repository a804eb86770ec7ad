//! A number that is another one in each run.

use std::hash::{BuildHasher, RandomState};

/// From the keys that the standard library draws for its maps.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}
