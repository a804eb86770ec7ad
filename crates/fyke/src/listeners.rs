//! Listeners of an object: in order of registration, removable at any time, also by themselves
//! while they run.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Range;

use crate::few::Few;

/// Names a listener, for [`Socket::off`](crate::Socket::off) and [`Server::off`](crate::Server::off). All
/// listeners of a thread have different ids, so the id of one object's listener removes none of another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u32, OfThisThread);

type OfThisThread = PhantomData<*const ()>;

impl ListenerId {
    fn next() -> Self {
        thread_local! {
            static LAST: Cell<u32> = const { Cell::new(0) };
        }
        let next = LAST.get().wrapping_add(1).max(1);
        LAST.set(next);
        Self(next, PhantomData)
    }
}

/// The events of an object, numbered from 0, at most 22 of them.
pub(crate) trait EventNumber: Copy + Debug + PartialEq {
    fn number(self) -> u32;
}

/// The listeners of one object. `E` names the events, `C` holds the callbacks.
///
/// A callback is out of its place while it runs, so nothing is borrowed then. Emissions may nest: on
/// exact loops `connect` emits inside the call. Places stay what they are until the outermost has ended,
/// and a callback that runs is not run again by an emission inside it: whoever emits inside a call asks
/// [`is_running`](Self::is_running) first.
pub(crate) struct Listeners<E, C> {
    list: RefCell<List<E, C>>,
}

struct List<E, C> {
    entries: Few<Entry<E, C>>,
    /// With more listeners of one event than this, there probably is a mistake.
    expected_max: u32,
    /// A bit for each event that has a listener, [`WARNED`], [`REMOVED`], and how many emissions use the
    /// list: whether there is a listener is asked several times for every message.
    bits: u32,
}

/// Node's number.
const EXPECTED_MAX: u32 = 10;

/// One emission that uses the list.
const EMITTING: u32 = 1 << 24;
/// How many there are.
const EMISSIONS: u32 = 0xff << 24;
/// Listeners were removed meanwhile, and are still in the list.
const REMOVED: u32 = 1 << 23;
/// That there are more listeners than expected was logged.
const WARNED: u32 = 1 << 22;

pub(crate) struct Entry<E, C> {
    /// 0 when it was removed while the list was in use.
    id: u32,
    event: E,
    lasts: Lasts,
    callback: Option<C>,
}

/// For how long a listener is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Until it is removed.
    Always,
    /// For one event.
    Once,
    /// For one event, or until the next call of the method that took it.
    OnceOrReplaced,
}

impl<E, C> Default for Listeners<E, C> {
    fn default() -> Self {
        let list = List { entries: Few::None, expected_max: EXPECTED_MAX, bits: 0 };
        Self { list: RefCell::new(list) }
    }
}

impl<E: EventNumber, C> List<E, C> {
    fn is_emitting(&self) -> bool {
        self.bits & EMISSIONS != 0
    }

    /// Takes the callback of the first listener in a range, if there is one.
    #[inline]
    fn take_next(&mut self, range: Range<usize>, event: E) -> Option<(usize, u32, C)> {
        // All may have been dropped meanwhile.
        let entries = self.entries.get_mut(..range.end)?;
        let mut index = range.start;
        let (entry, callback) = loop {
            let entry = entries.get_mut(index)?;
            if entry.event == event && entry.id != 0 {
                // One without a callback runs already, further out.
                if let Some(callback) = entry.callback.take() {
                    break (entry, callback);
                }
            }
            index += 1;
        };
        let id = entry.id;
        if entry.lasts != Lasts::Always {
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
        self.bits &= EMISSIONS | REMOVED | WARNED;
        for entry in self.entries.iter().filter(|entry| entry.id != 0) {
            self.bits |= 1 << entry.event.number();
        }
    }

    /// How many listeners an event has, if that is more than expected and was not logged yet.
    #[cold]
    fn unexpected(&mut self, event: E) -> Option<usize> {
        let of_event = |entry: &&Entry<E, C>| entry.event == event && entry.id != 0;
        let count = self.entries.iter().filter(of_event).count();
        let unexpected = count > self.expected_max as usize && self.bits & WARNED == 0;
        unexpected.then(|| {
            self.bits |= WARNED;
            count
        })
    }
}

#[cfg(feature = "tracing")]
fn log_unexpected(event: impl Debug, count: usize) {
    tracing::warn!(target: "fyke", ?event, count,
        "many listeners of one event: is one added again and again, without off? set_max_listeners changes the limit");
}

#[cfg(not(feature = "tracing"))]
fn log_unexpected(_: impl Debug, _: usize) {}

impl<E: EventNumber, C> Listeners<E, C> {
    pub(crate) fn add(&self, event: E, lasts: Lasts, callback: C) -> ListenerId {
        let id = ListenerId::next();
        let mut list = self.list.borrow_mut();
        list.entries.push(Entry { id: id.0, event, lasts, callback: Some(callback) });
        list.bits |= 1 << event.number();
        if list.entries.len() > list.expected_max as usize {
            let unexpected = list.unexpected(event);
            drop(list);
            // The log is the user's code, so with nothing borrowed.
            unexpected.into_iter().for_each(|count| log_unexpected(event, count));
        }
        id
    }

    /// Sets how many listeners an event may have before that is logged.
    /// Zero: any number.
    pub(crate) fn expect(&self, max: u32) {
        self.list.borrow_mut().expected_max = if max == 0 { u32::MAX } else { max };
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

    /// Removes the first listener of an event that was to last until the next one, and returns its
    /// callback, to be dropped where nothing is borrowed.
    pub(crate) fn remove_replaced(&self, event: E) -> Option<C> {
        let id = {
            let list = self.list.borrow();
            let mut entries = list.entries.iter();
            let is_replaced = |entry: &&Entry<E, C>| {
                entry.event == event && entry.lasts == Lasts::OnceOrReplaced && entry.id != 0
            };
            entries.find(is_replaced)?.id
        };
        self.remove(ListenerId(id, PhantomData))
    }

    pub(crate) fn has(&self, event: E) -> bool {
        self.list.borrow().bits & 1 << event.number() != 0
    }

    /// A bit for each event that has listeners, by its number.
    pub(crate) fn heard(&self) -> u32 {
        self.list.borrow().bits & !(EMISSIONS | REMOVED | WARNED)
    }

    /// Whether one event has listeners and another has none.
    pub(crate) fn has_without(&self, event: E, other: E) -> bool {
        let mask = 1 << event.number() | 1 << other.number();
        self.list.borrow().bits & mask == 1 << event.number()
    }

    /// Whether a listener of an event runs: it could not hear the event again.
    pub(crate) fn is_running(&self, event: E) -> bool {
        let list = self.list.borrow();
        let runs = |entry: &Entry<E, C>| entry.event == event && entry.callback.is_none();
        list.is_emitting() && list.entries.iter().any(runs)
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
        let bits = list.bits.checked_add(EMITTING);
        list.bits = bits.expect("that many events do not run inside one another");
        Some(Emission { listeners: self, index, count, id, callback: Some(callback) })
    }

    /// Takes all listeners, to be dropped where nothing is borrowed.
    #[must_use]
    pub(crate) fn clear(&self) -> Few<Entry<E, C>> {
        let mut list = self.list.borrow_mut();
        if !list.is_emitting() {
            list.bits &= WARNED;
            return std::mem::take(&mut list.entries);
        }
        list.bits = list.bits & (EMISSIONS | WARNED) | REMOVED;
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
        list.bits -= EMITTING;
        if list.bits & (REMOVED | EMISSIONS) == REMOVED {
            list.entries.retain(|entry| entry.id != 0);
            list.bits &= !REMOVED;
        }
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
        listeners.add(1, Lasts::Always, counter(&often));
        listeners.add(1, Lasts::Once, counter(&once));
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
                listeners.add(1, Lasts::Always, counter(&added));
            }
        };
        id.set(Some(listeners.add(1, Lasts::Always, Box::new(callback))));
        emit(&listeners, 1);
        assert_eq!(added.get(), 0, "what is added while an event runs does not see it");
        emit(&listeners, 1);
        assert_eq!(added.get(), 1);
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
        let removed = listeners.add(1, Lasts::Always, Box::new(log("removed")));
        listeners.add(2, Lasts::Once, Box::new(log("inner, once")));
        listeners.add(2, Lasts::Always, Box::new(log("inner")));
        let (again, first) = (Rc::clone(&listeners), log("first, once"));
        listeners.add(1, Lasts::Once, {
            let late = log("late");
            Box::new(move || {
                first();
                assert!(again.is_running(1) && !again.is_running(2));
                drop(again.remove(removed));
                emit(&again, 2);
                again.add(1, Lasts::Once, Box::new(late.clone()));
                emit(&again, 1);
            })
        });
        listeners.add(1, Lasts::Always, Box::new(log("second")));
        listeners.add(1, Lasts::Always, Box::new(log("third")));
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
        listeners.add(1, Lasts::Always, counter(&before));
        listeners.add(
            1,
            Lasts::Always,
            Box::new(move || assert!(!panics.replace(false), "on purpose")),
        );
        listeners.add(1, Lasts::Always, counter(&after));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| emit(&listeners, 1)));
        assert!(result.is_err());
        emit(&listeners, 1);
        assert_eq!((before.get(), after.get()), (2, 1));
    }

    #[test]
    fn a_listener_that_is_to_be_replaced_is_removed_and_others_that_run_once_are_not() {
        let listeners = Calls::default();
        let counts: [Rc<Cell<u32>>; 2] = std::array::from_fn(|_| Rc::default());
        listeners.add(1, Lasts::Once, counter(&counts[0]));
        listeners.add(1, Lasts::OnceOrReplaced, counter(&counts[1]));
        assert!(listeners.remove_replaced(1).is_some());
        assert!(listeners.remove_replaced(1).is_none());
        emit(&listeners, 1);
        assert_eq!(counts.map(|count| count.get()), [1, 0]);
    }

    #[test]
    fn an_id_names_no_listener_of_another_object() {
        let (first, second) = (Calls::default(), Calls::default());
        let count = Rc::default();
        let of_first = first.add(1, Lasts::Always, counter(&Rc::default()));
        let of_second = second.add(1, Lasts::Always, counter(&count));
        assert_ne!(of_first, of_second);
        assert!(second.remove(of_first).is_none());
        emit(&second, 1);
        assert_eq!(count.get(), 1);
    }
}
