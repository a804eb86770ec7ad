//! The simulated backend: a network in memory, with a seed and a virtual clock.
//!
//! Both ends of every connection are sockets of the same driver. The network behaves like Linux's
//! loopback interface seen through TCP and Unix stream sockets: bytes take time, arrive in pieces, and
//! occupy a window until they are received; FIN arrives in order, RST does not wait for the reader; names
//! are bound and released. Descriptors and memory are never exhausted.
//!
//! *Time.* The clock moves only inside a turn that would otherwise wait: to the next event of the
//! network, or to the end of the timeout. A simulated hour therefore takes no real time, and work takes
//! no simulated time. A turn that may not wait takes a microsecond, so that a program that only polls
//! makes progress.
//!
//! *Chance.* All random choices derive from one seed, and nothing depends on the order of a hash table,
//! on addresses in memory or on the real clock: the same calls produce the same completions. The only
//! exception is the waker, which other threads use.
//!
//! *Structure.* Events of the schedule change the state of sockets and queue them; the turn then reports
//! the completions of the queued sockets, one at a time. The state is in one `RefCell` that is never
//! borrowed while the callback runs, so the callback can call any operation.

mod bell;
#[cfg(test)]
mod chaos;
mod connect;
mod ending;
mod listen;
mod names;
mod network;
mod options;
mod pipe;
mod place;
mod properties;
mod random;
mod receive;
mod schedule;
mod send;
mod settings;
mod socket;
#[cfg(test)]
mod testing;
mod turn;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::completion::Wanted;
use crate::pool::Pool;
use crate::uninit::Unfilled;
use crate::{Address, Batch, Completion, Moment, Open, OpenError, SocketId, Waker};
use bell::Bell;
use network::Network;

pub use options::SimOptions;

/// The simulated network. Each operation is in the file of its topic.
pub(crate) struct Sim {
    network: RefCell<Network>,
    bell: Arc<Bell>,
    pool: Pool,
    /// Whether a turn is running.
    turning: Cell<bool>,
}

impl Sim {
    pub(crate) fn new(options: SimOptions) -> Self {
        Self {
            network: RefCell::new(Network::new(options)),
            bell: Arc::default(),
            pool: Pool::default(),
            turning: Cell::new(false),
        }
    }

    fn want_nothing(&self, socket: SocketId) {
        if let Some(slot) = self.network.borrow_mut().sockets.get_mut(socket) {
            slot.wanted = Wanted::Nothing;
        }
    }

    fn close_by(&self, socket: SocketId, reset: bool) -> bool {
        let existed = self.network.borrow_mut().close(socket, reset, &self.pool);
        self.pool.drop_buried();
        existed
    }
}

/// Descriptors, processes and socket files do not exist here: the default implementations of the trait
/// answer those operations.
impl Backend for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> Moment {
        self.network.borrow().schedule.now().into()
    }

    fn waker(&self) -> Waker {
        Waker::new(Arc::clone(&self.bell))
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn open(&self, request: &Open) -> Result<SocketId, OpenError> {
        self.network.borrow_mut().open(request)
    }

    fn listen(&self, socket: SocketId, backlog: i32) -> io::Result<()> {
        self.network.borrow_mut().listen(socket, backlog)
    }

    fn accept_start(&self, listener: SocketId) -> io::Result<()> {
        self.network.borrow_mut().accept_start(listener)
    }

    fn accept_stop(&self, listener: SocketId) {
        self.want_nothing(listener);
    }

    fn connect(&self, socket: SocketId, target: &Address) {
        self.network.borrow_mut().connect(socket, target);
    }

    fn receive_start(&self, socket: SocketId) -> io::Result<()> {
        self.network.borrow_mut().start_reading(socket, Wanted::Delivery)
    }

    fn receive_stop(&self, socket: SocketId) {
        self.want_nothing(socket);
    }

    fn readable_start(&self, socket: SocketId) -> io::Result<()> {
        self.network.borrow_mut().start_reading(socket, Wanted::Notice)
    }

    fn read_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]> {
        self.network.borrow_mut().read_into(socket, buffer)
    }

    fn peek_into<'a>(&self, socket: SocketId, buffer: Unfilled<'a>) -> io::Result<&'a mut [u8]> {
        self.network.borrow().peek_into(socket, buffer)
    }

    fn send(&self, socket: SocketId, batch: Batch) -> io::Result<usize> {
        let sent = self.network.borrow_mut().send(socket, batch, &self.pool);
        self.pool.drop_buried();
        sent
    }

    fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        self.send_vectored_at_once(socket, &[IoSlice::new(bytes)])
    }

    fn send_vectored_at_once(&self, socket: SocketId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.network.borrow_mut().send_at_once(socket, slices)
    }

    fn writable_start(&self, socket: SocketId) -> io::Result<()> {
        self.network.borrow_mut().writable_start(socket)
    }

    fn shutdown(&self, socket: SocketId) -> bool {
        let shut_down = self.network.borrow_mut().shutdown(socket, &self.pool);
        self.pool.drop_buried();
        shut_down
    }

    fn close(&self, socket: SocketId) -> bool {
        self.close_by(socket, false)
    }

    fn reset(&self, socket: SocketId) -> bool {
        self.close_by(socket, true)
    }

    fn has_work(&self) -> bool {
        self.bell.is_rung() || self.network.borrow().has_work()
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.network.borrow().schedule.next().map(Moment::from)
    }

    fn turn(&self, until: Option<Moment>, on: &mut dyn FnMut(Completion<'_>)) -> io::Result<()> {
        self.turn(until, on)
    }

    fn resolve(&self, host: &str) -> Option<(Duration, Vec<IpAddr>)> {
        let options = &self.network.borrow().options;
        Some((options.lookup_delay, options.addresses_of(host)))
    }
}

/// The output leaves out bytes and sockets: a network may hold megabytes of them.
impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Sim");
        if let Ok(network) = self.network.try_borrow() {
            output.field("now", &network.schedule.now());
            output.field("sockets", &network.sockets.len());
        }
        output.finish_non_exhaustive()
    }
}
