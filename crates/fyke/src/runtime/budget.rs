//! How much of what was written the kernel took at once, within one batch of callbacks.

use std::cell::Cell;

/// As much as one read brings.
const TOLD_BYTES_MAX: usize = 65_535;

/// Counts from the beginning of a batch of callbacks to its end.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bytes: Cell<usize>,
    /// Of those, what writers were told of. They may have written on because of it.
    told_bytes: Cell<usize>,
}

impl Budget {
    /// The kernel took bytes at once.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// Whether a writer may be told in this batch that its bytes are with the kernel: the first one
    /// always, as in Node, and others until it was much. Counts them as told.
    pub(crate) fn may_be_told(&self) -> bool {
        let may = self.told_bytes.get() <= TOLD_BYTES_MAX;
        if may {
            self.told_bytes.set(self.bytes.get());
        }
        may
    }

    /// This batch is such news already.
    pub(crate) fn tell_no_more(&self) {
        self.told_bytes.set(usize::MAX);
    }

    /// The batch has ended.
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
