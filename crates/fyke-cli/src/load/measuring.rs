//! Measuring, from the first request to the last answer.

use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::timer;

use super::connection::Connection;
use super::schedule::Schedule;
use super::{Mode, Phase, Run};

impl Run {
    pub(super) fn begin(self: &Rc<Self>) {
        self.phase.set(Phase::Measuring);
        let now = Instant::now();
        self.began.set(Some(now));
        self.progress.begin();
        if self.mode != Mode::Connects && self.connections.borrow().is_empty() {
            return self.over();
        }
        let same = Rc::clone(self);
        if timer::set_timeout(self.options.duration, move || same.finish()).is_err() {
            return self.over();
        }
        match self.mode {
            Mode::Idle => {}
            Mode::Closed => {
                let connections = self.connections.borrow().clone();
                for connection in connections {
                    for _ in 0..self.options.depth {
                        self.request(&connection, now);
                    }
                }
            }
            Mode::Open | Mode::Connects => {
                let rate = self.options.rate.or(self.options.connect_rate).unwrap_or(1);
                *self.schedule.borrow_mut() = Some(Schedule::new(now, rate));
                self.keep_up();
            }
        }
    }

    /// Sends requests that are due, and schedules the next call for the next due time. It does not
    /// sleep for the last 1.5 ms, because a system timer is late by up to a millisecond, which
    /// would count as latency.
    fn keep_up(self: &Rc<Self>) {
        while self.phase.get() == Phase::Measuring {
            let step =
                self.schedule.borrow_mut().as_mut().map(|schedule| schedule.next(Instant::now()));
            match step {
                Some(Ok(due)) => self.due(due),
                Some(Err(pause)) => {
                    let same = Rc::clone(self);
                    let keep_up = move || same.keep_up();
                    // This fails only if the loop has ended.
                    let _ = match pause.checked_sub(Duration::from_micros(1500)) {
                        Some(pause) => timer::set_timeout(pause, keep_up).map(drop),
                        None => timer::set_immediate(keep_up),
                    };
                    return;
                }
                None => return,
            }
        }
    }

    fn due(self: &Rc<Self>, due: Instant) {
        if self.mode == Mode::Connects {
            if self.may_send() {
                self.queued.borrow_mut().push_back(due);
                self.open_queued();
            }
            return;
        }
        let connection = {
            let connections = self.connections.borrow();
            let index = self.next.get() % connections.len().max(1);
            self.next.set(index + 1);
            connections.get(index).cloned()
        };
        if let Some(connection) = connection {
            self.request(&connection, due);
        }
    }

    /// Opens connections that are due, while fewer than `--connections` are open.
    fn open_queued(self: &Rc<Self>) {
        let most = usize::try_from(self.options.connections).unwrap_or(usize::MAX);
        while self.connections.borrow().len() < most {
            let Some(due) = self.queued.borrow_mut().pop_front() else { return };
            self.open(Some(due));
        }
    }

    /// Sends a request that was due at this time.
    fn request(self: &Rc<Self>, connection: &Rc<Connection>, due: Instant) {
        if self.may_send() {
            connection.request(due);
        }
    }

    /// Counts one more request. Returns `false` if all requests were sent or measuring is over.
    fn may_send(self: &Rc<Self>) -> bool {
        let all = self.options.count.is_some_and(|count| self.sent.get() >= count);
        if all {
            self.finish();
        }
        if self.phase.get() != Phase::Measuring {
            return false;
        }
        self.sent.set(self.sent.get() + 1);
        true
    }

    pub(super) fn answered(self: &Rc<Self>, connection: &Rc<Connection>, due: Instant) {
        let now = Instant::now();
        {
            let mut results = self.results.borrow_mut();
            results.answer(now.saturating_duration_since(due));
            results.took(self.elapsed());
        }
        self.progress.answered();
        if self.mode == Mode::Closed {
            self.request(connection, now);
        }
        self.end_if_all_came();
    }

    /// Removes a closed connection and counts its unanswered requests.
    pub(super) fn lost(self: &Rc<Self>, connection: &Rc<Connection>, why: Option<&str>) {
        self.connections.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
        let mut results = self.results.borrow_mut();
        if let Some(why) = why {
            results.fail(why);
            results.lost += 1;
        }
        results.unanswered += connection.waiting();
        drop(results);
        self.open_queued();
        if self.phase.get() == Phase::Measuring
            && self.mode != Mode::Connects
            && self.connections.borrow().is_empty()
        {
            self.over();
        }
        self.end_if_all_came();
    }

    fn end_if_all_came(&self) {
        let waits = |connection: &Rc<Connection>| connection.waiting() > 0;
        if self.phase.get() == Phase::Ending
            && self.queued.borrow().is_empty()
            && !self.connections.borrow().iter().any(waits)
        {
            self.over();
        }
    }

    /// Stops sending requests. Requests that were sent have the time limit of an answer. If
    /// connections are still waiting to be opened, the remaining measuring time is added.
    pub(super) fn finish(self: &Rc<Self>) {
        if self.phase.get() != Phase::Measuring {
            return;
        }
        self.phase.set(Phase::Ending);
        self.results.borrow_mut().took(self.elapsed());
        self.end_if_all_came();
        let same = Rc::clone(self);
        let left = match self.queued.borrow().is_empty() {
            true => Duration::ZERO,
            false => self.options.duration.saturating_sub(self.elapsed()),
        };
        // Without a loop, waiting is impossible.
        let _ = timer::set_timeout(self.options.timeout + left, move || same.over());
    }
}
