//! `Socket`: one connection, or a socket that has none yet.
//!
//! A state machine, [`fyke_machine::connection::Connection`], decides what may happen to a socket, and in
//! which order. `machine.rs` calls it and carries out the effects that it returns; `wire.rs` sends and
//! receives bytes through the driver; the other files contain the public functions.

mod actor;
mod adding_layers;
mod addresses;
#[cfg(unix)]
mod adopting;
mod attempts;
mod awaiting;
mod bound;
mod connect;
mod connecting;
mod deadlines;
mod destroying;
mod ending;
mod events;
mod failing;
mod finished;
#[cfg(unix)]
mod handing_over;
mod idle;
mod kernel_options;
mod layer;
mod layer_flow;
mod layer_receiving;
mod layered;
mod layered_sending;
mod link;
mod listener;
mod machine;
mod once;
mod options;
mod origin;
mod peer;
mod pipe;
mod pipeline;
mod properties;
mod pulling;
mod read_buffer;
mod readable;
mod reading;
mod remote;
mod running;
mod shutting_down;
mod sink;
#[cfg(all(test, target_pointer_width = "64"))]
mod size;
mod spares;
mod state;
mod target;
mod text;
mod wire;
mod writing;

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use fyke_driver::SocketId;

pub use connect::connect;
pub use connecting::connect_then;
pub(crate) use fyke_machine::connection::Event;
pub use fyke_machine::connection::LookupEvent;
use fyke_machine::connection::Phase;
pub use fyke_machine::connection::ReadyState;
use fyke_machine::policy::{self, Policy};
pub use layer::{Layer, LayerOutput, LayerStep};
use listener::Hears;
pub(crate) use origin::{Accepts, Origin};
pub use pipeline::pipeline;
pub(crate) use pulling::{End, SocketLink};
pub use remote::SocketRef;
pub(crate) use shutting_down::after_next_poll;
pub(crate) use spares::Lent;
pub(crate) use target::Target;

use crate::listeners::Listeners;
use crate::socket_options::SocketOptions;
use crate::wiring::{Core, current_or_none};

/// A TCP or Unix-socket connection: Node's `net.Socket`.
///
/// [`connect`](crate::connect) makes one, a server makes one for each client, and [`Socket::new`] makes one
/// to be connected later. Clones are cheap handles to the same socket. The loop keeps an open socket alive,
/// so dropping every handle does not close the connection. A socket is not `Send`, because it belongs to
/// its loop's thread.
///
/// Every method may be called in every callback. On a closed socket, methods do nothing, and getters return
/// the state of a closed socket.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| { socket.pipe(socket); });
///     server.listen_then(("127.0.0.1", 0), |server| {
///         let server = server.clone();
///         let client = fyke::connect_then(server.endpoint().unwrap(), |client| {
///             client.end_with("hello");
///         });
///         client.unwrap().on_data(move |_, data| {
///             assert_eq!(data, b"hello");
///             server.close();
///         });
///     })
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Socket {
    inner: Rc<Inner>,
}

type State = state::State<Socket>;

/// Called once when a write or an `end` is done.
type Callback = state::Callback<Socket>;

/// The closure of a listener of a socket.
pub(crate) type Listener = listener::Listener<Socket, Weak<Inner>>;

pub(crate) struct Inner {
    core: OnceCell<Rc<Core>>,
    state: RefCell<State>,
    listeners: Listeners<Hears, Listener>,
}

impl Default for Socket {
    fn default() -> Self {
        Self::new()
    }
}

/// # Making
impl Socket {
    /// Makes a socket that is not connected. Its listeners are kept after `close`, so that it can connect
    /// again. Node: `new net.Socket()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let socket = fyke::Socket::new();
    ///     socket.on_close(|socket, _| println!("closed; bytes received: {}", socket.bytes_read()));
    ///     socket.on_error(|_, error| assert_eq!(error.code(), fyke::ErrorCode::ECONNREFUSED));
    ///     socket.connect(("127.0.0.1", 1)) // no server listens on port 1
    /// })
    /// # }
    /// ```
    pub fn new() -> Self {
        Self::with_options(&SocketOptions::new())
    }

    pub(crate) fn with_options(options: &SocketOptions) -> Self {
        let mut state = State::new(options);
        state.keeps_listeners = true;
        let socket = Self::from_state(state);
        if let Some(core) = current_or_none() {
            socket.join(core);
        }
        socket.watch_signal(options);
        socket
    }

    fn watch_signal(&self, options: &SocketOptions) {
        let Some(signal) = &options.signal else { return };
        match signal.reason() {
            // The signal was aborted before, so the socket never connects (PROC-08).
            Some(reason) => _ = self.destroy_with(reason),
            None => signal.watch(self.downgrade(), 0),
        }
    }

    fn from_state(state: State) -> Self {
        let inner = Inner {
            core: OnceCell::new(),
            state: RefCell::new(state),
            listeners: Listeners::default(),
        };
        Self { inner: Rc::new(inner) }
    }

    pub(crate) fn from_inner(inner: Rc<Inner>) -> Self {
        Self { inner }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Rc::downgrade(&self.inner)
    }

    /// Assigns the socket to this loop.
    fn join(&self, core: Rc<Core>) {
        core.remember(self.downgrade());
        self.inner.state.borrow_mut().machine.allow(core.lanes);
        // `core` is still empty here, so `set` cannot fail.
        let _ = self.inner.core.set(core);
    }

    /// Makes the socket of a connection that a server accepted: open, but not yet reading.
    pub(crate) fn accepted(
        core: &Rc<Core>,
        id: SocketId,
        (peer, unix): (Option<SocketAddr>, bool),
        origin: Rc<Origin>,
    ) -> Self {
        let mut state = State::accepted(origin);
        state.id = Some(id);
        {
            let mut connection = state.change();
            connection.phase = Phase::Open;
            connection.accepted = true;
            connection.served = true;
            connection.unix = unix;
        }
        state.machine.allow(core.lanes);
        if peer.is_none() && !unix {
            state.set_unasked_peer();
        } else {
            state.set_peer(peer);
        }
        let socket = Self::from_state(state);
        let _ = socket.inner.core.set(Rc::clone(core));
        core.own(id, socket.actor());
        socket
    }

    /// Runs the server's listeners, then starts reading unless the socket was accepted paused. `inherits`:
    /// the socket has inherited the options of its listener.
    // RD-09
    pub(crate) fn begin(&self, inherits: bool, paused: bool, listeners: impl FnOnce()) {
        self.apply_wishes(inherits);
        if paused {
            self.inner.state.borrow_mut().change().read.pause();
        }
        self.guarded(listeners);
        if !paused {
            self.start_receiving();
        }
        self.sync();
    }

    /// Makes an accepted socket ready for a task, which decides how it is read.
    pub(crate) fn begin_unread(&self, inherits: bool) {
        self.apply_wishes(inherits);
        self.sync();
    }

    pub(crate) fn drop_listeners_on_close(&self) {
        self.inner.state.borrow_mut().keeps_listeners = false;
    }

    /// The policy of the socket's loop.
    pub(crate) fn policy(&self) -> &Policy {
        self.inner.core.get().map_or(&policy::DEFAULT, |core| &core.policy)
    }

    fn core(&self) -> Option<&Rc<Core>> {
        self.inner.core.get().filter(|core| !core.is_closed())
    }

    /// Runs user callbacks. If one panics, the socket's events are incomplete, so the socket is destroyed;
    /// the rest of the loop continues.
    #[inline(always)]
    fn guarded<T>(&self, run: impl FnOnce() -> T) -> T {
        struct DestroyOnPanic<'a>(&'a Socket);
        impl Drop for DestroyOnPanic<'_> {
            fn drop(&mut self) {
                self.0.stop_receiving_by_panic();
                self.0.destroy();
            }
        }
        let guard = DestroyOnPanic(self);
        let result = run();
        std::mem::forget(guard);
        result
    }
}

/// Two handles are equal if they refer to the same socket.
impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Socket {}

/// Hashes the socket's identity, so that sockets can be the keys of a map.
impl std::hash::Hash for Socket {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.inner).hash(state);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("state", &self.ready_state())
            .field("remote", &self.remote_address())
            .field("write_queue_len", &self.write_queue_len())
            .finish_non_exhaustive()
    }
}
