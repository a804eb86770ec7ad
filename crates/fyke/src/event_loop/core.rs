//! What a loop consists of. Shared by everything that belongs to it; `EventLoop` is its face.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fyke_driver::{Driver, DriverKind, SocketId};
use slotmap::SecondaryMap;

use super::handle::Posted;
use super::made::Made;
use super::taken::Taken;
use super::tick::{Closing, Tick};
use crate::lookup::Lookups;
use crate::server::Server;
use crate::socket::Socket;
use crate::timer::{IdleList, Nanoseconds, TimerCallback, TimerQueue};
use crate::{Error, ErrorCode, Result};

/// Everything of one loop. No cell here is borrowed while a callback runs.
pub(crate) struct Core {
    pub(crate) driver: Driver,
    started: Instant,
    /// Node's accidents are copied too.
    pub(crate) node_exact: bool,
    now: Cell<Duration>,
    /// The same, in the form in which sockets note activity.
    moment: Cell<Nanoseconds>,
    /// Whom the driver's sockets belong to. What is in here lives, whatever the user drops. In two
    /// tables, so that a socket takes eight bytes less in its.
    sockets: RefCell<SecondaryMap<SocketId, Socket>>,
    servers: RefCell<BTreeMap<SocketId, Server>>,
    /// What the user made, to be freed with the loop though it is not open then.
    made: RefCell<Made<MadeByUser>>,
    pub(crate) ticks: RefCell<VecDeque<Tick>>,
    pub(crate) immediates: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    /// What comes before the driver waits again: on exact loops what libuv does then, on others what
    /// must leave time for something else.
    pub(crate) pending: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    pub(crate) closing: RefCell<VecDeque<Closing>>,
    /// What the kernel took at once of what this batch of callbacks wrote.
    pub(crate) taken: Taken,
    /// Sockets with bytes to hand over at the end of the batch (phase 7).
    pub(crate) dirty: RefCell<VecDeque<Socket>>,
    pub(crate) timers: RefCell<TimerQueue<TimerCallback>>,
    pub(crate) idle: RefCell<IdleList<crate::socket::Inner>>,
    pub(crate) lookups: Lookups,
    pub(crate) posted: Arc<Posted>,
    /// How many sockets, servers and requests keep the loop alive.
    holds: Cell<usize>,
    /// An error without a listener that ends `run` (contract C5).
    unheard: RefCell<Option<Error>>,
    /// The first error without a listener that `run` returns when it ends by itself (contract C5).
    unheard_at_end: RefCell<Option<Error>>,
    /// How many turns there were.
    pub(crate) turns: Cell<u64>,
    pub(super) turning: Cell<bool>,
    closed: Cell<bool>,
}

/// Whose socket it is.
#[derive(Clone, Debug)]
pub(crate) enum Owner {
    /// A connection, or an attempt at one.
    Socket(Socket),
    /// A listener.
    Server(Server),
}

/// Something that the user made, not kept alive by this.
enum MadeByUser {
    Socket(Weak<crate::socket::Inner>),
    Server(Weak<crate::server::Inner>),
}

impl MadeByUser {
    fn is_gone(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.strong_count() == 0,
            Self::Server(server) => server.strong_count() == 0,
        }
    }
}

impl Core {
    pub(super) fn new(kind: &DriverKind, node_exact: bool) -> io::Result<Rc<Self>> {
        let driver = Driver::new(kind)?;
        let posted = Arc::new(Posted::new(driver.waker()));
        Ok(Rc::new(Self {
            now: Cell::new(driver.now()),
            moment: Cell::new(driver.now().into()),
            driver,
            started: Instant::now(),
            node_exact,
            sockets: RefCell::default(),
            servers: RefCell::default(),
            made: RefCell::default(),
            ticks: RefCell::default(),
            immediates: RefCell::default(),
            pending: RefCell::default(),
            closing: RefCell::default(),
            taken: Taken::default(),
            dirty: RefCell::default(),
            timers: RefCell::default(),
            idle: RefCell::default(),
            lookups: Lookups::default(),
            posted,
            holds: Cell::new(0),
            unheard: RefCell::default(),
            unheard_at_end: RefCell::default(),
            turns: Cell::new(0),
            turning: Cell::new(false),
            closed: Cell::new(false),
        }))
    }

    /// The time of this turn, on the driver's clock.
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    /// The same.
    pub(crate) fn moment(&self) -> Nanoseconds {
        self.moment.get()
    }

    pub(super) fn update_now(&self) {
        let now = self.driver.now();
        self.now.set(now);
        self.moment.set(now.into());
    }

    /// A time on the driver's clock as the system's.
    pub(super) fn instant(&self, at: Duration) -> Instant {
        let start = self.started;
        start.checked_add(at).unwrap_or_else(|| start + Duration::from_secs(u32::MAX.into()))
    }

    /// The socket whose connection, or attempt at one, this is.
    pub(crate) fn socket(&self, id: SocketId) -> Option<Socket> {
        self.sockets.borrow().get(id).cloned()
    }

    /// The server whose listener this is.
    pub(crate) fn server(&self, id: SocketId) -> Option<Server> {
        self.servers.borrow().get(&id).cloned()
    }

    /// All that have a connection, or an attempt at one.
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        self.sockets.borrow().values().cloned().collect()
    }

    pub(crate) fn own(&self, id: SocketId, socket: &Socket) {
        let before = self.sockets.borrow_mut().insert(id, socket.clone());
        drop(before);
    }

    pub(crate) fn own_listener(&self, id: SocketId, server: &Server) {
        let before = self.servers.borrow_mut().insert(id, server.clone());
        drop(before);
    }

    /// Forgets whose it was. The answer is to be dropped where nothing is borrowed.
    #[must_use]
    fn disown(&self, id: SocketId) -> Option<Owner> {
        let socket = self.sockets.borrow_mut().remove(id).map(Owner::Socket);
        socket.or_else(|| self.servers.borrow_mut().remove(&id).map(Owner::Server))
    }

    /// Remembers what the user made, so that what its callbacks captured is freed with the loop.
    pub(crate) fn remember(&self, owner: &Owner) {
        let made = match owner {
            Owner::Socket(socket) => MadeByUser::Socket(socket.downgrade()),
            Owner::Server(server) => MadeByUser::Server(Rc::downgrade(server.inner())),
        };
        self.made.borrow_mut().add(made, MadeByUser::is_gone);
    }

    /// Forgets whose socket it was and closes it.
    pub(crate) fn close(&self, id: SocketId) {
        let owner = self.disown(id);
        self.driver.close(id);
        drop(owner);
    }

    /// The same by RST.
    pub(crate) fn reset(&self, id: SocketId) {
        let owner = self.disown(id);
        self.driver.reset(id);
        drop(owner);
    }

    /// Forgets whose socket it was and gives its descriptor out.
    #[cfg(unix)]
    pub(crate) fn detach(&self, id: SocketId) -> io::Result<std::os::fd::OwnedFd> {
        let fd = self.driver.detach(id)?;
        let owner = self.disown(id);
        drop(owner);
        Ok(fd)
    }

    /// Runs when the running callback has returned.
    pub(crate) fn push_tick(&self, tick: Tick) {
        if self.closed.get() {
            // Nothing runs any more. Dropped here, with nothing borrowed.
            drop(tick);
        } else {
            self.ticks.borrow_mut().push_back(tick);
        }
    }

    pub(crate) fn hold(&self) {
        self.holds.set(self.holds.get() + 1);
    }

    pub(crate) fn release(&self) {
        debug_assert!(self.holds.get() > 0, "released more often than held");
        self.holds.set(self.holds.get().saturating_sub(1));
    }

    /// Whether anything is left that keeps the loop alive (phase 8).
    pub(super) fn is_alive(&self) -> bool {
        self.holds.get() > 0
            || self.timers.borrow().keeps_alive()
            || self.has_due_work()
            // In this order: work is posted before the hold on the loop is given up.
            || self.posted.keeps_alive()
            || self.posted.is_waiting()
    }

    /// Whether neither ticks nor bytes to hand over wait.
    pub(super) fn is_settled(&self) -> bool {
        self.ticks.borrow().is_empty() && self.dirty.borrow().is_empty()
    }

    /// Whether there is work for which the loop must not wait.
    pub(super) fn has_due_work(&self) -> bool {
        !self.is_settled()
            || !self.immediates.borrow().is_empty()
            || !self.pending.borrow().is_empty()
            || !self.closing.borrow().is_empty()
            || self.unheard.borrow().is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let timer = self.timers.borrow().next_deadline();
        let idle = self.idle.borrow().next_deadline();
        timer.into_iter().chain(idle).min()
    }

    /// Ends `run` with an error that has no listener. The first one counts.
    pub(crate) fn unheard(&self, error: Error) {
        self.unheard.borrow_mut().get_or_insert(error);
    }

    /// Has `run` return an error that has no listener when it ends by itself. The first one counts.
    pub(crate) fn unheard_at_end(&self, error: Error) {
        self.unheard_at_end.borrow_mut().get_or_insert(error);
    }

    pub(super) fn take_unheard_at_end(&self) -> Option<Error> {
        self.unheard_at_end.borrow_mut().take()
    }

    pub(super) fn take_unheard(&self) -> Option<Error> {
        self.unheard.borrow_mut().take()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.get() {
            return Err(Error::new(ErrorCode::ERR_EVENT_LOOP_CLOSED, "its event loop is gone"));
        }
        Ok(())
    }

    /// The end: everything is closed without an event, and everything that the callbacks captured
    /// is dropped, so that sockets which captured each other are freed too. Dropping may run the
    /// user's code, so nothing is borrowed then and nothing new is taken in.
    pub(super) fn shut_down(&self) {
        self.closed.set(true);
        self.posted.close();
        let mut ids: Vec<SocketId> = self.sockets.borrow().keys().collect();
        ids.extend(self.servers.borrow().keys());
        for id in ids {
            let owner = self.disown(id);
            if let Some(Owner::Socket(socket)) = &owner {
                socket.capture_peer_if_shared();
            }
            self.driver.close(id);
            match owner {
                Some(Owner::Socket(socket)) => socket.abandon(),
                Some(Owner::Server(server)) => server.abandon(),
                None => {}
            }
        }
        for closing in self.closing.take() {
            closing.socket.abandon();
        }
        for made in self.made.take().into_list() {
            match made {
                MadeByUser::Socket(socket) => {
                    socket.upgrade().map(Socket::from_inner).iter().for_each(Socket::abandon);
                }
                MadeByUser::Server(server) => {
                    server.upgrade().map(Server::from_inner).iter().for_each(Server::abandon);
                }
            }
        }
        self.lookups.abandon();
        self.idle.borrow_mut().clear();
        let timers = self.timers.borrow_mut().drain();
        drop(timers);
        drop(self.ticks.take());
        drop(self.immediates.take());
        drop(self.pending.take());
        drop(self.dirty.take());
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("driver", &self.driver.name())
            .field("holds", &self.holds.get())
            .finish_non_exhaustive()
    }
}
