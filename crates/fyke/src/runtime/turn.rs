//! One turn of the loop. The phase numbers are those of `docs/LOOP.md`.

use std::cell::Cell;
use std::time::Duration;

use fyke_driver::{Completion, Moment};

use super::actor::{Actor, Wired};
use super::core::{Closing, Core, Phase};
use super::posted::Work;
use super::timers::{Timed, TimerId};
use super::work::{DIRTY, NEXT_TURN, OUTSIDE, TICKS, WOKEN};
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// The maximum number of `timeout` events per turn: the same as the number of connections that a turn
/// accepts.
const IDLE_TIMEOUTS_PER_TURN: usize = 64;
/// The maximum number of sockets that a turn checks for idleness. Most were not idle, so a check costs
/// little.
const IDLE_LOOKS_PER_TURN: usize = 16 * IDLE_TIMEOUTS_PER_TURN;

/// Marks the loop as turning until it is dropped.
struct Turning<'a, T: Wired>(&'a Core<T>);

impl<'a, T: Wired> Turning<'a, T> {
    fn begin(core: &'a Core<T>) -> Result<Self> {
        if core.turning.replace(true) {
            let message = "turn and run cannot be called from a callback of the same loop";
            return Err(Error::new(ErrorCode::ERR_EVENT_LOOP_BUSY, message));
        }
        Ok(Self(core))
    }
}

impl<T: Wired> Drop for Turning<'_, T> {
    fn drop(&mut self) {
        self.0.turning.set(false);
    }
}

/// Runs turns until nothing keeps the loop alive. The loop must be the current one.
pub(crate) fn run<T: Wired>(core: &Core<T>) -> Result<()> {
    while turn(core, None)? {}
    Ok(())
}

/// Runs one turn that waits for at most `timeout`. The loop must be the current one. Returns whether it is
/// still alive.
pub(crate) fn turn<T: Wired>(core: &Core<T>, timeout: Option<Duration>) -> Result<bool> {
    let _turning = Turning::begin(core)?;

    core.turns.set(core.turns.get() + 1);
    core.update_now(); // 1
    let mut ran = settle(core);
    let mut deadline = core.next_deadline();
    if deadline.is_some_and(|at| at <= core.moment()) {
        ran |= run_timers(core); // 2
    }
    if core.posted.is_waiting() {
        ran |= run_posted(core); // 3
    }
    if core.work.waits_in(NEXT_TURN) {
        ran |= run_all(core, Phase::NextTurn); // 3
    }
    if ran {
        core.update_now();
        deadline = core.next_deadline();
    }
    turn_driver(core, deadline, timeout)?; // 4
    if core.work.is_any() {
        core.work.is_done(OUTSIDE);
        run_all(core, Phase::Immediates); // 5
        run_closing(core); // 6
        if let Some(error) = core.take_unhandled() {
            return Err(error);
        }
    }
    match core.is_alive() {
        true => Ok(true),
        false => core.take_unhandled_at_end().map_or(Ok(false), Err), // 8
    }
}

/// Empties the tick queue, sends queued bytes, and polls the tasks that were woken (phase 7). Runs after
/// every callback that the loop calls. Returns whether there was anything to do.
#[inline(always)]
fn settle<T: Wired>(core: &Core<T>) -> bool {
    let any = core.work.waits_in(TICKS | DIRTY | WOKEN);
    if any {
        settle_all(core);
    }
    core.budget.forget();
    any
}

#[inline(never)]
fn settle_all<T: Wired>(core: &Core<T>) {
    if core.work.waits_in(TICKS | DIRTY) {
        settle_deferred(core);
    }
    if core.work.waits_in(WOKEN) {
        poll_woken(core);
    }
}

#[inline(always)]
fn settle_deferred<T: Wired>(core: &Core<T>) {
    loop {
        while core.has_ticks() {
            let Some(deferred) = core.pop_tick() else { break };
            deferred.run();
        }
        let Some(actor) = core.pop_dirty() else { return };
        actor.flush();
    }
}

/// Polls the tasks that are woken now. A task that one of them wakes is polled later, so that tasks which
/// wake each other for ever leave time for the rest.
#[inline(never)]
fn poll_woken<T: Wired>(core: &Core<T>) {
    for _ in 0..core.woken_len() {
        let Some(task) = core.pop_woken() else { return };
        {
            let _limit = core.tasks.limit();
            task.run();
        }
        if core.work.waits_in(TICKS | DIRTY) {
            settle_task(core);
        }
    }
}

/// In a function of its own, so that polling a task that defers nothing stays small.
#[inline(never)]
fn settle_task<T: Wired>(core: &Core<T>) {
    settle_deferred(core);
}

/// Does the work that must be done before the loop is dropped: what code outside of a turn has deferred.
pub(crate) fn finish<T: Wired>(core: &Core<T>) {
    if let Ok(_turning) = Turning::begin(core) {
        settle(core);
    }
}

fn run_timers<T: Wired>(core: &Core<T>) -> bool {
    let now = core.now();
    let mark = core.timer_mark();
    let mut ran = false;
    loop {
        let Some((id, timed)) = core.take_timer(now, mark) else { break };
        let mut running = RunningTimer { core, id, timed: Some(timed) };
        running.run();
        drop(running);
        settle(core);
        ran = true;
    }
    // The rest stays due, so the next turn does not wait (contract C6).
    let (mut looks, mut timeouts) = (0, 0);
    while looks < IDLE_LOOKS_PER_TURN && timeouts < IDLE_TIMEOUTS_PER_TURN {
        let Some(actor) = core.take_idle(now) else { break };
        looks += 1;
        timeouts += usize::from(actor.is_some_and(Actor::check_idle));
        settle(core);
        ran = true;
    }
    ran
}

/// A timer that was taken out of the queue to run. A timer that panics is over, even an interval.
struct RunningTimer<'a, T: Wired> {
    core: &'a Core<T>,
    id: TimerId,
    timed: Option<Timed<T>>,
}

impl<T: Wired> RunningTimer<'_, T> {
    fn run(&mut self) {
        let Some(mut timed) = self.timed.take() else { return };
        timed.run();
        self.timed = Some(timed);
    }
}

impl<T: Wired> Drop for RunningTimer<'_, T> {
    fn drop(&mut self) {
        match self.timed.take() {
            Some(timed) => self.core.timer_has_run(self.id, timed),
            None => self.core.cancel_timer(self.id),
        }
    }
}

/// Takes the entries one at a time, so that a panic in one loses none of the others.
fn run_posted<T: Wired>(core: &Core<T>) -> bool {
    let count = core.posted.len();
    for _ in 0..count {
        match core.posted.pop() {
            Some(Work::Call(call)) => call(),
            Some(Work::Task(task)) => core.push_woken(task),
            None => break,
        }
        settle(core);
    }
    count > 0
}

#[inline]
fn turn_driver<T: Wired>(
    core: &Core<T>,
    deadline: Option<Moment>,
    timeout: Option<Duration>,
) -> Result<()> {
    let until = wait_until(core, deadline, timeout);
    // The clock is read once after the wait, and only if there was an event.
    let fresh = Cell::new(false);
    let result = core.driver.turn(until, &mut |completion| {
        if !fresh.replace(true) {
            core.update_now();
        }
        complete(core, completion);
        settle(core);
    });
    result.map_err(|source| Error::system("wait", source))
}

/// The time until which the driver may wait. It must not wait if there is work to do, or nothing left to
/// wait for.
#[inline]
fn wait_until<T: Wired>(
    core: &Core<T>,
    deadline: Option<Moment>,
    timeout: Option<Duration>,
) -> Option<Moment> {
    if core.has_due_work() || !core.is_alive() {
        return Some(Moment::ZERO);
    }
    let Some(timeout) = timeout else { return deadline };
    let end = core.moment() + timeout;
    Some(deadline.map_or(end, |deadline| deadline.min(end)))
}

/// Passes a completion to the socket or server that owns it.
#[inline]
fn complete<T: Wired>(core: &Core<T>, completion: Completion<'_>) {
    // The most frequent case takes the shortest path.
    let Completion::Received { socket, bytes } = completion else {
        return complete_other(core, completion);
    };
    if let Some(actor) = core.actor(socket) {
        actor.receive(bytes);
    }
}

#[inline(never)]
fn complete_other<T: Wired>(core: &Core<T>, completion: Completion<'_>) {
    let id = match &completion {
        Completion::Readable { socket } => {
            if let Some(actor) = core.actor(*socket) {
                actor.readable();
            }
            return;
        }
        Completion::Woken => {
            run_posted(core);
            return;
        }
        Completion::Accepted { listener, .. } | Completion::Shed { listener, .. } => *listener,
        Completion::Received { socket, .. }
        | Completion::Connected { socket }
        | Completion::Writable { socket }
        | Completion::EndOfStream { socket }
        | Completion::Sent { socket, .. }
        | Completion::ShutDown { socket }
        | Completion::Failed { socket, .. } => *socket,
    };
    if let Some(actor) = core.actor(id) {
        actor.complete(completion);
    }
}

/// Runs only the entries that are queued now: an immediate that is set by an immediate waits for the next
/// turn.
fn run_all<T: Wired>(core: &Core<T>, phase: Phase) -> bool {
    let count = core.deferred_len(phase);
    for _ in 0..count {
        let Some(deferred) = core.pop_deferred(phase) else { break };
        deferred.run();
        settle(core);
    }
    count > 0
}

fn run_closing<T: Wired>(core: &Core<T>) {
    for _ in 0..core.closing_len() {
        let Some(Closing { actor, cancelled }) = core.pop_closing() else { return };
        actor.close(cancelled);
        settle(core);
    }
}
