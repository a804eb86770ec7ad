//! What a socket knows about itself.

use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use fyke_driver::{Address, SocketId};

use super::attempts::Connecting;
use super::callback::Done;
use super::deadlines::Stall;
use super::exact::Owed;
use super::failing::Failing;
use super::idle::Idle;
use super::origin::{Accepts, Origin};
use super::peer::Peer;
use super::phase::{Phase, ReadyState};
use super::pipe::Pipes;
use super::read_buffer::ReadBuffer;
use super::read_side::ReadSide;
use super::write_side::{SMALL_BYTES_MAX, WriteSide};
use crate::socket_options::SocketOptions;
use crate::text::Decoder;
use crate::wishes::Wishes;
use crate::{AbortSignal, BlockList, BoundSocket, Encoding, Error};

/// What a callback that waits counts as, beside the bytes of its write: an entry of the queue, and a
/// closure that captured a little.
const CALLBACK_BYTES: usize = 64;

/// Every socket has this, so every byte counts: what an idle one does not need is in [`Rare`], and
/// numbers are no wider than their limits. A test in `size.rs` watches it.
pub(super) struct State {
    /// The driver's name of the connection, or of the attempt that is running.
    pub(super) id: Option<SocketId>,
    pub(super) phase: Phase,
    pub(super) connecting: bool,
    pub(super) unix: bool,
    pub(super) allow_half_open: bool,
    pub(super) no_delay: bool,
    /// Destroyed with an error.
    pub(super) had_error: bool,
    /// `reset_and_destroy` waits for the connection (DST-12).
    pub(super) reset_on_connect: bool,
    /// `destroy_soon` waits for `finish`.
    pub(super) destroy_on_finish: bool,
    /// Keeps the loop alive while it reads: not `unref`'ed.
    pub(super) referred: bool,
    /// Counted among what keeps the loop alive.
    pub(super) holding: bool,
    /// Made by `Socket::new`: its listeners stay after `close`.
    pub(super) keeps_listeners: bool,
    /// Accepted by a server: an error that nobody hears ends only this connection (contract C5).
    pub(super) accepted: bool,
    write_queue_bytes_max: u32,
    pub(super) read: ReadSide,
    pub(super) write: WriteSide<Done>,
    pub(super) idle: Idle,
    pub(super) peer: Peer,
    /// The server that accepted it: kept alive until the socket's `close`, so that the server's own
    /// can come; only known after that.
    pub(super) origin: Option<Rc<Origin>>,
    rare: Option<Box<Rare>>,
}

/// What most sockets do not have.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) errored: Option<Error>,
    /// Counts connects, so that an answer to an older one is recognised.
    pub(super) round: u32,
    /// The server that had accepted it, after `close`.
    former_server: Option<Weak<dyn Accepts>>,
    pub(super) local: Option<Address>,
    /// Our own end, until a connect uses it.
    pub(super) bound: Option<BoundSocket>,
    pub(super) attempted: Option<Vec<SocketAddr>>,
    /// In a box: it is larger than all the rest, and few have it.
    pub(super) connecting: Option<Box<Connecting>>,
    pub(super) wishes: Wishes,
    pub(super) read_buffer: Option<ReadBuffer>,
    pub(super) block_list: Option<BlockList>,
    pub(super) pipes: Pipes,
    pub(super) decoder: Option<(Encoding, Decoder)>,
    pub(super) signal: Option<AbortSignal>,
    pub(super) stall: Option<Stall>,
    /// Bytes that were received are delivered before an error.
    pub(super) delivers_before_error: bool,
    /// The connection has failed, and its bytes are still being delivered.
    pub(super) failing: Option<Failing>,
    /// `remote_address` was called while the connection stood (exact loops only).
    pub(super) peer_was_asked: bool,
    /// `connect` was called again on the connection that stands (exact loops only).
    pub(super) connected_again: bool,
    /// What is still to be told: of reads, and of connections before the last connect.
    pub(super) owed: Option<Box<Owed>>,
    /// The turn in which bytes were received last (exact loops only).
    pub(super) received_in_turn: u64,
    /// Connected before the old `close`, or while it was ending: it never finishes (exact loops only).
    pub(super) end_is_lost: bool,
    /// The host that is looked up, of which one address is wanted (exact loops only).
    pub(super) lookup_host: Option<String>,
    /// An attempt that was under way when the socket was destroyed (exact loops only).
    pub(super) cancelled_attempt: Option<Box<Address>>,
    /// An accepted socket that has connected again: no connection of its server any more.
    pub(super) has_left_server: bool,
}

impl Rare {
    /// Whether the connection has failed and nothing more can be received.
    pub(super) fn has_received_all(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| !failing.receives)
    }

    /// None, where nothing rare is asked for.
    fn new(options: &SocketOptions) -> Option<Box<Self>> {
        let wishes = options.wishes;
        let signal = options.signal.clone();
        let stall = options.write_stall_timeout.map(Stall::new);
        let block_list = options.block_list.clone();
        let any = wishes != Wishes::default()
            || signal.is_some()
            || stall.is_some()
            || block_list.is_some();
        any.then(|| Box::new(Self { wishes, signal, stall, block_list, ..Self::default() }))
    }
}

impl State {
    pub(super) fn new(options: &SocketOptions) -> Self {
        let mut read = ReadSide::new(options.high_water_mark_bytes);
        let mut write = WriteSide::new(options.high_water_mark_bytes);
        if !options.readable {
            read.disable();
        }
        if !options.writable {
            write.disable();
        }
        Self {
            id: None,
            phase: Phase::Fresh,
            connecting: false,
            unix: false,
            allow_half_open: options.allow_half_open,
            no_delay: options.no_delay,
            had_error: false,
            reset_on_connect: false,
            destroy_on_finish: false,
            referred: true,
            holding: false,
            keeps_listeners: false,
            accepted: false,
            write_queue_bytes_max: options.write_queue_bytes_max,
            read,
            write,
            idle: Idle::default(),
            peer: Peer::None,
            origin: None,
            rare: Rare::new(options),
        }
    }

    /// Makes a closed socket ready for another connection (CON-16): wishes and listeners stay. Returns
    /// what is left of the last one, to be dropped where nothing is borrowed: callbacks and bytes run
    /// the user's code when they go.
    #[must_use]
    pub(super) fn renew(&mut self, exact: bool) -> WriteSide<Done> {
        self.phase = Phase::Live;
        self.had_error = false;
        self.reset_on_connect = false;
        self.destroy_on_finish = false;
        self.idle.declared = false;
        self.idle.draining = false;
        self.read = self.read.renewed(exact);
        let renewed = self.write.renewed(exact);
        let before = std::mem::replace(&mut self.write, renewed);
        self.peer = Peer::None;
        if self.accepted && !exact {
            self.rare().has_left_server = true;
        }
        if let Some(rare) = &mut self.rare {
            rare.errored = None;
            rare.failing = None;
            rare.local = None;
            rare.attempted = None;
            if let Some(owed) = &mut rare.owed {
                owed.taken.clear();
            }
            rare.peer_was_asked = false;
            rare.connected_again = false;
            rare.end_is_lost = false;
            if let Some((encoding, decoder)) = &mut rare.decoder {
                *decoder = Decoder::new(*encoding);
            }
        }
        before
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn rare_if_any(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(super) fn rare_if_any_mut(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    pub(super) fn errored(&self) -> Option<Error> {
        self.rare_if_any()?.errored.clone()
    }

    /// The first error counts (DST-06).
    pub(super) fn set_errored(&mut self, error: &Error) {
        self.rare().errored.get_or_insert_with(|| error.clone());
    }

    pub(super) fn destroyed(&self) -> bool {
        matches!(self.phase, Phase::Destroyed | Phase::Closed)
    }

    /// The number of the last connect.
    pub(super) fn round(&self) -> u32 {
        self.rare_if_any().map_or(0, |rare| rare.round)
    }

    pub(super) fn peer_was_asked(&self) -> bool {
        self.rare_if_any().is_some_and(|rare| rare.peer_was_asked)
    }

    /// More waits to be sent than may (contract C7). On exact loops callbacks cost nothing, as in Node.
    pub(super) fn is_queue_too_long(&self, exact: bool) -> bool {
        let callbacks = if exact { 0 } else { self.write.callbacks() };
        self.exceeds_queue(self.write.len() + callbacks * CALLBACK_BYTES)
    }

    /// More callbacks wait for the end than may.
    pub(super) fn has_too_many_end_callbacks(&self, exact: bool) -> bool {
        !exact && self.exceeds_queue(self.write.end_callbacks().saturating_mul(CALLBACK_BYTES))
    }

    fn exceeds_queue(&self, bytes: usize) -> bool {
        let max = self.write_queue_bytes_max;
        bytes > max as usize && max != u32::MAX
    }

    /// Whether so many bytes may leave alone, and a short write after them too, without waiting for the
    /// peer to acknowledge (Nagle, RFC 9293, 3.7.4); or at the mark, where all leave at once.
    pub(super) fn may_leave_alone(&self, bytes: usize) -> bool {
        let large = bytes > SMALL_BYTES_MAX && (self.no_delay || self.unix);
        large || bytes >= self.write.high_water_mark_bytes().max(1)
    }

    /// Connected, and not destroyed.
    pub(super) fn connected(&self) -> Option<SocketId> {
        self.id.filter(|_| !self.connecting && self.phase == Phase::Live)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.rare_if_any().is_some_and(|rare| rare.errored.is_some())
    }

    /// Whether bytes that were received are delivered before an error.
    pub(super) fn may_deliver_before_error(&self) -> bool {
        let wanted = self.rare_if_any().is_some_and(|rare| rare.delivers_before_error);
        wanted && self.phase == Phase::Live
    }

    /// Bytes may still come (PROP-14).
    pub(super) fn readable(&self) -> bool {
        !self.read.end_emitted && !self.destroyed()
    }

    /// Bytes may still be written (PROP-14).
    pub(super) fn writable(&self) -> bool {
        !self.write.ending && !self.destroyed() && !self.has_failed()
    }

    pub(super) fn ready_state(&self) -> ReadyState {
        match (self.connecting, self.readable(), self.writable()) {
            (true, ..) => ReadyState::Opening,
            (_, true, true) => ReadyState::Open,
            (_, true, false) => ReadyState::ReadOnly,
            (_, false, true) => ReadyState::WriteOnly,
            (_, false, false) => ReadyState::Closed,
        }
    }

    /// Whether the loop must go on for this socket (PROC-01): something is being done, or it
    /// reads and is not `unref`'ed.
    pub(super) fn holds(&self) -> bool {
        if self.phase != Phase::Live {
            return false;
        }
        if self.referred && self.read.receiving {
            return true;
        }
        let sending = self.id.is_some() && self.write.is_sending();
        let ending = self.id.is_some() && self.write.shutting_down && !self.write.finished;
        (self.connecting && self.connect_holds()) || sending || ending
    }

    fn connect_holds(&self) -> bool {
        let connecting = self.rare_if_any().and_then(|rare| rare.connecting.as_deref());
        connecting.is_none_or(Connecting::holds)
    }

    pub(super) fn server(&self) -> Option<Rc<dyn Accepts>> {
        match &self.origin {
            Some(origin) => Some(origin.server()),
            None => self.rare_if_any()?.former_server.as_ref()?.upgrade(),
        }
    }

    /// Whether the server that lies there has accepted it.
    pub(super) fn is_of(&self, server: *const ()) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.is(server))
    }

    /// After `close` the server is not kept, at most known.
    pub(super) fn let_go_of_server(&mut self, known: bool) -> Option<Rc<Origin>> {
        let origin = self.origin.take()?;
        if known {
            self.rare().former_server = Some(Rc::downgrade(&origin.server()));
        }
        Some(origin)
    }
}
