//! The state of a socket, outside of its state machine.

use std::any::Any;
use std::net::{SocketAddr, SocketAddrV6};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use fyke_driver::{Address, SocketId};
use fyke_machine::Moment;
use fyke_machine::connection::{Connection, Event, Settings};
use fyke_machine::{Change, Machine};

use super::origin::{Accepts, Origin, Shared};
use super::peer::Peer;
use super::running::Connecting;
use super::sink::ReadBuffer;
use crate::few::Few;
use crate::runtime::TimerId;
use crate::socket_options::SocketOptions;
use crate::text::Decoder;
use crate::wishes::Wishes;
use crate::{AbortSignal, BlockList, BoundSocket, Encoding, Result};

/// Called once when a write or an `end` of a socket `S` is done.
pub(super) type Callback<S> = Box<dyn FnOnce(&S, Result<()>)>;

/// The state of a socket `S` beside its state machine. Every socket has one, so every byte counts: data
/// that an idle socket does not need is in [`Rare`], and integers are no wider than their limits. A test in
/// `size.rs` checks the size.
pub(super) struct State<S> {
    pub(super) machine: Machine<Callback<S>>,
    /// The driver's id of the connection, or of the running attempt.
    pub(super) id: Option<SocketId>,
    pub(super) no_delay: bool,
    /// Whether the socket counts among those that keep the loop alive.
    pub(super) holding: bool,
    pub(super) receiving: Receiving,
    /// Set by `Socket::new`: the listeners are kept after `close`.
    pub(super) keeps_listeners: bool,
    peer: Peer,
    /// The server that accepted the socket; kept until `close`.
    origin: Option<Rc<Origin>>,
    /// The data that the sockets of that server share.
    shared: Option<Rc<Shared>>,
    rare: Option<Box<Rare<S>>>,
}

/// Whether listeners are running for received bytes, and what follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    No,
    Yes,
    /// The queue is submitted directly after the listeners. When it was written to, no other work waited for
    /// the end of the batch of callbacks, so the socket needs no place in the list.
    ThenFlush,
}

impl<S> Deref for State<S> {
    type Target = Connection<Callback<S>>;

    fn deref(&self) -> &Self::Target {
        &self.machine
    }
}

/// Data that most sockets do not have.
pub(super) struct Rare<S> {
    pub(super) local: Option<Address>,
    /// The peer's address if it has a flow label or a scope.
    scoped_peer: Option<SocketAddrV6>,
    /// The local socket, until a connect uses it.
    pub(super) bound: Option<BoundSocket>,
    pub(super) attempted: Option<Vec<SocketAddr>>,
    /// Boxed, because it is larger than all other fields together, and few sockets have it.
    pub(super) connecting: Option<Box<Connecting>>,
    /// The options that were set last, if they differ from those of the socket's server.
    wishes: Option<Wishes>,
    pub(super) read_buffer: Option<ReadBuffer<S>>,
    pub(super) block_list: Option<BlockList>,
    /// Deferred `pipe` and `unpipe` events.
    pub(super) piped: Few<(Event, S)>,
    pub(super) decoder: Option<(Encoding, Decoder)>,
    pub(super) signal: Option<AbortSignal>,
    /// The `Layered`, which cannot be named here, because layers know sockets.
    pub(super) layered: Option<Rc<dyn Any>>,
    write_stall_timeout: Option<Duration>,
    /// The timer that wakes this socket, with its time.
    pub(super) wake: Option<(Moment, TimerId)>,
    /// Whether `remote_address` was called while the socket was connected (exact loops only).
    pub(super) peer_was_asked: bool,
}

impl<S> Default for Rare<S> {
    fn default() -> Self {
        Self {
            local: None,
            scoped_peer: None,
            bound: None,
            attempted: None,
            connecting: None,
            wishes: None,
            read_buffer: None,
            block_list: None,
            piped: Few::default(),
            decoder: None,
            signal: None,
            layered: None,
            write_stall_timeout: None,
            wake: None,
            peer_was_asked: false,
        }
    }
}

impl<S> Rare<S> {
    /// Returns `None` if the options need nothing of it. `accepted`: leaves out what the socket shares with
    /// others.
    fn new(options: &SocketOptions, accepted: bool) -> Option<Box<Self>> {
        let own = !accepted && !options.is_plain();
        if !own && options.signal.is_none() && options.block_list.is_none() {
            return None;
        }
        Some(Box::new(Self {
            wishes: own.then_some(options.wishes),
            write_stall_timeout: options.write_stall_timeout.filter(|_| own),
            signal: options.signal.clone(),
            block_list: options.block_list.clone(),
            ..Self::default()
        }))
    }

    fn is_empty(&self) -> bool {
        let Self {
            local,
            scoped_peer,
            bound,
            attempted,
            connecting,
            wishes,
            read_buffer,
            block_list,
            piped,
            decoder,
            signal,
            layered,
            write_stall_timeout,
            wake,
            peer_was_asked,
        } = self;
        let ends = local.is_none() && scoped_peer.is_none() && bound.is_none();
        let asked = wishes.is_none() && block_list.is_none() && signal.is_none();
        let reads = read_buffer.is_none() && piped.is_empty() && decoder.is_none();
        let reads = reads && layered.is_none();
        let watches = write_stall_timeout.is_some() || wake.is_some();
        let connects = attempted.is_some() || connecting.is_some();
        ends && asked && reads && !connects && !watches && !peer_was_asked
    }
}

impl<S> State<S> {
    pub(super) fn new(options: &SocketOptions) -> Self {
        Self::with(options, Rare::new(options, false))
    }

    fn with(options: &SocketOptions, rare: Option<Box<Rare<S>>>) -> Self {
        let machine = Machine::new(&Settings {
            half_open: options.allow_half_open,
            high_water_mark_bytes: options.high_water_mark_bytes,
            write_queue_bytes_max: options.write_queue_bytes_max,
            readable: options.readable,
            writable: options.writable,
        });
        Self {
            machine,
            id: None,
            no_delay: options.no_delay,
            holding: false,
            receiving: Receiving::No,
            keeps_listeners: false,
            peer: Peer::None,
            origin: None,
            shared: None,
            rare,
        }
    }

    /// Makes the state of a socket that a server accepted.
    pub(super) fn accepted(origin: Rc<Origin>) -> Self {
        let options = &origin.shared.options;
        let mut state = Self::with(options, Rare::new(options, true));
        state.shared = Some(Rc::clone(&origin.shared));
        state.origin = Some(origin);
        state
    }

    /// Mutable access to the connection.
    #[inline]
    pub(super) fn change(&mut self) -> Change<'_, Callback<S>> {
        self.machine.change()
    }

    /// Returns the local address of an accepted connection, if it is known without a system call.
    pub(super) fn shared_local(&self) -> Option<SocketAddr> {
        // Not the address of another connection that the socket has made since.
        let shared = self.shared.as_ref().filter(|_| self.round() == 0);
        shared.and_then(|shared| shared.local)
    }

    /// Returns the options that were requested last.
    pub(super) fn wishes(&self) -> Wishes {
        let own = self.rare_if_any().and_then(|rare| rare.wishes);
        let shared = || self.shared.as_ref().map(|shared| shared.options.wishes);
        own.or_else(shared).unwrap_or_default()
    }

    pub(super) fn wishes_mut(&mut self) -> &mut Wishes {
        let wishes = self.wishes();
        self.rare().wishes.get_or_insert(wishes)
    }

    /// Returns how long a write in flight may make no progress.
    pub(super) fn write_stall_timeout(&self) -> Option<Duration> {
        let shared = || self.shared.as_ref()?.options.write_stall_timeout;
        self.rare_if_any().and_then(|rare| rare.write_stall_timeout).or_else(shared)
    }

    /// Frees the box of rare data if it is empty.
    pub(super) fn tidy(&mut self) {
        if self.rare.as_ref().is_some_and(|rare| rare.is_empty()) {
            self.rare = None;
        }
    }

    /// Resets the state for another connection. Options and listeners are kept.
    // CON-16
    pub(super) fn renew(&mut self) {
        self.set_peer(None);
        if let Some(rare) = &mut self.rare {
            rare.local = None;
            rare.attempted = None;
            rare.peer_was_asked = false;
            if let Some((encoding, decoder)) = &mut rare.decoder {
                *decoder = Decoder::new(*encoding);
            }
        }
    }

    /// Returns the peer's address, if it is known without a system call.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer.address(|| self.rare_if_any()?.scoped_peer)
    }

    /// Returns whether the system knows the peer's address, but was not asked for it yet.
    pub(super) fn has_unasked_peer(&self) -> bool {
        matches!(self.peer, Peer::Unasked)
    }

    /// Sets the peer's address. `None` for a Unix socket.
    pub(super) fn set_peer(&mut self, address: Option<SocketAddr>) {
        let (peer, scoped) = Peer::compact(address);
        self.peer = peer;
        if scoped.is_some() {
            self.rare().scoped_peer = scoped;
        } else if let Some(rare) = &mut self.rare {
            rare.scoped_peer = None;
        }
    }

    /// Notes that the system knows the peer's address.
    pub(super) fn set_unasked_peer(&mut self) {
        self.peer = Peer::Unasked;
    }

    pub(super) fn rare(&mut self) -> &mut Rare<S> {
        self.rare.get_or_insert_default()
    }

    pub(super) fn rare_if_any(&self) -> Option<&Rare<S>> {
        self.rare.as_deref()
    }

    pub(super) fn rare_if_any_mut(&mut self) -> Option<&mut Rare<S>> {
        self.rare.as_deref_mut()
    }

    pub(super) fn peer_was_asked(&self) -> bool {
        self.rare_if_any().is_some_and(|rare| rare.peer_was_asked)
    }

    /// Returns the connection on which to send and receive, if it is established.
    pub(super) fn connected(&self) -> Option<SocketId> {
        self.id.filter(|_| self.machine.is_connected())
    }

    /// Returns the server that accepted the socket, if it still exists.
    pub(super) fn accepted_by(&self) -> Option<Rc<dyn Accepts>> {
        self.shared.as_ref()?.server()
    }

    /// Returns whether the socket is a connection of the server at this address.
    pub(super) fn is_of(&self, server: *const ()) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.is(server))
    }

    /// Releases the server after `close`, so that the socket does not keep it alive. It stays known through
    /// a weak reference.
    pub(super) fn let_go_of_server(&mut self) -> Option<Rc<Origin>> {
        self.change().served = false;
        self.origin.take()
    }
}
