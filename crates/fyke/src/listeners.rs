//! Listeners of an object. They run in order of registration and can be removed at any time, also by
//! themselves while they run.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::marker::PhantomData;

use crate::few::Few;

/// Identifies a listener, for [`Socket::off`](crate::Socket::off) and [`Server::off`](crate::Server::off).
/// Ids are unique in a thread, so the id of one object's listener cannot remove a listener of another
/// object.
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

/// The set of events that a listener listens to. Events are numbered from 0, and there are at most 22.
pub(crate) trait EventSet: Copy + Debug + PartialEq {
    /// A bit for each event in the set, by the event's number.
    fn bits(self) -> u32;

    /// Whether the set contains an event.
    #[inline]
    fn contains(self, event: Self) -> bool {
        self == event
    }
}

/// The callback of a listener.
pub(crate) trait Handler: Sized {
    /// A value that does nothing.
    fn placeholder() -> Self;

    /// Takes the callback out and leaves a placeholder.
    #[inline]
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::placeholder())
    }

    /// Puts a callback back after it has run. Returns a value that remains, to be dropped while nothing is
    /// borrowed.
    #[inline]
    fn put_back(&mut self, running: Self) -> Option<Self> {
        // A placeholder owns nothing.
        std::mem::forget(std::mem::replace(self, running));
        None
    }
}

/// The listeners of one object. `E` names the events, `H` is the type of the callbacks.
///
/// A callback is taken out of the list while it runs, so nothing is borrowed then. Emissions may nest: on
/// loops made with `node_exact`, `connect` emits inside the call. Positions do not change until the
/// outermost emission has ended. A listener that is running is not run again by a nested emission: code
/// that emits inside a call checks [`is_running`](Self::is_running) first.
pub(crate) struct Listeners<E, H> {
    entries: RefCell<Few<Entry<E, H>>>,
    /// More listeners of one event than this are probably a mistake.
    expected_max: Cell<u32>,
    /// A bit for each event that has a listener, then [`WARNED`], [`REMOVED`], and the number of emissions
    /// that use the list. One word, because every message checks several times whether there is a listener.
    bits: Cell<u32>,
}

/// Node's default.
const EXPECTED_MAX: u32 = 10;

/// One emission that uses the list.
const EMITTING: u32 = 1 << 24;
/// The bits that count the emissions.
const EMISSIONS: u32 = 0xff << 24;
/// Listeners were removed during an emission and are still in the list.
const REMOVED: u32 = 1 << 23;
/// The warning that there are more listeners than expected was logged.
const WARNED: u32 = 1 << 22;

pub(crate) struct Entry<E, H> {
    /// 0 if the listener was removed while the list was in use.
    id: u32,
    hears: E,
    lasts: Lasts,
    running: bool,
    handler: H,
}

impl<E: EventSet, H> Entry<E, H> {
    /// Whether the listener listens to the event and may run. A listener that an outer emission is running
    /// is not run again.
    #[inline]
    fn may_run(&self, event: E) -> bool {
        self.hears.contains(event) && self.id != 0 && !self.running
    }
}

/// How long a listener stays registered.
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
        "possible leak: the event has more listeners than expected; remove them with `off`, or raise the limit with set_max_listeners");
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
            // Logging runs user code, so nothing may be borrowed here.
            unexpected.into_iter().for_each(|count| log_unexpected(hears, count));
        }
        id
    }

    /// Sets the number of listeners of one event above which a warning is logged. Zero means no limit.
    pub(crate) fn expect(&self, max: u32) {
        self.expected_max.set(if max == 0 { u32::MAX } else { max });
    }

    /// The number of listeners of an event, if it is more than expected and was not logged yet.
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

    /// Removes a listener and returns its callback, to be dropped while nothing is borrowed.
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

    /// Removes the first listener of an event with [`Lasts::OnceOrReplaced`] and returns its callback, to
    /// be dropped while nothing is borrowed.
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

    /// Returns the first result of `find` that is not `None`. `find` runs while the list is borrowed.
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

    /// Whether a listener of an event is running, and therefore cannot be called for this event again.
    pub(crate) fn is_running(&self, event: E) -> bool {
        let runs = |entry: &Entry<E, H>| entry.running && entry.hears.contains(event);
        self.is_emitting() && self.entries.borrow().iter().any(runs)
    }

    fn is_emitting(&self) -> bool {
        self.bits.get() & EMISSIONS != 0
    }

    /// Runs the listeners of an event that are registered now.
    pub(crate) fn emit(&self, event: E, call: impl FnMut(&mut H)) {
        self.emit_while(event, call, || true);
    }

    /// Runs the listeners of an event that are registered now. Before each listener except the first,
    /// `go_on` decides whether it still runs.
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
        // The rest of its drop code is only needed after a panic.
        std::mem::forget(emission);
    }

    /// Starts an emission with the first listener of an event, if there is one. The list is in use from
    /// then on.
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

    /// Takes the callback of a listener out of the list.
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

    /// Computes again which events have listeners.
    #[cold]
    fn recount(&self, entries: &[Entry<E, H>]) {
        let mut bits = self.bits.get() & (EMISSIONS | REMOVED | WARNED);
        for entry in entries.iter().filter(|entry| entry.id != 0) {
            bits |= entry.hears.bits();
        }
        self.bits.set(bits);
    }

    /// Removes the entries of listeners that were removed while the list was in use. Their callbacks are
    /// already gone.
    #[cold]
    fn compact(&self, entries: &mut Few<Entry<E, H>>) {
        entries.retain(|entry| entry.id != 0);
        self.bits.set(self.bits.get() & !REMOVED);
    }

    /// Removes and returns all listeners, to be dropped while nothing is borrowed.
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

/// A running emission: runs the listeners of an event one after the other. If a callback panics, it is put
/// back, and removed listeners are still cleaned up.
struct Emission<'a, E: EventSet, H: Handler> {
    listeners: &'a Listeners<E, H>,
    /// The position of the running listener.
    index: usize,
    /// The number of listeners at the start: listeners that are added later run at the next emission.
    count: usize,
    /// Whether there is a listener of the event besides the first one.
    more: bool,
    id: u32,
    running: H,
}

impl<E: EventSet, H: Handler> Emission<'_, E, H> {
    /// Takes the next listener of the event out of the list. Returns whether there is one.
    fn take_next(&mut self, event: E) -> bool {
        let mut entries = self.listeners.entries.borrow_mut();
        let before = self.put_back(&mut entries);
        let mut rest = self.index + 1..self.count;
        let next = rest.find(|index| entries[*index].may_run(event));
        // No callback is out of its place now.
        self.index = usize::MAX;
        if let Some(index) = next {
            let (id, running) = self.listeners.take_out(&mut entries, index);
            (self.index, self.id, self.running) = (index, id, running);
        }
        drop(entries);
        drop(before);
        next.is_some()
    }

    /// Puts the callback back. If its listener was removed while it ran, returns the callback, to be
    /// dropped while nothing is borrowed.
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

/// Runs the cleanup if a callback has panicked.
impl<E: EventSet, H: Handler> Drop for Emission<'_, E, H> {
    fn drop(&mut self) {
        self.finish();
    }
}
