//! A list that is mostly of one.

use std::ops::{Deref, DerefMut};

/// A list of which the first element is in place: most sockets have one listener, and a `Vec` would
/// be one more allocation for each. No larger than an element if that has a niche, as one with a box
/// or a bool has.
#[derive(Debug, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, element: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(element),
            Self::One(first) => Self::Many(vec![first, element]),
            Self::Many(mut elements) => {
                elements.push(element);
                Self::Many(elements)
            }
        };
    }

    /// Takes the last one.
    pub(crate) fn pop(&mut self) -> Option<T> {
        match self {
            Self::Many(elements) => elements.pop(),
            _ => match std::mem::take(self) {
                Self::One(element) => Some(element),
                _ => None,
            },
        }
    }

    /// Takes one out of the middle. Panics if there is none at `index`, as `Vec` does.
    pub(crate) fn remove(&mut self, index: usize) -> T {
        match std::mem::take(self) {
            Self::One(element) if index == 0 => element,
            Self::Many(mut elements) => {
                let element = elements.remove(index);
                *self = Self::Many(elements);
                element
            }
            _ => panic!("there is no element {index}"),
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        match self {
            Self::None => {}
            Self::One(element) => {
                if !keep(element) {
                    *self = Self::None;
                }
            }
            Self::Many(elements) => elements.retain(keep),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(element) => std::slice::from_ref(element),
            Self::Many(elements) => elements,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(element) => std::slice::from_mut(element),
            Self::Many(elements) => elements,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut few = Self::None;
        elements.into_iter().for_each(|element| few.push(element));
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_order_whatever_their_number() {
        for count in 0..5 {
            let mut few: Few<u8> = (0..count).collect();
            assert!(few.iter().copied().eq(0..count));
            few.iter_mut().for_each(|element| *element += 1);
            assert!((1..=count).rev().all(|expected| few.pop() == Some(expected)));
            assert_eq!(few.pop(), None);
            few.push(7);
            assert_eq!(*few, [7]);
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_stays() {
        let mut few: Few<u8> = (0..4).collect();
        few.retain(|element| *element != 2);
        assert_eq!((few.remove(1), &*few), (1, &[0, 3][..]));
        let mut few: Few<u8> = Few::One(1);
        few.retain(|element| *element == 1);
        assert_eq!(few.remove(0), 1);
        assert!(few.is_empty());
        few.push(2);
        few.retain(|_| false);
        assert!(few.is_empty());
    }
}
