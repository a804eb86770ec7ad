//! Listeners of an object: in order of registration, removable at any time, also by themselves
//! while they run.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::marker::PhantomData;

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

/// What a listener hears: an event, or several. Events are numbered from 0, and there are at most 22.
pub(crate) trait EventSet: Copy + Debug + PartialEq {
    /// A bit for each event, by its number.
    fn bits(self) -> u32;

    /// Whether it contains an event.
    #[inline]
    fn contains(self, event: Self) -> bool {
        self == event
    }
}

/// What runs when a listener hears an event.
pub(crate) trait Handler: Sized {
    /// One that does nothing.
    fn placeholder() -> Self;

    /// Takes out what runs.
    #[inline]
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::placeholder())
    }

    /// Puts back what has run. Returns what is left over, to be dropped where nothing is borrowed.
    #[inline]
    fn put_back(&mut self, running: Self) -> Option<Self> {
        // A placeholder owns nothing.
        std::mem::forget(std::mem::replace(self, running));
        None
    }
}

/// The listeners of one object. `E` names the events, `H` is what runs.
///
/// What runs is out of its place meanwhile, so nothing is borrowed then. Emissions may nest: on
/// exact loops `connect` emits inside the call. Places stay what they are until the outermost has ended,
/// and a listener that runs is not run again by an emission inside it: whoever emits inside a call asks
/// [`is_running`](Self::is_running) first.
pub(crate) struct Listeners<E, H> {
    entries: RefCell<Few<Entry<E, H>>>,
    /// With more listeners of one event than this, there probably is a mistake.
    expected_max: Cell<u32>,
    /// A bit for each event that has a listener, [`WARNED`], [`REMOVED`], and how many emissions use the
    /// list: whether there is a listener is asked several times for every message.
    bits: Cell<u32>,
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

pub(crate) struct Entry<E, H> {
    /// 0 when it was removed while the list was in use.
    id: u32,
    hears: E,
    lasts: Lasts,
    running: bool,
    handler: H,
}

impl<E: EventSet, H> Entry<E, H> {
    /// Whether it hears an event. One that runs already, further out, is not run again.
    #[inline]
    fn may_run(&self, event: E) -> bool {
        self.hears.contains(event) && self.id != 0 && !self.running
    }
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

#[cfg(feature = "tracing")]
fn log_unexpected(event: impl Debug, count: usize) {
    tracing::warn!(target: "fyke", ?event, count,
        "many listeners of one event: is one added again and again, without off? set_max_listeners changes the limit");
}

#[cfg(not(feature = "tracing"))]
fn log_unexpected(_: impl Debug, _: usize) {}

impl<E, H> Default for Listeners<E, H> {
    fn default() -> Self {
        let expected_max = Cell::new(EXPECTED_MAX);
        Self { entries: RefCell::default(), expected_max, bits: Cell::new(0) }
    }
}

impl<E: EventSet, H: Handler> Listeners<E, H> {
    pub(crate) fn add(&self, hears: E, lasts: Lasts, handler: H) -> ListenerId {
        let id = ListenerId::next();
        let entry = Entry { id: id.0, hears, lasts, running: false, handler };
        let mut entries = self.entries.borrow_mut();
        entries.push(entry);
        self.bits.set(self.bits.get() | hears.bits());
        if entries.len() > self.expected_max.get() as usize {
            let unexpected = self.unexpected(&entries, hears);
            drop(entries);
            // The log is the user's code, so with nothing borrowed.
            unexpected.into_iter().for_each(|count| log_unexpected(hears, count));
        }
        id
    }

    /// Sets how many listeners an event may have before that is logged; zero: any number.
    pub(crate) fn expect(&self, max: u32) {
        self.expected_max.set(if max == 0 { u32::MAX } else { max });
    }

    /// How many listeners an event has, if that is more than expected and was not logged yet.
    #[cold]
    fn unexpected(&self, entries: &[Entry<E, H>], hears: E) -> Option<usize> {
        let of_event = |entry: &&Entry<E, H>| entry.hears == hears && entry.id != 0;
        let count = entries.iter().filter(of_event).count();
        if count <= self.expected_max.get() as usize || self.bits.get() & WARNED != 0 {
            return None;
        }
        self.bits.set(self.bits.get() | WARNED);
        Some(count)
    }

    /// Removes a listener and returns what would have run, to be dropped where nothing is borrowed.
    pub(crate) fn remove(&self, id: ListenerId) -> Option<H> {
        let mut entries = self.entries.borrow_mut();
        let index = entries.iter().position(|entry| entry.id == id.0)?;
        let handler = if self.is_emitting() {
            self.bits.set(self.bits.get() | REMOVED);
            entries[index].id = 0;
            std::mem::replace(&mut entries[index].handler, H::placeholder())
        } else {
            entries.remove(index).handler
        };
        self.recount(&entries);
        Some(handler)
    }

    /// Removes the first listener of an event that was to last until the next one, and returns what would
    /// have run, to be dropped where nothing is borrowed.
    pub(crate) fn remove_replaced(&self, event: E) -> Option<H> {
        let id = {
            let entries = self.entries.borrow();
            let mut entries = entries.iter();
            let is_replaced = |entry: &&Entry<E, H>| {
                entry.hears == event && entry.lasts == Lasts::OnceOrReplaced && entry.id != 0
            };
            entries.find(is_replaced)?.id
        };
        self.remove(ListenerId(id, PhantomData))
    }

    /// Finds the first listener for which `find` has an answer. `find` runs while the list is borrowed.
    pub(crate) fn find<R>(
        &self,
        mut find: impl FnMut(&mut H) -> Option<R>,
    ) -> Option<(ListenerId, R)> {
        let mut entries = self.entries.borrow_mut();
        entries.iter_mut().filter(|entry| entry.id != 0).find_map(|entry| {
            let id = ListenerId(entry.id, PhantomData);
            find(&mut entry.handler).map(|found| (id, found))
        })
    }

    #[inline]
    pub(crate) fn has(&self, event: E) -> bool {
        self.bits.get() & event.bits() != 0
    }

    /// A bit for each event that has listeners, by its number.
    #[inline]
    pub(crate) fn heard(&self) -> u32 {
        self.bits.get() & !(EMISSIONS | REMOVED | WARNED)
    }

    /// Whether one event has listeners and another has none.
    #[inline]
    pub(crate) fn has_without(&self, event: E, other: E) -> bool {
        self.bits.get() & (event.bits() | other.bits()) == event.bits()
    }

    /// Whether a listener of an event runs: it could not hear the event again.
    pub(crate) fn is_running(&self, event: E) -> bool {
        let runs = |entry: &Entry<E, H>| entry.running && entry.hears.contains(event);
        self.is_emitting() && self.entries.borrow().iter().any(runs)
    }

    fn is_emitting(&self) -> bool {
        self.bits.get() & EMISSIONS != 0
    }

    /// Runs the listeners of an event, those that are there now.
    pub(crate) fn emit(&self, event: E, call: impl FnMut(&mut H)) {
        self.emit_while(event, call, || true);
    }

    /// Runs the listeners of an event, those that are there now. Before each one but the first, `go_on`
    /// decides whether it still runs.
    #[inline]
    pub(crate) fn emit_while(
        &self,
        event: E,
        mut call: impl FnMut(&mut H),
        go_on: impl Fn() -> bool,
    ) {
        let Some(mut emission) = self.begin(event) else { return };
        loop {
            call(&mut emission.running);
            if !emission.more || !go_on() || !emission.take_next(event) {
                break;
            }
        }
        emission.finish();
        // What is left for it is only what a panic needs.
        std::mem::forget(emission);
    }

    /// Begins with the first listener of an event, if there is one: the list is in use from here on.
    #[inline(always)]
    fn begin(&self, event: E) -> Option<Emission<'_, E, H>> {
        if !self.has(event) {
            return None;
        }
        let mut entries = self.entries.borrow_mut();
        let entries: &mut [Entry<E, H>] = &mut entries;
        let count = entries.len();
        let index = entries.iter().position(|entry| entry.may_run(event))?;
        let (id, running) = self.take_out(entries, index);
        let more = index + 1 < count
            && entries[index + 1..].iter().any(|entry| entry.hears.contains(event));
        let bits = self.bits.get().checked_add(EMITTING);
        self.bits.set(bits.expect("that many events do not run inside one another"));
        Some(Emission { listeners: self, index, count, more, id, running })
    }

    /// Takes out what a listener runs.
    #[inline(always)]
    fn take_out(&self, entries: &mut [Entry<E, H>], index: usize) -> (u32, H) {
        let entry = &mut entries[index];
        let (id, running) = (entry.id, entry.handler.take());
        entry.running = true;
        if entry.lasts != Lasts::Always {
            entry.id = 0;
            self.bits.set(self.bits.get() | REMOVED);
            self.recount(entries);
        }
        (id, running)
    }

    /// Finds out again which events have listeners.
    #[cold]
    fn recount(&self, entries: &[Entry<E, H>]) {
        let mut bits = self.bits.get() & (EMISSIONS | REMOVED | WARNED);
        for entry in entries.iter().filter(|entry| entry.id != 0) {
            bits |= entry.hears.bits();
        }
        self.bits.set(bits);
    }

    /// Forgets the listeners that were removed while the list was in use. Nothing of the user's is left of
    /// them.
    #[cold]
    fn compact(&self, entries: &mut Few<Entry<E, H>>) {
        entries.retain(|entry| entry.id != 0);
        self.bits.set(self.bits.get() & !REMOVED);
    }

    /// Takes all listeners, to be dropped where nothing is borrowed.
    #[must_use]
    pub(crate) fn clear(&self) -> Few<Entry<E, H>> {
        let mut entries = self.entries.borrow_mut();
        if !self.is_emitting() {
            self.bits.set(self.bits.get() & WARNED);
            return std::mem::take(&mut entries);
        }
        self.bits.set(self.bits.get() & (EMISSIONS | WARNED) | REMOVED);
        let entries = entries.iter_mut();
        entries
            .map(|entry| {
                entry.id = 0;
                let handler = std::mem::replace(&mut entry.handler, H::placeholder());
                Entry { handler, ..*entry }
            })
            .collect()
    }
}

/// Listeners of an event that run, one after the other. What runs goes back to its place also when it
/// panics, and what was removed meanwhile goes.
struct Emission<'a, E: EventSet, H: Handler> {
    listeners: &'a Listeners<E, H>,
    /// Where what runs comes from.
    index: usize,
    /// How many listeners there were: others are for the next time.
    count: usize,
    /// Whether any of them is for the event, beside the first one.
    more: bool,
    id: u32,
    running: H,
}

impl<E: EventSet, H: Handler> Emission<'_, E, H> {
    /// Whether there is another one. It has taken the place of the last one then.
    fn take_next(&mut self, event: E) -> bool {
        let mut entries = self.listeners.entries.borrow_mut();
        let before = self.put_back(&mut entries);
        let mut rest = self.index + 1..self.count;
        let next = rest.find(|index| entries[*index].may_run(event));
        // Nothing is out of its place now.
        self.index = usize::MAX;
        if let Some(index) = next {
            let (id, running) = self.listeners.take_out(&mut entries, index);
            (self.index, self.id, self.running) = (index, id, running);
        }
        drop(entries);
        drop(before);
        next.is_some()
    }

    /// Puts back what has run, or returns it, to be dropped where nothing is borrowed, if its listener was
    /// removed meanwhile.
    #[inline(always)]
    fn put_back(&mut self, entries: &mut [Entry<E, H>]) -> Option<H> {
        let running = std::mem::replace(&mut self.running, H::placeholder());
        let Some(entry) = entries.get_mut(self.index) else { return Some(running) };
        entry.running = false;
        if entry.id == self.id { entry.handler.put_back(running) } else { Some(running) }
    }

    #[inline(always)]
    fn finish(&mut self) {
        let listeners = self.listeners;
        let mut entries = listeners.entries.borrow_mut();
        let left = self.put_back(&mut entries);
        let bits = listeners.bits.get() - EMITTING;
        listeners.bits.set(bits);
        if bits & (REMOVED | EMISSIONS) == REMOVED {
            listeners.compact(&mut entries);
        }
        drop(entries);
        drop(left);
    }
}

/// When what ran has panicked.
impl<E: EventSet, H: Handler> Drop for Emission<'_, E, H> {
    fn drop(&mut self) {
        self.finish();
    }
}
