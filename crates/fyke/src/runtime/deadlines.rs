//! The timed work of a loop: timers and idle timeouts.

use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use fyke_driver::{Moment, SocketId};

use super::actor::{Actor, Wired};
use super::core::Core;
use super::timers::{Timed, TimerCallback, TimerId};

impl<T: Wired> Core<T> {
    /// Something is due at another time than before.
    fn deadline_changes(&self) {
        self.deadline.set(None);
        self.notify_host();
    }

    /// Sets a timer to a time on the driver's clock. With a period it repeats.
    pub(crate) fn set_timer(
        &self,
        at: Duration,
        period: Option<Duration>,
        callback: TimerCallback,
    ) -> TimerId {
        self.deadline_changes();
        self.timers.borrow_mut().set(at, period, Timed::Call(callback))
    }

    /// Wakes the actor at a time on the driver's clock. Keeps neither the actor nor the loop alive.
    pub(crate) fn set_wake(&self, at: Duration, actor: Weak<dyn Actor<T>>) -> TimerId {
        self.deadline_changes();
        let mut timers = self.timers.borrow_mut();
        let timer = timers.set(at, None, Timed::Wake(actor));
        timers.refer(timer, false);
        timer
    }

    /// Wakes a task at a time on the driver's clock. Keeps the loop alive until then.
    pub(crate) fn set_task_timer(&self, at: Duration, waker: Waker) -> TimerId {
        self.deadline_changes();
        self.timers.borrow_mut().set(at, None, Timed::Task(waker))
    }

    /// Changes which task a timer wakes. Returns whether the timer will still run.
    pub(crate) fn change_task_timer(&self, timer: TimerId, waker: &Waker) -> bool {
        let before = {
            let mut timers = self.timers.borrow_mut();
            let Some(Timed::Task(current)) = timers.get_mut(timer) else { return false };
            match current.will_wake(waker) {
                true => None,
                false => Some(std::mem::replace(current, waker.clone())),
            }
        };
        drop(before);
        true
    }

    /// Removes a timer. Its callback is dropped while nothing is borrowed, because dropping it may run user
    /// code.
    pub(crate) fn cancel_timer(&self, timer: TimerId) {
        self.deadline.set(None);
        let callback = self.timers.borrow_mut().cancel(timer);
        drop(callback);
    }

    /// Sets whether the timer keeps the loop alive.
    pub(crate) fn refer_timer(&self, timer: TimerId, referred: bool) {
        self.timers.borrow_mut().refer(timer, referred);
    }

    /// Whether the timer will still run.
    pub(crate) fn has_timer(&self, timer: TimerId) -> bool {
        self.timers.borrow().contains(timer)
    }

    /// Returns a mark: timers that are set later are newer than it.
    pub(super) fn timer_mark(&self) -> u64 {
        self.timers.borrow().mark()
    }

    /// Takes the work of the next timer that is due and older than the mark, see
    /// [`TimerQueue::take_due`](super::timers::TimerQueue::take_due).
    pub(super) fn take_timer(&self, now: Duration, mark: u64) -> Option<(TimerId, Timed<T>)> {
        self.deadline.set(None);
        self.timers.borrow_mut().take_due(now, mark)
    }

    /// Called after a timer has run. If the timer is not set again, its callback is dropped.
    pub(super) fn timer_has_run(&self, timer: TimerId, timed: Timed<T>) {
        self.deadline.set(None);
        let finished = self.timers.borrow_mut().done(timer, timed, self.now());
        drop(finished);
    }

    /// Checks at `deadline` whether the actor of an open socket was idle.
    pub(crate) fn list_idle(&self, deadline: Duration, id: SocketId) {
        self.deadline_changes();
        let actors = self.actors.borrow();
        self.idle.borrow_mut().insert(deadline, id, |id| actors.get(*id).is_none());
    }

    /// Checks at `deadline` whether an actor without a socket in the table was idle.
    pub(crate) fn list_idle_unopened(&self, deadline: Duration, actor: Weak<dyn Actor<T>>) {
        self.deadline_changes();
        let mut idle = self.idle_unopened.borrow_mut();
        idle.insert(deadline, actor, |actor| actor.strong_count() == 0);
    }

    /// Takes the next entry of the idle lists that is due: `Some(None)` if its actor no longer exists.
    pub(super) fn take_idle(&self, now: Duration) -> Option<Option<Rc<dyn Actor<T>>>> {
        self.deadline.set(None);
        let unopened = self.idle_unopened.borrow().next_deadline();
        let open = self.idle.borrow().next_deadline();
        if unopened.is_some_and(|at| open.is_none_or(|open| at <= open)) {
            let actor = self.idle_unopened.borrow_mut().take_due(now)?;
            return Some(actor.upgrade());
        }
        let id = self.idle.borrow_mut().take_due(now)?;
        Some(self.actor(id))
    }

    /// The time at which the next timer or idle timeout is due.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.deadline.get().unwrap_or_else(|| self.find_deadline())
    }

    #[inline(never)]
    fn find_deadline(&self) -> Option<Moment> {
        let timer = self.timers.borrow().next_deadline();
        let idle = self.idle.borrow().next_deadline();
        let unopened = self.idle_unopened.borrow().next_deadline();
        let deadline = timer.into_iter().chain(idle).chain(unopened).min().map(Moment::from);
        self.deadline.set(Some(deadline));
        deadline
    }

    /// Clears all timers when the loop ends. Callbacks are dropped while nothing is borrowed.
    pub(super) fn forget_deadlines(&self) {
        self.idle.borrow_mut().clear();
        self.idle_unopened.borrow_mut().clear();
        let timers = self.timers.borrow_mut().drain();
        drop(timers);
        self.deadline.set(None);
    }
}

#[cfg(test)]
mod tests {
    use fyke_driver::DriverKind;
    use fyke_driver::sim::SimOptions;
    use fyke_machine::{Lanes, policy};

    use super::*;

    #[derive(Clone, Copy)]
    struct Nothing;

    impl Wired for Nothing {
        type Spares = ();
    }

    /// Regression guard: the deadline is cached between turns.
    #[test]
    fn the_next_deadline_follows_every_change() {
        let second = Duration::from_secs(1);
        let kind = DriverKind::Sim(SimOptions::default());
        let core: Rc<Core<Nothing>> = Core::new(&kind, policy::DEFAULT, Lanes::GENERAL).unwrap();
        assert_eq!(core.next_deadline(), None);
        core.set_timer(2 * second, None, Box::new(|| {}));
        assert_eq!(core.next_deadline(), Some((2 * second).into()));
        let first = core.set_timer(second, None, Box::new(|| {}));
        assert_eq!(core.next_deadline(), Some(second.into()));
        core.cancel_timer(first);
        assert_eq!(core.next_deadline(), Some((2 * second).into()));
        core.list_idle(second, SocketId::default());
        assert_eq!(core.next_deadline(), Some(second.into()));
        assert!(core.take_idle(second).is_some_and(|actor| actor.is_none()));
        assert_eq!(core.next_deadline(), Some((2 * second).into()));
        let (timer, timed) = core.take_timer(2 * second, core.timer_mark()).unwrap();
        assert_eq!(core.next_deadline(), None);
        core.timer_has_run(timer, timed);
        assert_eq!((core.next_deadline(), core.has_timer(timer)), (None, false));
    }
}
