//! A list that usually has one or two elements.

use std::ops::{Deref, DerefMut};

/// A list that stores up to two elements inline. Most sockets have one or two listeners (for data,
/// and for the idle timeout), and a `Vec` would be one more allocation for each socket. The list is
/// no larger than two elements if they have a niche, as an element with a `bool` has.
#[derive(Debug, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Two([T; 2]),
    Many(Vec<T>),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, element: T) {
        match self {
            Self::None => *self = Self::One(element),
            Self::Many(elements) => {
                if elements.len() == elements.capacity() {
                    grow(elements);
                }
                elements.push(element);
            }
            Self::One(_) | Self::Two(_) => {
                *self = match std::mem::take(self) {
                    Self::One(first) => Self::Two([first, element]),
                    others => Self::Many(others.into_iter().chain([element]).collect()),
                };
            }
        }
    }

    /// Removes and returns the last element.
    pub(crate) fn pop(&mut self) -> Option<T> {
        match self {
            Self::Many(elements) => elements.pop(),
            _ => match std::mem::take(self) {
                Self::One(element) => Some(element),
                Self::Two([first, second]) => {
                    *self = Self::One(first);
                    Some(second)
                }
                _ => None,
            },
        }
    }

    /// Removes and returns the element at `index`; the last element takes its place.
    pub(crate) fn swap_remove(&mut self, index: usize) -> Option<T> {
        let last = self.len().checked_sub(1).filter(|last| index <= *last)?;
        self.swap(index, last);
        self.pop()
    }

    /// Removes and returns the element at `index`. Panics if there is none, as `Vec` does.
    pub(crate) fn remove(&mut self, index: usize) -> T {
        match std::mem::take(self) {
            Self::One(element) if index == 0 => element,
            Self::Two([first, second]) if index < 2 => {
                let (element, other) = if index == 0 { (first, second) } else { (second, first) };
                *self = Self::One(other);
                element
            }
            Self::Many(mut elements) => {
                let element = elements.remove(index);
                *self = Self::Many(elements);
                element
            }
            _ => panic!("there is no element {index}"),
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        if let Self::Many(elements) = self {
            elements.retain(&keep);
            if elements.len() > 2 {
                return;
            }
            // Store the elements inline again: a socket that has connected should use as little
            // memory as others.
        }
        *self = std::mem::take(self).into_iter().filter(keep).collect();
    }

    fn into_iter(self) -> impl Iterator<Item = T> {
        let (few, many) = match self {
            Self::None => ([None, None], Vec::new()),
            Self::One(element) => ([Some(element), None], Vec::new()),
            Self::Two([first, second]) => ([Some(first), Some(second)], Vec::new()),
            Self::Many(elements) => ([None, None], elements),
        };
        few.into_iter().flatten().chain(many)
    }
}

/// Grows a list by an eighth. If it doubled, a list of idle sockets would be a quarter empty on average.
#[cold]
fn grow<T>(elements: &mut Vec<T>) {
    const GROWTH_MIN: usize = 4;
    elements.reserve_exact((elements.len() / 8).max(GROWTH_MIN));
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // Check the most frequent case first: a jump table is slower.
        if let Self::Two(elements) = self {
            return elements;
        }
        match self {
            Self::None => &[],
            Self::One(element) => std::slice::from_ref(element),
            Self::Two(elements) => elements,
            Self::Many(elements) => elements,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        if let Self::Two(elements) = self {
            return elements;
        }
        match self {
            Self::None => &mut [],
            Self::One(element) => std::slice::from_mut(element),
            Self::Two(elements) => elements,
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
    fn elements_keep_their_order_for_any_number() {
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
    fn a_removed_element_is_gone_and_the_rest_stays() {
        let mut few: Few<u8> = (0..4).collect();
        few.retain(|element| *element != 2);
        assert_eq!((few.remove(1), &*few), (1, &[0, 3][..]));
        let mut few: Few<u8> = (0..2).collect();
        assert_eq!((few.remove(0), &*few), (0, &[1][..]));
        few.push(3);
        assert_eq!((few.remove(1), &*few), (3, &[1][..]));
        few.push(4);
        few.retain(|element| *element == 4);
        assert_eq!(*few, [4]);
        let mut few: Few<u8> = Few::One(1);
        few.retain(|element| *element == 1);
        assert_eq!(few.remove(0), 1);
        assert!(few.is_empty());
        few.push(2);
        few.retain(|_| false);
        assert!(few.is_empty());
    }
}
