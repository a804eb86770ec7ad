//! A running program of `--exec`, which belongs to its connection. It counts towards the limits
//! until it has ended, and gets SIGTERM when the connection has ended.

use std::cell::{Cell, RefCell};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use fyke::{KeepAlive, Socket, timer};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process_group, test_kill_process_group, wait,
};

use super::exec::Origin;
use crate::failure::Failure;
use crate::log;

/// The period at which to check whether programs that got SIGTERM have ended.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

pub(super) struct Running {
    client: u64,
    pub(super) origin: Origin,
    socket: Socket,
    /// The process group of the program and its children. Its id is the id of the program.
    group: Pid,
    kill_after: Duration,
    /// Whether the program itself has ended and was reaped.
    reaped: Cell<bool>,
    output_ended: Cell<bool>,
    phase: Cell<Phase>,
    /// Holds the loop until the program has ended.
    alive: Cell<Option<KeepAlive>>,
    looking: RefCell<Option<timer::Timer>>,
    /// All running programs, including this one.
    all: Weak<RefCell<Vec<Rc<Running>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connected,
    /// The connection has ended normally. The program may end by itself until this time.
    Leaving(Instant),
    /// The program was sent SIGTERM, and has until this time to end.
    Terminating(Instant),
    /// The program was sent SIGKILL.
    Killed,
}

impl Running {
    /// # Errors
    /// If there is no loop. The program is killed then.
    pub(super) fn new(
        client: u64,
        origin: Origin,
        socket: &Socket,
        mut child: Child,
        kill_after: Duration,
        all: &Rc<RefCell<Vec<Rc<Self>>>>,
    ) -> Result<Rc<Self>, Failure> {
        let alive =
            fyke::LoopHandle::current().map(|handle| handle.keep_alive()).inspect_err(|_| {
                let _ = child.kill().and_then(|()| child.wait());
            })?;
        Ok(Rc::new(Self {
            client,
            origin,
            socket: socket.clone(),
            group: Pid::from_child(&child),
            kill_after,
            reaped: Cell::new(false),
            output_ended: Cell::new(false),
            phase: Cell::new(Phase::Connected),
            alive: Cell::new(Some(alive)),
            looking: RefCell::default(),
            all: Rc::downgrade(all),
        }))
    }

    pub(super) fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Called when the program has closed its standard output.
    pub(super) fn output_ended(&self) {
        self.output_ended.set(true);
    }

    /// Called when the connection has closed. A program that has closed its output may be about to
    /// end by itself.
    pub(super) fn disconnected(self: &Rc<Self>) {
        if self.phase.get() != Phase::Connected {
            return;
        }
        if self.output_ended.get() {
            self.phase.set(Phase::Leaving(Instant::now() + self.kill_after));
            self.look_regularly();
            self.look();
        } else {
            self.terminate();
        }
    }

    /// Closes the connection and sends SIGTERM to the program.
    pub(super) fn end_now(self: &Rc<Self>) {
        if matches!(self.phase.get(), Phase::Connected | Phase::Leaving(_)) {
            self.terminate();
        }
        self.socket.destroy();
    }

    /// Sends SIGTERM.
    fn terminate(self: &Rc<Self>) {
        self.phase.set(Phase::Terminating(Instant::now() + self.kill_after));
        if !self.is_over() {
            log::info(format_args!("client {}: sending SIGTERM to the program", self.client));
            self.signal(Signal::TERM);
            // A stopped program would not receive SIGTERM.
            self.signal(Signal::CONT);
        }
        self.look_regularly();
        self.look();
    }

    /// Checks whether the program has ended and whether its time is over. Called when any process
    /// has ended, and regularly after this program got SIGTERM.
    fn look(self: &Rc<Self>) {
        let now = Instant::now();
        match self.phase.get() {
            Phase::Connected => return,
            _ if self.is_over() => {}
            // The remaining processes of the group will not end by themselves.
            Phase::Leaving(until) if self.reaped.get() || now >= until => return self.terminate(),
            Phase::Terminating(until) if now >= until => {
                log::info(format_args!("client {}: sending SIGKILL to the program", self.client));
                self.signal(Signal::KILL);
                self.phase.set(Phase::Killed);
                return;
            }
            Phase::Killed if self.reaped.get() => {}
            _ => return,
        }
        self.forget();
    }

    fn look_regularly(self: &Rc<Self>) {
        if self.looking.borrow().is_some() {
            return;
        }
        let same = Rc::clone(self);
        let look = move || {
            if let Some(all) = same.all.upgrade() {
                look_at_all(&all);
            }
        };
        // This fails only if the loop has ended. Then nothing waits for the program.
        *self.looking.borrow_mut() = timer::set_interval(LOOK_PERIOD, look).ok();
    }

    fn ended(&self, status: WaitStatus) {
        let status = ExitStatus::from_raw(status.as_raw());
        log::info(format_args!("client {}: the program has ended, {status}", self.client));
        self.reaped.set(true);
    }

    /// Returns whether neither the program nor any process of its group is left.
    fn is_over(&self) -> bool {
        self.reaped.get() && test_kill_process_group(self.group) == Err(Errno::SRCH)
    }

    fn signal(&self, signal: Signal) {
        // This fails if the group has just ended.
        let _ = kill_process_group(self.group, signal);
    }

    /// Removes the program from the count.
    fn forget(self: &Rc<Self>) {
        if let Some(timer) = self.looking.borrow_mut().take() {
            timer.cancel();
        }
        self.alive.set(None);
        if let Some(all) = self.all.upgrade() {
            all.borrow_mut().retain(|other| !Rc::ptr_eq(other, self));
        }
    }
}

/// Reaps processes that have ended, and checks all programs.
pub(super) fn look_at_all(all: &RefCell<Vec<Rc<Running>>>) {
    while let Ok(Some((id, status))) = wait(WaitOptions::NOHANG) {
        // Other processes are children that a program left behind.
        if let Some(one) = all.borrow().iter().find(|one| one.group == id && !one.reaped.get()) {
            one.ended(status);
        }
    }
    let all: Vec<_> = all.borrow().clone();
    all.iter().for_each(Running::look);
}

/// Makes this process reap the children that its programs leave behind, instead of the init
/// process. Otherwise a process group would not be empty until the init process has reaped them.
#[cfg(target_os = "linux")]
pub(super) fn reap_descendants() {
    // If this is refused, it only takes longer to detect that a group is empty.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

#[cfg(not(target_os = "linux"))]
pub(super) fn reap_descendants() {}
