//! Listeners of an object: in order of registration, removable at any time, also by themselves
//! while they run.

use std::cell::RefCell;
use std::ops::Range;

use crate::few::Few;

/// Names a listener, for `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u32);

/// The events of an object, numbered from 0, at most 30 of them.
pub(crate) trait EventNumber: Copy + PartialEq {
    fn number(self) -> u32;
}

/// The listeners of one object. `E` names the events, `C` holds the callbacks.
///
/// A callback is out of its place while it runs, so nothing is borrowed then. Callbacks never
/// run inside one another (contract C1), so one flag is enough to know that some place is only
/// empty for the moment.
pub(crate) struct Listeners<E, C> {
    list: RefCell<List<E, C>>,
}

struct List<E, C> {
    entries: Few<Entry<E, C>>,
    last_id: u32,
    /// A bit for each event that has a listener, and the two below: whether anybody listens is asked
    /// several times for every message.
    bits: u32,
}

/// The list is in use.
const EMITTING: u32 = 1 << 31;
/// Some were removed meanwhile, and are still in it.
const REMOVED: u32 = 1 << 30;

pub(crate) struct Entry<E, C> {
    /// 0 when it was removed while the list was in use.
    id: u32,
    event: E,
    once: bool,
    callback: Option<C>,
}

impl<E, C> Default for Listeners<E, C> {
    fn default() -> Self {
        Self { list: RefCell::new(List { entries: Few::None, last_id: 0, bits: 0 }) }
    }
}

impl<E: EventNumber, C> List<E, C> {
    fn is_emitting(&self) -> bool {
        self.bits & EMITTING != 0
    }

    /// Takes the callback of the first listener in a range, if there is one.
    #[inline]
    fn take_next(&mut self, range: Range<usize>, event: E) -> Option<(usize, u32, C)> {
        // All may have been dropped meanwhile.
        let entries = self.entries.get_mut(..range.end)?;
        let mut index = range.start;
        let entry = loop {
            let entry = entries.get_mut(index)?;
            if entry.event == event && entry.id != 0 {
                break entry;
            }
            index += 1;
        };
        let (id, callback) = (entry.id, entry.callback.take()?);
        if entry.once {
            entry.id = 0;
            self.bits |= REMOVED;
            self.recount();
        }
        Some((index, id, callback))
    }

    /// Puts a callback back, or returns it, to be dropped where nothing is borrowed, if it was removed
    /// meanwhile.
    #[inline]
    fn put_back(&mut self, index: usize, id: u32, callback: Option<C>) -> Option<C> {
        let callback = callback?;
        match self.entries.get_mut(index) {
            Some(entry) if entry.id == id => {
                entry.callback = Some(callback);
                None
            }
            _ => Some(callback),
        }
    }

    /// Finds out again which events have listeners.
    #[cold]
    fn recount(&mut self) {
        self.bits &= EMITTING | REMOVED;
        for entry in self.entries.iter().filter(|entry| entry.id != 0) {
            self.bits |= 1 << entry.event.number();
        }
    }
}

impl<E: EventNumber, C> Listeners<E, C> {
    pub(crate) fn add(&self, event: E, once: bool, callback: C) -> ListenerId {
        let mut list = self.list.borrow_mut();
        list.last_id = list.last_id.wrapping_add(1).max(1);
        let id = list.last_id;
        list.entries.push(Entry { id, event, once, callback: Some(callback) });
        list.bits |= 1 << event.number();
        ListenerId(id)
    }

    /// Removes a listener and returns its callback, to be dropped where nothing is borrowed.
    pub(crate) fn remove(&self, id: ListenerId) -> Option<C> {
        let mut list = self.list.borrow_mut();
        let index = list.entries.iter().position(|entry| entry.id == id.0)?;
        let callback = if list.is_emitting() {
            list.bits |= REMOVED;
            list.entries[index].id = 0;
            list.entries[index].callback.take()
        } else {
            list.entries.remove(index).callback
        };
        list.recount();
        callback
    }

    pub(crate) fn has(&self, event: E) -> bool {
        self.list.borrow().bits & 1 << event.number() != 0
    }

    /// Whether any of some events has listeners.
    #[inline]
    pub(crate) fn has_any(&self, events: &[E]) -> bool {
        let mask = events.iter().fold(0, |mask, event| mask | 1 << event.number());
        self.list.borrow().bits & mask != 0
    }

    /// Whether one event has listeners and another has none.
    pub(crate) fn has_without(&self, event: E, other: E) -> bool {
        let mask = 1 << event.number() | 1 << other.number();
        self.list.borrow().bits & mask == 1 << event.number()
    }

    /// Runs the listeners of an event, those that are there now.
    pub(crate) fn emit(&self, event: E, call: impl FnMut(&mut C)) {
        self.emit_while(event, call, || true);
    }

    /// The same, as long as `go_on` says so when there are more.
    pub(crate) fn emit_while(
        &self,
        event: E,
        mut call: impl FnMut(&mut C),
        go_on: impl Fn() -> bool,
    ) {
        let Some(mut emission) = self.begin(event) else { return };
        loop {
            emission.callback.iter_mut().for_each(&mut call);
            if emission.is_last() || !go_on() || !emission.take_next(event) {
                return;
            }
        }
    }

    /// Takes the first callback of an event, if there is one: the list is in use from here on.
    fn begin(&self, event: E) -> Option<Emission<'_, E, C>> {
        let mut list = self.list.borrow_mut();
        if list.bits & 1 << event.number() == 0 {
            return None;
        }
        let count = list.entries.len();
        let (index, id, callback) = list.take_next(0..count, event)?;
        list.bits |= EMITTING;
        Some(Emission { listeners: self, index, count, id, callback: Some(callback) })
    }

    /// Takes all listeners, to be dropped where nothing is borrowed.
    #[must_use]
    pub(crate) fn clear(&self) -> Few<Entry<E, C>> {
        let mut list = self.list.borrow_mut();
        if !list.is_emitting() {
            list.bits = 0;
            return std::mem::take(&mut list.entries);
        }
        list.bits = EMITTING | REMOVED;
        let entries = list.entries.iter_mut();
        entries
            .map(|entry| {
                entry.id = 0;
                Entry { callback: entry.callback.take(), ..*entry }
            })
            .collect()
    }
}

/// Listeners of an event that run, one after the other. The callback that runs goes back to its place
/// also when it panics, and what was removed meanwhile goes.
struct Emission<'a, E: EventNumber, C> {
    listeners: &'a Listeners<E, C>,
    /// Where the callback comes from.
    index: usize,
    /// How many listeners there were: others are for the next time.
    count: usize,
    id: u32,
    callback: Option<C>,
}

impl<E: EventNumber, C> Emission<'_, E, C> {
    fn is_last(&self) -> bool {
        self.index + 1 >= self.count
    }

    /// Whether there is another one. It has taken the place of the last one then.
    fn take_next(&mut self, event: E) -> bool {
        let rest = self.index + 1..self.count;
        let mut list = self.listeners.list.borrow_mut();
        let before = list.put_back(self.index, self.id, self.callback.take());
        let next = list.take_next(rest, event);
        drop(list);
        drop(before);
        let Some((index, id, callback)) = next else { return false };
        (self.index, self.id, self.callback) = (index, id, Some(callback));
        true
    }
}

impl<E: EventNumber, C> Drop for Emission<'_, E, C> {
    fn drop(&mut self) {
        let mut list = self.listeners.list.borrow_mut();
        let removed = list.put_back(self.index, self.id, self.callback.take());
        if list.bits & REMOVED != 0 {
            list.entries.retain(|entry| entry.id != 0);
        }
        list.bits &= !(EMITTING | REMOVED);
        drop(list);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    impl EventNumber for u8 {
        fn number(self) -> u32 {
            self.into()
        }
    }

    type Calls = Listeners<u8, Box<dyn FnMut()>>;

    fn emit(listeners: &Calls, event: u8) {
        listeners.emit(event, |callback| callback());
    }

    fn counter(count: &Rc<Cell<u32>>) -> Box<dyn FnMut()> {
        let count = Rc::clone(count);
        Box::new(move || count.set(count.get() + 1))
    }

    #[test]
    fn only_listeners_of_the_event_run_and_a_one_shot_runs_once() {
        let (often, once) = (Rc::default(), Rc::default());
        let listeners = Calls::default();
        listeners.add(1, false, counter(&often));
        listeners.add(1, true, counter(&once));
        emit(&listeners, 1);
        emit(&listeners, 2);
        emit(&listeners, 1);
        assert_eq!((often.get(), once.get()), (2, 1));
    }

    #[test]
    fn a_listener_may_remove_itself_and_add_others_while_it_runs() {
        let listeners: Rc<Calls> = Rc::default();
        let added = Rc::default();
        let id = Rc::new(Cell::new(None));
        let callback = {
            let (listeners, added, id) = (Rc::clone(&listeners), Rc::clone(&added), Rc::clone(&id));
            move || {
                drop(listeners.remove(id.get().unwrap()));
                listeners.add(1, false, counter(&added));
            }
        };
        id.set(Some(listeners.add(1, false, Box::new(callback))));
        emit(&listeners, 1);
        assert_eq!(added.get(), 0, "what is added while an event runs does not see it");
        emit(&listeners, 1);
        assert_eq!(added.get(), 1);
    }

    #[test]
    fn after_a_panic_all_are_still_there() {
        let listeners = Calls::default();
        let (before, after) = (Rc::default(), Rc::default());
        let panics = Cell::new(true);
        listeners.add(1, false, counter(&before));
        listeners.add(1, false, Box::new(move || assert!(!panics.replace(false), "on purpose")));
        listeners.add(1, false, counter(&after));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| emit(&listeners, 1)));
        assert!(result.is_err());
        emit(&listeners, 1);
        assert_eq!((before.get(), after.get()), (2, 1));
    }
}
