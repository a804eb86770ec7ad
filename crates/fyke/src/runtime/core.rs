//! The contents of a loop. `EventLoop` is its public interface.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use fyke_driver::{Driver, DriverKind, SocketId};
use fyke_machine::{Lanes, Moment, Policy};

use super::actor::{Actor, Wired};
use super::actors::Actors;
use super::budget::Budget;
use super::idle_list::IdleList;
use super::made::Made;
use super::posted::Posted;
use super::remotes::{Remote, Remotes};
use super::tasks::Tasks;
use super::timers::{Timed, TimerQueue};
use super::work::{CLOSING, DIRTY, IMMEDIATES, NEXT_TURN, OUTSIDE, TICKS, UNHEARD, Work};
use crate::{Error, ErrorCode, Result};

/// The state of one loop. No cell here is borrowed while a callback runs.
pub(crate) struct Core<T: Wired> {
    pub(crate) driver: Driver,
    pub(super) started: Instant,
    pub(crate) policy: Policy,
    /// The lanes that the loop's sockets may use.
    pub(crate) lanes: Lanes,
    pub(super) now: Cell<Moment>,
    /// Which of the following queues are not empty.
    pub(super) work: Work,
    /// The owners of the driver's sockets. The table keeps them alive, whatever handles the user drops.
    pub(super) actors: RefCell<Actors<Rc<dyn Actor<T>>>>,
    /// Objects that the user made, to be freed with the loop even if they are not open then.
    made: RefCell<Made<Weak<dyn Actor<T>>>>,
    ticks: RefCell<VecDeque<Deferred<T>>>,
    immediates: RefCell<VecDeque<Deferred<T>>>,
    /// Work to do before the driver waits again: on loops made with `node_exact`, what libuv does at that
    /// point; on other loops, work that must leave time for something else.
    next_turn: RefCell<VecDeque<Deferred<T>>>,
    closing: RefCell<VecDeque<Closing<T>>>,
    /// The bytes written by this batch of callbacks that the kernel accepted immediately.
    pub(crate) budget: Budget,
    /// Actors with bytes to send at the end of the batch (phase 7).
    dirty: RefCell<VecDeque<Rc<dyn Actor<T>>>>,
    pub(super) timers: RefCell<TimerQueue<Timed<T>>>,
    pub(super) idle: RefCell<IdleList<SocketId>>,
    /// Idle timeouts of actors without a socket in the table.
    pub(super) idle_unopened: RefCell<IdleList<Weak<dyn Actor<T>>>>,
    /// The cached time at which the next of these three is due. `None` after one has changed.
    pub(super) deadline: Cell<Option<Option<Moment>>>,
    /// Data that a layer above stores per loop.
    service: RefCell<Option<Rc<dyn Any>>>,
    /// Objects that a layer above stores for reuse.
    pub(crate) spares: T::Spares,
    pub(crate) posted: Arc<Posted>,
    /// Actors that other threads have a reference to.
    remotes: Remotes<T>,
    pub(crate) tasks: Tasks,
    /// The number of sockets, servers and requests that keep the loop alive.
    holds: Cell<usize>,
    /// An error without a listener that ends `run`.
    // Contract C5
    unhandled: RefCell<Option<Error>>,
    /// The first error without a listener that `run` returns when it ends normally.
    // Contract C5
    unhandled_at_end: RefCell<Option<Error>>,
    /// The number of turns so far.
    pub(crate) turns: Cell<u64>,
    pub(super) turning: Cell<bool>,
    /// A host waits for the driver's descriptor and does not ask before each wait, see
    /// [`notify_host`](Self::notify_host).
    pub(crate) hosted: Cell<bool>,
    closed: Cell<bool>,
}

/// An entry of a queue: the tick queue, which runs after every callback (Node's `nextTick`), or the queue
/// of a later phase.
pub(crate) enum Deferred<T> {
    Actor(Rc<dyn Actor<T>>, T),
    Call(Box<dyn FnOnce()>),
}

impl<T> Deferred<T> {
    #[inline]
    pub(super) fn run(self) {
        match self {
            Self::Actor(actor, tick) => actor.tick(tick),
            Self::Call(call) => call(),
        }
    }
}

/// An actor whose `close` is due in the close phase (phase 6).
pub(super) struct Closing<T> {
    pub(super) actor: Rc<dyn Actor<T>>,
    /// The error for the writes that were in flight.
    pub(super) cancelled: Option<Error>,
}

impl<T: Wired> Core<T> {
    pub(crate) fn new(kind: &DriverKind, policy: Policy, lanes: Lanes) -> io::Result<Rc<Self>> {
        let driver = Driver::new(kind)?;
        let posted = Arc::new(Posted::new(driver.waker()));
        Ok(Rc::new(Self {
            now: Cell::new(driver.now()),
            driver,
            started: Instant::now(),
            policy,
            lanes,
            work: Work::default(),
            actors: RefCell::default(),
            made: RefCell::default(),
            ticks: RefCell::default(),
            immediates: RefCell::default(),
            next_turn: RefCell::default(),
            closing: RefCell::default(),
            budget: Budget::default(),
            dirty: RefCell::default(),
            timers: RefCell::default(),
            idle: RefCell::default(),
            idle_unopened: RefCell::default(),
            deadline: Cell::default(),
            service: RefCell::default(),
            spares: T::Spares::default(),
            posted,
            remotes: Remotes::default(),
            tasks: Tasks::default(),
            holds: Cell::new(0),
            unhandled: RefCell::default(),
            unhandled_at_end: RefCell::default(),
            turns: Cell::new(0),
            turning: Cell::new(false),
            hosted: Cell::new(false),
            closed: Cell::new(false),
        }))
    }

    /// The actor that owns this socket.
    #[inline]
    pub(super) fn actor(&self, id: SocketId) -> Option<Rc<dyn Actor<T>>> {
        self.actors.borrow().get(id).cloned()
    }

    /// All actors that own a socket. An actor with several sockets is listed several times.
    pub(crate) fn actors(&self) -> Vec<Rc<dyn Actor<T>>> {
        self.actors.borrow().iter().map(|(_, actor)| Rc::clone(actor)).collect()
    }

    /// Makes `actor` the owner of the socket. The table keeps it alive.
    pub(crate) fn own(&self, id: SocketId, actor: Rc<dyn Actor<T>>) {
        let before = self.actors.borrow_mut().insert(id, actor);
        drop(before);
    }

    /// Removes a socket from the table. Drop the result while nothing is borrowed.
    #[must_use]
    fn disown(&self, id: SocketId) -> Option<Rc<dyn Actor<T>>> {
        self.actors.borrow_mut().remove(id)
    }

    /// Remembers an object that the user made, so that everything its callbacks captured is freed with the
    /// loop.
    pub(crate) fn remember(&self, actor: Weak<dyn Actor<T>>) {
        self.made.borrow_mut().add(actor, |actor| actor.strong_count() == 0);
    }

    /// The reference to the actor for other threads.
    pub(crate) fn remote_of(&self, actor: &Rc<dyn Actor<T>>) -> Arc<Remote> {
        self.remotes.of(actor, &self.posted)
    }

    /// The actor that another thread refers to, if it still exists.
    pub(crate) fn find_remote(&self, remote: &Arc<Remote>) -> Option<Rc<dyn Actor<T>>> {
        self.remotes.find(remote)
    }

    /// Marks the actor at this memory address as gone for other threads.
    #[inline]
    pub(crate) fn forget_remote(&self, place: *const ()) {
        self.remotes.forget(place.addr());
    }

    /// Closes a socket and removes it from the table.
    pub(crate) fn close(&self, id: SocketId) {
        let actor = self.disown(id);
        self.driver.close(id);
        drop(actor);
    }

    /// Closes a socket with an RST and removes it from the table.
    pub(crate) fn reset(&self, id: SocketId) {
        let actor = self.disown(id);
        self.driver.reset(id);
        drop(actor);
    }

    /// Removes a socket from the table and returns its descriptor.
    #[cfg(unix)]
    pub(crate) fn detach(&self, id: SocketId) -> io::Result<std::os::fd::OwnedFd> {
        let fd = self.driver.detach(id)?;
        let actor = self.disown(id);
        drop(actor);
        Ok(fd)
    }

    /// Defers work until the running callback has returned.
    pub(crate) fn push_tick(&self, tick: Deferred<T>) {
        if self.closed.get() {
            // No work runs any more. Dropped here, while nothing is borrowed.
            drop(tick);
        } else {
            self.ticks.borrow_mut().push_back(tick);
            self.begins(TICKS);
        }
    }

    /// A queue is not empty any more.
    #[inline]
    pub(super) fn begins(&self, queue: u8) {
        self.work.begins(queue);
        self.notify_host();
    }

    /// Ends the wait of a host that waits for the driver's descriptor, if the loop is not turning: the next
    /// turn has to come earlier than the host knows.
    #[inline]
    pub(crate) fn notify_host(&self) {
        self.notify_host_if(|| true);
    }

    #[inline]
    pub(crate) fn notify_host_if(&self, is_needed: impl FnOnce() -> bool) {
        if self.hosted.get() && !self.turning.get() && is_needed() {
            self.posted.wake();
        }
    }

    /// Whether work is deferred until the running callback has returned.
    pub(crate) fn has_ticks(&self) -> bool {
        self.work.waits_in(TICKS)
    }

    pub(super) fn pop_tick(&self) -> Option<Deferred<T>> {
        let mut queue = self.ticks.borrow_mut();
        let tick = queue.pop_front();
        if queue.is_empty() {
            self.work.is_done(TICKS);
        }
        tick
    }

    /// Makes the actor send its bytes at the end of the batch of callbacks (phase 7).
    pub(crate) fn push_dirty(&self, actor: Rc<dyn Actor<T>>) {
        self.dirty.borrow_mut().push_back(actor);
        self.begins(DIRTY);
    }

    /// Makes the actor send its bytes at the end of the batch of callbacks (phase 7), before all others.
    pub(crate) fn push_dirty_first(&self, actor: Rc<dyn Actor<T>>) {
        self.dirty.borrow_mut().push_front(actor);
        self.begins(DIRTY);
    }

    /// Whether ticks, or actors with bytes to send, wait for the end of the batch of callbacks.
    #[inline]
    pub(crate) fn has_batch_work(&self) -> bool {
        self.work.waits_in(TICKS | DIRTY)
    }

    pub(super) fn pop_dirty(&self) -> Option<Rc<dyn Actor<T>>> {
        let mut queue = self.dirty.borrow_mut();
        let actor = queue.pop_front();
        if queue.is_empty() {
            self.work.is_done(DIRTY);
        }
        actor
    }

    /// Runs `call` after the network (phase 5). When called from an immediate, runs it in the next turn.
    pub(crate) fn push_immediate(&self, call: Box<dyn FnOnce()>) {
        self.immediates.borrow_mut().push_back(Deferred::Call(call));
        self.begins(IMMEDIATES);
    }

    /// Runs the work before the driver waits again (phase 3).
    pub(crate) fn push_next_turn(&self, deferred: Deferred<T>) {
        self.next_turn.borrow_mut().push_back(deferred);
        self.begins(NEXT_TURN);
    }

    /// The number of entries that wait for a phase.
    pub(super) fn deferred_len(&self, phase: Phase) -> usize {
        self.deferred(phase).0.borrow().len()
    }

    pub(super) fn pop_deferred(&self, phase: Phase) -> Option<Deferred<T>> {
        let (queue, bit) = self.deferred(phase);
        let mut queue = queue.borrow_mut();
        let deferred = queue.pop_front();
        if queue.is_empty() {
            self.work.is_done(bit);
        }
        deferred
    }

    fn deferred(&self, phase: Phase) -> (&RefCell<VecDeque<Deferred<T>>>, u8) {
        match phase {
            Phase::NextTurn => (&self.next_turn, NEXT_TURN),
            Phase::Immediates => (&self.immediates, IMMEDIATES),
        }
    }

    /// Closes the actor in the close phase (phase 6).
    pub(crate) fn push_closing(&self, actor: Rc<dyn Actor<T>>, cancelled: Option<Error>) {
        self.closing.borrow_mut().push_back(Closing { actor, cancelled });
        self.begins(CLOSING);
    }

    /// Whether an actor waits for the close phase. The actor is identified by its memory address.
    pub(crate) fn is_closing(&self, actor: *const ()) -> bool {
        let closing = self.closing.borrow();
        closing.iter().any(|closing| Rc::as_ptr(&closing.actor).cast::<()>() == actor)
    }

    pub(super) fn closing_len(&self) -> usize {
        self.closing.borrow().len()
    }

    pub(super) fn pop_closing(&self) -> Option<Closing<T>> {
        let mut queue = self.closing.borrow_mut();
        let closing = queue.pop_front();
        if queue.is_empty() {
            self.work.is_done(CLOSING);
        }
        closing
    }

    /// Data that a layer above stores for this loop. It is made on first use and dropped with the loop.
    pub(crate) fn service<S: Default + 'static>(&self) -> Rc<S> {
        let known = self.service.borrow().clone();
        let known = known.and_then(|service| service.downcast().ok());
        known.unwrap_or_else(|| {
            let service = Rc::new(S::default());
            let before = self.service.borrow_mut().replace(service.clone());
            debug_assert!(before.is_none(), "a loop keeps one service");
            service
        })
    }

    pub(crate) fn hold(&self) {
        self.holds.set(self.holds.get() + 1);
    }

    pub(crate) fn release(&self) {
        debug_assert!(self.holds.get() > 0, "released more often than held");
        self.holds.set(self.holds.get().saturating_sub(1));
    }

    /// Whether anything keeps the loop alive (phase 8).
    pub(super) fn is_alive(&self) -> bool {
        self.holds.get() > 0
            || self.timers.borrow().keeps_alive()
            || self.work.is_any()
            // The order matters: work is posted before its hold on the loop is released.
            || self.posted.keeps_alive()
            || self.posted.is_waiting()
    }

    /// Whether there is work to do without waiting.
    pub(crate) fn has_due_work(&self) -> bool {
        self.work.is_any() || self.posted.is_waiting()
    }

    /// Makes the turn, or the next one, not wait.
    pub(crate) fn skip_wait(&self) {
        self.begins(OUTSIDE);
    }

    /// Makes `run` end with an error that has no listener. Only the first error is stored.
    pub(crate) fn unhandled(&self, error: Error) {
        self.unhandled.borrow_mut().get_or_insert(error);
        self.work.begins(UNHEARD);
    }

    /// Makes `run` return an error that has no listener when it ends normally. Only the first error is
    /// stored.
    pub(crate) fn unhandled_at_end(&self, error: Error) {
        self.unhandled_at_end.borrow_mut().get_or_insert(error);
    }

    pub(super) fn take_unhandled_at_end(&self) -> Option<Error> {
        self.unhandled_at_end.borrow_mut().take()
    }

    pub(super) fn take_unhandled(&self) -> Option<Error> {
        if !self.work.waits_in(UNHEARD) {
            return None;
        }
        self.work.is_done(UNHEARD);
        self.unhandled.borrow_mut().take()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.get() {
            return Err(Error::new(ErrorCode::ERR_EVENT_LOOP_CLOSED, "the event loop was dropped"));
        }
        Ok(())
    }

    /// Ends the loop: closes everything without events and drops everything that the callbacks captured, so
    /// that sockets which captured each other are freed too. Dropping may run user code, so nothing is
    /// borrowed then and no new work is accepted.
    pub(crate) fn shut_down(&self) {
        self.closed.set(true);
        self.posted.close();
        self.drop_tasks();
        let mut ids: Vec<(bool, SocketId)> = {
            let actors = self.actors.borrow();
            actors.iter().map(|(id, actor)| (actor.is_closed_last(), id)).collect()
        };
        ids.sort_by_key(|(last, _)| *last);
        for (_, id) in ids {
            let actor = self.disown(id);
            if let Some(actor) = &actor {
                Rc::clone(actor).before_abandon();
            }
            self.driver.close(id);
            if let Some(actor) = actor {
                actor.abandon();
            }
        }
        for closing in self.closing.take() {
            closing.actor.abandon();
        }
        for actor in self.made.take().into_list() {
            if let Some(actor) = actor.upgrade() {
                actor.abandon();
            }
        }
        let service = self.service.take();
        drop(service);
        self.forget_deadlines();
        drop(self.ticks.take());
        drop(self.immediates.take());
        drop(self.next_turn.take());
        drop(self.dirty.take());
    }
}

/// The phase in which deferred work runs, if it does not run on the tick.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Phase 3.
    NextTurn,
    /// Phase 5.
    Immediates,
}

impl<T: Wired> fmt::Debug for Core<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("driver", &self.driver.name())
            .field("holds", &self.holds.get())
            .finish_non_exhaustive()
    }
}
