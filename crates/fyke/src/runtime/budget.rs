//! Counts the written bytes that the kernel accepted immediately within one batch of callbacks.

use std::cell::Cell;

/// The size of one read.
const TOLD_BYTES_MAX: usize = 65_535;

/// Counts from the beginning of a batch of callbacks to its end.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bytes: Cell<usize>,
    /// The part of these bytes that was reported to writers, which may have written more because of it.
    told_bytes: Cell<usize>,
}

impl Budget {
    /// Counts bytes that the kernel accepted immediately.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// Whether a writer may be told in this batch that the kernel has accepted its bytes. The first writer
    /// always may, as in Node; further ones may until the reported bytes exceed the limit. Marks the bytes
    /// as reported.
    pub(crate) fn may_be_told(&self) -> bool {
        let may = self.told_bytes.get() <= TOLD_BYTES_MAX;
        if may {
            self.told_bytes.set(self.bytes.get());
        }
        may
    }

    /// No more writers may be told in this batch.
    pub(crate) fn tell_no_more(&self) {
        self.told_bytes.set(usize::MAX);
    }

    /// Resets the counters at the end of the batch.
    pub(crate) fn forget(&self) {
        self.bytes.set(0);
        self.told_bytes.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_others_until_it_was_much() {
        let budget = Budget::default();
        budget.count(1 << 20);
        assert!(budget.may_be_told(), "the first, however much it is");
        budget.count(1);
        assert!(!budget.may_be_told());
        budget.forget();
        for _ in 0..3 {
            budget.count(TOLD_BYTES_MAX / 3);
            assert!(budget.may_be_told());
        }
        budget.count(1);
        assert!(budget.may_be_told());
        budget.count(1);
        assert!(!budget.may_be_told());
    }

    #[test]
    fn what_is_told_late_is_all_that_is_told() {
        let budget = Budget::default();
        budget.tell_no_more();
        budget.count(1);
        assert!(!budget.may_be_told());
    }
}
