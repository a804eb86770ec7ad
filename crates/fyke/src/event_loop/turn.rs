//! One turn of the loop. The phase numbers are those of `docs/LOOP.md`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use fyke_driver::{Completion, Operation};

use super::core::Core;
use super::current::Entered;
use super::handle::Work;
use super::tick::Tick;
use crate::socket::Socket;
use crate::timer::{TimerCallback, TimerId};
use crate::{Error, ErrorCode, Result};

/// How many `timeout` events one turn emits: as many as it accepts connections.
const IDLE_TIMEOUTS_PER_TURN: usize = 64;
/// How many sockets one turn looks at for having been idle. Most were not, and cost little.
const IDLE_LOOKS_PER_TURN: usize = 16 * IDLE_TIMEOUTS_PER_TURN;

/// Says that the loop is turning, until dropped.
struct Turning<'a>(&'a Core);

impl<'a> Turning<'a> {
    fn begin(core: &'a Core) -> Result<Self> {
        if core.turning.replace(true) {
            let message = "turn and run cannot be called from a callback of the same loop";
            return Err(Error::new(ErrorCode::ERR_EVENT_LOOP_BUSY, message));
        }
        Ok(Self(core))
    }
}

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        self.0.turning.set(false);
    }
}

/// Runs one turn that waits at most `timeout`, and says whether the loop is still alive.
pub(super) fn turn(core: &Rc<Core>, timeout: Option<Duration>) -> Result<bool> {
    let _entered = Entered::new(core);
    turn_entered(core, timeout)
}

/// Turns until nothing holds the loop.
pub(super) fn run(core: &Rc<Core>) -> Result<()> {
    let _entered = Entered::new(core);
    while turn_entered(core, None)? {}
    Ok(())
}

fn turn_entered(core: &Rc<Core>, timeout: Option<Duration>) -> Result<bool> {
    let _turning = Turning::begin(core)?;

    core.turns.set(core.turns.get() + 1);
    core.update_now(); // 1
    let mut ran = settle(core);
    let mut deadline = core.next_deadline();
    if deadline.is_some_and(|at| at <= core.now()) {
        ran |= run_timers(core); // 2
    }
    if core.posted.is_waiting() {
        ran |= run_posted(core); // 3
    }
    if !core.pending.borrow().is_empty() {
        ran |= run_all(core, &core.pending); // 3
    }
    if ran {
        core.update_now();
        deadline = core.next_deadline();
    }
    turn_driver(core, deadline, timeout)?; // 4
    if !core.immediates.borrow().is_empty() {
        run_all(core, &core.immediates); // 5
    }
    if !core.closing.borrow().is_empty() {
        run_closing(core); // 6
    }

    if let Some(error) = core.take_unheard() {
        return Err(error);
    }
    match core.is_alive() {
        true => Ok(true),
        false => core.take_unheard_at_end().map_or(Ok(false), Err), // 8
    }
}

/// Empties the tick queue and hands queued bytes over, until neither has anything (phase 7). Runs
/// after every callback that the loop makes. Says whether there was anything.
#[inline]
fn settle(core: &Rc<Core>) -> bool {
    let any = !core.is_settled();
    if any {
        settle_all(core);
    }
    core.taken.forget();
    any
}

fn settle_all(core: &Rc<Core>) {
    loop {
        loop {
            let Some(tick) = core.ticks.borrow_mut().pop_front() else { break };
            match tick {
                Tick::Socket(socket, tick) => socket.run_tick(tick),
                Tick::Server(server, tick) => server.run_tick(tick),
                Tick::Call(callback) => callback(),
            }
        }
        let Some(socket) = core.dirty.borrow_mut().pop_front() else { return };
        socket.hand_over_dirty();
    }
}

fn run_timers(core: &Rc<Core>) -> bool {
    let now = core.now();
    let mark = core.timers.borrow().mark();
    let mut ran = false;
    loop {
        let Some((id, callback)) = core.timers.borrow_mut().take_due(now, mark) else { break };
        let mut running = RunningTimer { core, id, callback: Some(callback) };
        running.run();
        drop(running);
        settle(core);
        ran = true;
    }
    // The rest is due in the next turn still, which does not wait then (contract C6).
    let (mut looks, mut timeouts) = (0, 0);
    while looks < IDLE_LOOKS_PER_TURN && timeouts < IDLE_TIMEOUTS_PER_TURN {
        let Some(socket) = core.idle.borrow_mut().take_due(now) else { break };
        looks += 1;
        timeouts += usize::from(Socket::check_idle(&socket, now));
        settle(core);
        ran = true;
    }
    ran
}

/// A timer whose callback is out of its place. One that panics is over, also an interval.
struct RunningTimer<'a> {
    core: &'a Rc<Core>,
    id: TimerId,
    callback: Option<TimerCallback>,
}

impl RunningTimer<'_> {
    fn run(&mut self) {
        let Some(mut callback) = self.callback.take() else { return };
        callback();
        self.callback = Some(callback);
    }
}

impl Drop for RunningTimer<'_> {
    fn drop(&mut self) {
        let finished = {
            let mut timers = self.core.timers.borrow_mut();
            match self.callback.take() {
                Some(callback) => timers.done(self.id, callback, self.core.now()),
                None => timers.cancel(self.id),
            }
        };
        drop(finished);
    }
}

/// One at a time, so that a panic of one loses none of the others.
fn run_posted(core: &Rc<Core>) -> bool {
    let count = core.posted.len();
    for _ in 0..count {
        let Some(work) = core.posted.pop() else { break };
        match work {
            Work::Call(callback) => callback(),
            Work::Answer(answer) => crate::lookup::deliver(core, answer),
        }
        settle(core);
    }
    count > 0
}

fn turn_driver(
    core: &Rc<Core>,
    deadline: Option<Duration>,
    timeout: Option<Duration>,
) -> Result<()> {
    let timeout = wait_time(core, deadline, timeout);
    // The clock is read once after the wait, and only if something happened.
    let fresh = Cell::new(false);
    let result = core.driver.turn(timeout, &mut |completion| {
        if !fresh.replace(true) {
            core.update_now();
        }
        complete(core, completion);
        settle(core);
    });
    result.map_err(|source| Error::system("wait", source))
}

/// How long the driver may wait, from the time of the core: not at all when there is work or nothing left to wait for.
fn wait_time(
    core: &Core,
    deadline: Option<Duration>,
    timeout: Option<Duration>,
) -> Option<Duration> {
    if core.has_due_work() || core.posted.is_waiting() || !core.is_alive() {
        return Some(Duration::ZERO);
    }
    // A timer that is due since is waited for no time, not for ever.
    let timer = deadline.map(|at| at.saturating_sub(core.now()));
    timer.into_iter().chain(timeout).min()
}

/// Gives a completion to the socket or server that it belongs to.
#[inline]
fn complete(core: &Rc<Core>, completion: Completion<'_>) {
    // The most frequent one takes the shortest way.
    let Completion::Received { socket, bytes } = completion else {
        return complete_other(core, completion);
    };
    if let Some(socket) = core.socket(socket) {
        socket.receive(bytes);
    }
}

#[inline(never)]
fn complete_other(core: &Rc<Core>, completion: Completion<'_>) {
    let id = match &completion {
        Completion::Woken => {
            run_posted(core);
            return;
        }
        Completion::Accepted { listener, .. }
        | Completion::Shed { listener, .. }
        | Completion::Failed { socket: listener, operation: Operation::Accept, .. } => {
            return core.server(*listener).map_or((), |server| server.complete(completion));
        }
        Completion::Received { socket, .. }
        | Completion::Connected { socket }
        | Completion::EndOfStream { socket }
        | Completion::Sent { socket, .. }
        | Completion::ShutDown { socket }
        | Completion::Failed { socket, .. } => *socket,
    };
    if let Some(socket) = core.socket(id) {
        socket.complete(completion);
    }
}

/// Only those of now: an immediate set by an immediate is for the next turn.
fn run_all(core: &Rc<Core>, queue: &RefCell<VecDeque<Box<dyn FnOnce()>>>) -> bool {
    let count = queue.borrow().len();
    for _ in 0..count {
        let Some(callback) = queue.borrow_mut().pop_front() else { break };
        callback();
        settle(core);
    }
    count > 0
}

fn run_closing(core: &Rc<Core>) {
    let count = core.closing.borrow().len();
    for _ in 0..count {
        let Some(closing) = core.closing.borrow_mut().pop_front() else { return };
        closing.socket.finish_close(closing.cancelled);
        settle(core);
    }
}
