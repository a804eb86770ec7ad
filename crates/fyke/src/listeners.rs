//! Listeners of an object: in order of registration, removable at any time, also by themselves
//! while they run.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use crate::few::Few;

/// Names a listener, for `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u32);

/// The events of an object, numbered from 0, at most 23 of them.
pub(crate) trait EventNumber: Copy + PartialEq {
    fn number(self) -> u32;
}

/// The listeners of one object. `E` names the events, `C` holds the callbacks.
///
/// A callback is out of its place while it runs, so nothing is borrowed then. Emissions may nest: on
/// exact loops `connect` emits inside the call. Places stay what they are until the outermost has ended,
/// and a callback that runs is not run again by an emission inside it: whoever emits inside a call asks
/// [`is_running`](Self::is_running) first.
pub(crate) struct Listeners<E, C> {
    entries: RefCell<Few<Entry<E, C>>>,
    last_id: Cell<u32>,
    /// A bit for each event that has a listener, one for [`REMOVED`], and how many emissions use the list:
    /// whether there is a listener is asked several times for every message.
    bits: Cell<u32>,
}

/// One emission that uses the list.
const EMITTING: u32 = 1 << 24;
/// How many there are.
const EMISSIONS: u32 = 0xff << 24;
/// Listeners were removed meanwhile, and are still in the list.
const REMOVED: u32 = 1 << 23;

pub(crate) struct Entry<E, C> {
    /// 0 when it was removed while the list was in use.
    id: u32,
    event: E,
    once: bool,
    callback: Option<C>,
}

impl<E, C> Default for Listeners<E, C> {
    fn default() -> Self {
        Self { entries: RefCell::default(), last_id: Cell::new(0), bits: Cell::new(0) }
    }
}

impl<E: EventNumber, C> Listeners<E, C> {
    pub(crate) fn add(&self, event: E, once: bool, callback: C) -> ListenerId {
        let id = self.last_id.get().wrapping_add(1).max(1);
        self.last_id.set(id);
        self.entries.borrow_mut().push(Entry { id, event, once, callback: Some(callback) });
        self.bits.set(self.bits.get() | 1 << event.number());
        ListenerId(id)
    }

    /// Removes a listener and returns its callback, to be dropped where nothing is borrowed.
    pub(crate) fn remove(&self, id: ListenerId) -> Option<C> {
        let mut entries = self.entries.borrow_mut();
        let index = entries.iter().position(|entry| entry.id == id.0)?;
        let callback = if self.is_emitting() {
            self.bits.set(self.bits.get() | REMOVED);
            entries[index].id = 0;
            entries[index].callback.take()
        } else {
            entries.remove(index).callback
        };
        self.recount(&entries);
        callback
    }

    /// Removes the first listener of an event that was to run once, and returns its callback, to be
    /// dropped where nothing is borrowed.
    pub(crate) fn remove_once(&self, event: E) -> Option<C> {
        let id = {
            let entries = self.entries.borrow();
            let mut entries = entries.iter();
            entries.find(|entry| entry.event == event && entry.once && entry.id != 0)?.id
        };
        self.remove(ListenerId(id))
    }

    #[inline]
    pub(crate) fn has(&self, event: E) -> bool {
        self.bits.get() & 1 << event.number() != 0
    }

    /// A bit for each event that has listeners, by its number.
    #[inline]
    pub(crate) fn heard(&self) -> u32 {
        self.bits.get() & !(EMISSIONS | REMOVED)
    }

    /// Whether one event has listeners and another has none.
    #[inline]
    pub(crate) fn has_without(&self, event: E, other: E) -> bool {
        let mask = 1 << event.number() | 1 << other.number();
        self.bits.get() & mask == 1 << event.number()
    }

    /// Whether a listener of an event runs: it could not hear the event again.
    pub(crate) fn is_running(&self, event: E) -> bool {
        let runs = |entry: &Entry<E, C>| entry.event == event && entry.callback.is_none();
        self.is_emitting() && self.entries.borrow().iter().any(runs)
    }

    fn is_emitting(&self) -> bool {
        self.bits.get() & EMISSIONS != 0
    }

    /// Runs the listeners of an event, those that are there now.
    pub(crate) fn emit(&self, event: E, call: impl FnMut(&mut C)) {
        self.emit_while(event, call, || true);
    }

    /// Runs the listeners of an event, those that are there now. Before each one but the first, `go_on`
    /// decides whether it still runs.
    #[inline]
    pub(crate) fn emit_while(
        &self,
        event: E,
        mut call: impl FnMut(&mut C),
        go_on: impl Fn() -> bool,
    ) {
        let Some(mut emission) = self.begin(event) else { return };
        loop {
            emission.callback.iter_mut().for_each(&mut call);
            if !emission.more || !go_on() || !emission.take_next(event) {
                break;
            }
        }
        emission.finish();
        // What is left for it is only what a panic needs.
        std::mem::forget(emission);
    }

    /// Takes the first callback of an event, if there is one: the list is in use from here on.
    #[inline(always)]
    fn begin(&self, event: E) -> Option<Emission<'_, E, C>> {
        if !self.has(event) {
            return None;
        }
        let mut entries = self.entries.borrow_mut();
        let count = entries.len();
        let (index, id, callback) = self.take_callback(&mut entries, 0..count, event)?;
        let more = entries[index + 1..].iter().any(|entry| entry.event == event);
        let bits = self.bits.get().checked_add(EMITTING);
        self.bits.set(bits.expect("that many events do not run inside one another"));
        Some(Emission { listeners: self, index, count, more, id, callback: Some(callback) })
    }

    /// Takes the callback of the first listener of an event in a range, if there is one.
    #[inline(always)]
    fn take_callback(
        &self,
        entries: &mut [Entry<E, C>],
        range: Range<usize>,
        event: E,
    ) -> Option<(usize, u32, C)> {
        // All may have been dropped meanwhile.
        let some = entries.get_mut(..range.end)?;
        for (index, entry) in some.iter_mut().enumerate().skip(range.start) {
            if entry.event != event || entry.id == 0 {
                continue;
            }
            // One without a callback runs already, further out.
            let Some(callback) = entry.callback.take() else { continue };
            let id = entry.id;
            if entry.once {
                entry.id = 0;
                self.bits.set(self.bits.get() | REMOVED);
                self.recount(entries);
            }
            return Some((index, id, callback));
        }
        None
    }

    /// Finds out again which events have listeners.
    #[cold]
    fn recount(&self, entries: &[Entry<E, C>]) {
        let mut bits = self.bits.get() & (EMISSIONS | REMOVED);
        for entry in entries.iter().filter(|entry| entry.id != 0) {
            bits |= 1 << entry.event.number();
        }
        self.bits.set(bits);
    }

    /// Forgets the listeners that were removed while the list was in use.
    #[cold]
    fn compact(&self, entries: &mut Few<Entry<E, C>>) {
        entries.retain(|entry| entry.id != 0);
        self.bits.set(self.bits.get() & !REMOVED);
    }

    /// Takes all listeners, to be dropped where nothing is borrowed.
    #[must_use]
    pub(crate) fn clear(&self) -> Few<Entry<E, C>> {
        let mut entries = self.entries.borrow_mut();
        if !self.is_emitting() {
            self.bits.set(0);
            return std::mem::take(&mut entries);
        }
        self.bits.set(self.bits.get() & EMISSIONS | REMOVED);
        let entries = entries.iter_mut();
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
    /// Whether any of them is for the event, beside the first one.
    more: bool,
    id: u32,
    callback: Option<C>,
}

impl<E: EventNumber, C> Emission<'_, E, C> {
    /// Whether there is another one. It has taken the place of the last one then.
    fn take_next(&mut self, event: E) -> bool {
        let mut entries = self.listeners.entries.borrow_mut();
        let before = self.put_back(&mut entries);
        let next = self.listeners.take_callback(&mut entries, self.index + 1..self.count, event);
        drop(entries);
        drop(before);
        let Some((index, id, callback)) = next else { return false };
        (self.index, self.id, self.callback) = (index, id, Some(callback));
        true
    }

    /// Puts the callback back, or returns it, to be dropped where nothing is borrowed, if its listener was
    /// removed meanwhile.
    #[inline(always)]
    fn put_back(&mut self, entries: &mut [Entry<E, C>]) -> Option<C> {
        let callback = self.callback.take()?;
        match entries.get_mut(self.index) {
            Some(entry) if entry.id == self.id => {
                entry.callback = Some(callback);
                None
            }
            _ => Some(callback),
        }
    }
}

impl<E: EventNumber, C> Emission<'_, E, C> {
    #[inline(always)]
    fn finish(&mut self) {
        let listeners = self.listeners;
        let mut entries = listeners.entries.borrow_mut();
        let removed = self.put_back(&mut entries);
        let bits = listeners.bits.get() - EMITTING;
        listeners.bits.set(bits);
        if bits & (REMOVED | EMISSIONS) == REMOVED {
            listeners.compact(&mut entries);
        }
        drop(entries);
        drop(removed);
    }
}

/// When a callback has panicked.
impl<E: EventNumber, C> Drop for Emission<'_, E, C> {
    fn drop(&mut self) {
        self.finish();
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

    /// Once those were not counted that had been added meanwhile.
    #[test]
    fn an_event_is_heard_whose_listener_was_added_before_another_one_ran_once() {
        let listeners: Rc<Calls> = Rc::default();
        let (again, count) = (Rc::clone(&listeners), Rc::default());
        let added = counter(&count);
        let mut added = Some(added);
        listeners.add(1, false, Box::new(move || _ = again.add(2, false, added.take().unwrap())));
        listeners.add(1, true, Box::new(|| {}));
        emit(&listeners, 1);
        assert!(listeners.has(2));
        emit(&listeners, 2);
        assert_eq!(count.get(), 1);
    }

    /// Once the inner one closed up the list, and the outer one left listeners out.
    #[test]
    fn listeners_run_once_each_though_others_are_told_of_another_event_meanwhile() {
        let listeners: Rc<Calls> = Rc::default();
        let calls: Rc<RefCell<Vec<&str>>> = Rc::default();
        let log = |name: &'static str| {
            let calls = Rc::clone(&calls);
            move || calls.borrow_mut().push(name)
        };
        let removed = listeners.add(1, false, Box::new(log("removed")));
        listeners.add(2, true, Box::new(log("inner, once")));
        listeners.add(2, false, Box::new(log("inner")));
        let (again, first) = (Rc::clone(&listeners), log("first, once"));
        listeners.add(1, true, {
            let late = log("late");
            Box::new(move || {
                first();
                assert!(again.is_running(1) && !again.is_running(2));
                drop(again.remove(removed));
                emit(&again, 2);
                again.add(1, true, Box::new(late.clone()));
                emit(&again, 1);
            })
        });
        listeners.add(1, false, Box::new(log("second")));
        listeners.add(1, false, Box::new(log("third")));
        emit(&listeners, 1);
        let inner = ["inner, once", "inner", "second", "third", "late"];
        let wanted = [&["removed", "first, once"], &inner[..], &["second", "third"]].concat();
        assert_eq!(calls.take(), wanted);
        assert!(!listeners.is_running(1));
        emit(&listeners, 1);
        assert_eq!(calls.take(), ["second", "third"]);
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
