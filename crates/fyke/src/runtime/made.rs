//! Objects that the user made and the loop does not own. The list contains them while they exist.

/// A list whose elements expire by themselves. Expired elements are removed now and then. Each addition
/// checks a constant number of elements on average, even if hardly any element has expired.
#[derive(Debug)]
pub(super) struct Made<T> {
    list: Vec<T>,
    /// The length at which expired elements are removed.
    look_at: usize,
}

/// Shorter lists are never checked.
const LOOK_MIN: usize = 16;

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self { list: Vec::new(), look_at: LOOK_MIN }
    }
}

impl<T> Made<T> {
    /// Adds an element, and now and then removes the expired ones.
    pub(super) fn add(&mut self, element: T, is_gone: impl Fn(&T) -> bool) {
        if self.list.len() >= self.look_at {
            self.list.retain(|element| !is_gone(element));
            // The next check happens after as many additions as there are elements, which pay for it.
            self.look_at = (2 * self.list.len()).max(LOOK_MIN);
            self.list.shrink_to(self.look_at);
        }
        self.list.push(element);
    }

    pub(super) fn into_list(self) -> Vec<T> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const COUNT: usize = 1 << 12;

    /// Regression: all elements were checked whenever the list had reached its capacity. If exactly that
    /// many elements were alive, and one expired for each addition, that was at every addition.
    #[test]
    fn an_addition_costs_a_constant_number_of_checks_for_any_number_of_live_elements() {
        for live in COUNT / 2 - 3..COUNT / 2 + 3 {
            let (looks, added) = (Cell::new(0), Cell::new(0));
            let mut made = Made::default();
            for number in 0..COUNT {
                added.set(number);
                made.add(number, |element| {
                    looks.set(looks.get() + 1);
                    *element + live <= added.get()
                });
            }
            assert!(looks.get() <= 3 * COUNT, "{} looks with {live} live", looks.get());
        }
    }

    #[test]
    fn expired_elements_are_removed() {
        let mut made = Made::default();
        for number in 0..COUNT {
            made.add(number, |element| *element + 100 < number);
            assert!(made.list.len() <= 2 * 102 + LOOK_MIN);
        }
        assert!(made.list.capacity() < 1000);
        assert_eq!(made.into_list().last(), Some(&(COUNT - 1)));
    }
}
