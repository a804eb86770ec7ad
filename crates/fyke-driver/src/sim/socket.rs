//! The state of a simulated socket.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::names::Sharing;
use super::pipe::{Inbound, Outbound};
use super::place::Place;
use super::settings::Settings;
use crate::completion::Wanted;
use crate::{Address, SocketId, Transport};

/// One socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) transport: Transport,
    pub(super) sharing: Sharing,
    pub(super) settings: Settings,
    pub(super) bound: Option<Place>,
    pub(super) wanted: Wanted,
    /// Whether the socket is to report `Writable` once.
    pub(super) room_wanted: bool,
    /// Whether the socket is queued for work, see [`Network::line_up`](super::network::Network::line_up).
    pub(super) in_line: bool,
    pub(super) role: Role,
}

/// The role of a socket.
#[derive(Debug)]
pub(super) enum Role {
    /// Opened, perhaps bound; or the connect has failed.
    Idle,
    /// Connecting from `source`, which is `None` for Unix sockets without a name.
    Connecting {
        source: Option<Place>,
        target: Place,
    },
    Listener(Listener),
    Stream(Box<Stream>),
}

#[derive(Debug, Default)]
pub(super) struct Listener {
    /// The number of connections that may wait to be accepted.
    pub(super) room: usize,
    /// The listener's ends of the waiting connections, whose ids were not reported yet.
    pub(super) queue: VecDeque<SocketId>,
    /// Clients that connected while the queue was full. Some of them may be closed.
    pub(super) crowd: VecDeque<SocketId>,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    /// The other end, which may be closed.
    pub(super) peer: SocketId,
    pub(super) local: Address,
    pub(super) remote: Address,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    /// The time at which the last event in transit to this end arrives; later events do not overtake it.
    pub(super) arrives_until: Duration,
    pub(super) reset: Reset,
}

/// Whether the peer has reset the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reset {
    #[default]
    No,
    /// The peer has reset the connection, and no operation has failed because of it.
    Arrived,
    /// The peer has reset the connection, and an operation has reported it.
    Reported,
}

impl Socket {
    pub(super) fn new(transport: Transport, sharing: Sharing, settings: Settings) -> Self {
        Self {
            transport,
            sharing,
            settings,
            bound: None,
            wanted: Wanted::Nothing,
            room_wanted: false,
            in_line: false,
            role: Role::Idle,
        }
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.role {
            Role::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.role {
            Role::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn listener_mut(&mut self) -> Option<&mut Listener> {
        match &mut self.role {
            Role::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    pub(super) fn local_address(&self) -> Address {
        match &self.role {
            Role::Stream(stream) => stream.local.clone(),
            Role::Connecting { source, .. } => Place::seen_by(source.as_ref(), self.transport),
            Role::Idle | Role::Listener(_) => Place::seen_by(self.bound.as_ref(), self.transport),
        }
    }

    /// Fails with `NotConnected` after a reset, as in Linux.
    pub(super) fn peer_address(&self) -> io::Result<Address> {
        let stream = self.stream().filter(|stream| stream.reset == Reset::No);
        Ok(stream.ok_or(io::ErrorKind::NotConnected)?.remote.clone())
    }

    /// Returns whether the socket has work now, given the size of the window.
    pub(super) fn has_work(&self, window_bytes: usize) -> bool {
        match &self.role {
            Role::Idle | Role::Connecting { .. } => false,
            Role::Listener(listener) => {
                self.wanted == Wanted::Delivery && !listener.queue.is_empty()
            }
            Role::Stream(stream) => {
                let Outbound { unreceived, in_flight, .. } = &stream.outbound;
                let sends = in_flight.is_some() && *unreceived < window_bytes;
                let receives = match self.wanted {
                    Wanted::Nothing => false,
                    Wanted::Delivery => stream.inbound.has_arrivals(),
                    Wanted::Notice => stream.inbound.peek().is_some(),
                };
                sends || receives || self.may_tell_room(window_bytes)
            }
        }
    }

    /// Returns whether the socket is to report `Writable`: it is wanted, and there is room or sending
    /// fails.
    pub(super) fn may_tell_room(&self, window_bytes: usize) -> bool {
        let tells = |stream: &Stream| {
            stream.outbound.unreceived < window_bytes || stream.send_failure().is_some()
        };
        self.room_wanted && self.stream().is_some_and(tells)
    }
}

impl Stream {
    pub(super) fn new(peer: SocketId, local: Address, remote: Address) -> Self {
        Self {
            peer,
            local,
            remote,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            arrives_until: Duration::ZERO,
            reset: Reset::No,
        }
    }

    /// Returns the error of sending, or `None` if sending is possible.
    pub(super) fn send_failure(&self) -> Option<io::ErrorKind> {
        if self.outbound.ended || self.reset == Reset::Reported {
            Some(io::ErrorKind::BrokenPipe)
        } else if self.reset == Reset::No {
            None
        } else if self.inbound.has_ended() {
            // Linux reports EPIPE if a socket that sends after the peer's end is reset for it.
            Some(io::ErrorKind::BrokenPipe)
        } else {
            Some(io::ErrorKind::ConnectionReset)
        }
    }
}
