//! A table of values by [`SocketId`].
//!
//! It works as a [`slotmap::SlotMap`], but grows by an eighth instead of doubling. A table that doubles is a
//! quarter empty on average, which for many idle sockets costs more than moving the entries more often.

use slotmap::{Key, KeyData};

use crate::SocketId;

/// The table grows by at least this number of entries.
const GROWTH_MIN: usize = 16;

#[derive(Debug)]
pub(crate) struct Slots<V> {
    entries: Vec<Entry<V>>,
    /// The entry that was freed last.
    free: Option<u32>,
    len: usize,
}

#[derive(Debug)]
struct Entry<V> {
    /// How often the entry was used and freed: odd while it is in use, as the version of a slotmap's key.
    version: u32,
    content: Content<V>,
}

#[derive(Debug)]
enum Content<V> {
    Used(V),
    /// The entry that was freed before this one.
    Free(Option<u32>),
}

impl<V> Default for Slots<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: None, len: 0 }
    }
}

impl<V> Slots<V> {
    /// Adds a value, and returns its id, which differs from that of every other value.
    ///
    /// # Panics
    /// If the table has 2³² − 1 values.
    pub(crate) fn insert(&mut self, value: V) -> SocketId {
        let index = match self.free {
            Some(index) => index,
            None => self.grow(),
        };
        let entry = &mut self.entries[index as usize];
        entry.version |= 1;
        let before = std::mem::replace(&mut entry.content, Content::Used(value));
        if let Content::Free(next) = before {
            self.free = next;
        }
        self.len += 1;
        KeyData::from_ffi(u64::from(entry.version) << 32 | u64::from(index)).into()
    }

    /// Adds a free entry.
    fn grow(&mut self) -> u32 {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact((len / 8).max(GROWTH_MIN));
        }
        // The last index means "no key".
        let index = u32::try_from(len).ok().filter(|index| *index < u32::MAX);
        self.entries.push(Entry { version: 0, content: Content::Free(None) });
        index.expect("there are fewer than 2³² − 1 sockets")
    }

    #[inline]
    pub(crate) fn get(&self, id: SocketId) -> Option<&V> {
        let (index, version) = parts(id);
        match self.entries.get(index)? {
            Entry { version: found, content: Content::Used(value) } if *found == version => {
                Some(value)
            }
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut V> {
        let (index, version) = parts(id);
        match self.entries.get_mut(index)? {
            Entry { version: found, content: Content::Used(value) } if *found == version => {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn contains_key(&self, id: SocketId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<V> {
        self.get(id)?;
        let (index, _) = parts(id);
        let entry = &mut self.entries[index];
        entry.version = entry.version.wrapping_add(1);
        let content = std::mem::replace(&mut entry.content, Content::Free(self.free));
        self.free = u32::try_from(index).ok();
        self.len -= 1;
        match content {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(any(test, target_os = "linux"))]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().filter_map(|entry| match &entry.content {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        })
    }
}

/// The index and the version of an id.
#[inline]
fn parts(id: SocketId) -> (usize, u32) {
    let data = id.data().as_ffi();
    (data as u32 as usize, (data >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    #[cfg(unix)]
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn an_id_finds_its_value_until_it_is_removed_and_never_another_one() {
        let (mut slots, mut model, mut gone) = (Slots::default(), BTreeMap::new(), Vec::new());
        for number in 0..1000_u32 {
            let id = slots.insert(number);
            assert_eq!(model.insert(id, number), None);
            if number % 3 == 0 {
                let (id, value) = model.pop_first().unwrap();
                assert_eq!(slots.remove(id), Some(value));
                gone.push(id);
            }
        }
        assert_eq!(slots.len(), model.len());
        assert!(model.iter().all(|(id, value)| slots.get(*id) == Some(value)));
        assert!(model.iter().all(|(id, value)| slots.get_mut(*id).as_deref() == Some(value)));
        assert!(gone.iter().all(|id| slots.get(*id).is_none() && slots.remove(*id).is_none()));
        assert_eq!(slots.values().count(), model.len());
        assert!(slots.entries.capacity() <= slots.entries.len() * 9 / 8 + GROWTH_MIN);
    }

    #[test]
    #[cfg(unix)]
    fn an_entry_with_a_descriptor_takes_no_more_than_it_and_a_version() {
        assert_eq!(size_of::<Entry<(OwnedFd, [u8; 12])>>(), 20);
    }
}
