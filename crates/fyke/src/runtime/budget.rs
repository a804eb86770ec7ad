//! Counts the written bytes that the kernel accepted immediately within one batch of callbacks.

use std::cell::Cell;

/// The size of one read.
const REPORTED_BYTES_MAX: usize = 65_535;

/// Counts from the beginning of a batch of callbacks to its end.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bytes: Cell<usize>,
    /// The part of these bytes that was reported to writers, which may have written more because of it.
    reported_bytes: Cell<usize>,
}

impl Budget {
    /// Counts bytes that the kernel accepted immediately.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// Whether accepted bytes may be reported to a writer in this batch. Those of the first writer always
    /// may, as in Node; those of further writers may until the reported bytes exceed the limit. Marks the
    /// bytes as reported.
    pub(crate) fn may_report(&self) -> bool {
        let may = self.reported_bytes.get() <= REPORTED_BYTES_MAX;
        if may {
            self.reported_bytes.set(self.bytes.get());
        }
        may
    }

    /// Reports nothing more in this batch.
    pub(crate) fn report_no_more(&self) {
        self.reported_bytes.set(usize::MAX);
    }

    /// Resets the counters at the end of the batch.
    pub(crate) fn forget(&self) {
        self.bytes.set(0);
        self.reported_bytes.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_write_is_reported_and_later_ones_until_the_limit() {
        let budget = Budget::default();
        budget.count(1 << 20);
        assert!(budget.may_report(), "the first, however much it is");
        budget.count(1);
        assert!(!budget.may_report());
        budget.forget();
        for _ in 0..3 {
            budget.count(REPORTED_BYTES_MAX / 3);
            assert!(budget.may_report());
        }
        budget.count(1);
        assert!(budget.may_report());
        budget.count(1);
        assert!(!budget.may_report());
    }

    #[test]
    fn after_a_late_report_no_more_writes_are_reported() {
        let budget = Budget::default();
        budget.report_no_more();
        budget.count(1);
        assert!(!budget.may_report());
    }
}
