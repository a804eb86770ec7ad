//! A table of values, indexed by socket id.

use fyke_driver::SocketId;
use slotmap::Key;

/// The driver assigns dense numbers and reuses them. The table grows by blocks: a vector that doubles would
/// on average be a quarter empty, and would move all entries when it grows.
const BLOCK_LEN: usize = 64;

type Entry<V> = Option<(SocketId, V)>;

/// Values by id. The id of a closed socket finds nothing, even if its slot is in use again.
#[derive(Debug)]
pub(super) struct Actors<V> {
    blocks: Vec<Box<[Entry<V>; BLOCK_LEN]>>,
}

impl<V> Default for Actors<V> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

/// The block of an id, and the index in the block.
fn place(id: SocketId) -> (usize, usize) {
    // The lower half is the slot number; the upper half counts how often the slot was assigned.
    let number = id.data().as_ffi() as u32 as usize;
    (number / BLOCK_LEN, number % BLOCK_LEN)
}

impl<V> Actors<V> {
    #[inline]
    pub(super) fn get(&self, id: SocketId) -> Option<&V> {
        let (block, index) = place(id);
        let (found, value) = self.blocks.get(block)?[index].as_ref()?;
        (*found == id).then_some(value)
    }

    /// Stores a value and returns the previous one in this slot.
    #[must_use]
    pub(super) fn insert(&mut self, id: SocketId, value: V) -> Option<V> {
        let (block, index) = place(id);
        while self.blocks.len() <= block {
            self.blocks.push(Box::new([const { None }; BLOCK_LEN]));
        }
        self.blocks[block][index].replace((id, value)).map(|(_, value)| value)
    }

    #[must_use]
    pub(super) fn remove(&mut self, id: SocketId) -> Option<V> {
        let (block, index) = place(id);
        let entry = &mut self.blocks.get_mut(block)?[index];
        entry.take_if(|(found, _)| *found == id).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketId, &V)> {
        let entries = self.blocks.iter().flat_map(|block| block.iter().flatten());
        entries.map(|(id, value)| (*id, value))
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn values_are_found_by_their_id_but_not_by_an_older_id_of_the_same_slot() {
        let mut ids: SlotMap<SocketId, ()> = SlotMap::default();
        let mut actors = Actors::default();
        let all: Vec<SocketId> = (0..1000).map(|_| ids.insert(())).collect();
        for (number, id) in all.iter().enumerate() {
            assert_eq!(actors.insert(*id, number), None);
        }
        assert!(all.iter().enumerate().all(|(number, id)| actors.get(*id) == Some(&number)));
        assert_eq!(actors.iter().map(|(id, _)| id).collect::<Vec<_>>(), all);
        assert!(actors.blocks.len() <= 1000 / BLOCK_LEN + 1);

        let old = all[500];
        ids.remove(old);
        let new = ids.insert(());
        assert_eq!(actors.insert(new, 0), Some(500), "the place is taken again");
        assert_eq!((actors.get(old).copied(), actors.remove(old)), (None, None));
        assert_eq!((actors.get(new).copied(), actors.remove(new)), (Some(0), Some(0)));
        assert_eq!((actors.get(new), actors.iter().count()), (None, 999));
    }

    #[test]
    fn an_id_beyond_the_table_finds_nothing() {
        let mut ids: SlotMap<SocketId, ()> = SlotMap::default();
        let id = ids.insert(());
        let mut actors: Actors<u8> = Actors::default();
        assert_eq!((actors.get(id).copied(), actors.remove(id)), (None, None));
    }
}
