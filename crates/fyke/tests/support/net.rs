//! The drivers to test on, and how tests wait. Shared by the tests of `fyke` and `fyke-tls`.

#![allow(dead_code, reason = "each test file uses its part")]

#[path = "differences.rs"]
mod differences;

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use differences::Difference;
use fyke::sim::SimOptions;
use fyke::{DriverKind, Endpoint, EventLoop, Result, Server, Socket};

/// Generous: only a test that hangs exceeds it, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Makes each function a test on every driver: `fn name(net) { … }`. A crate chooses its simulated networks.
#[macro_export]
macro_rules! on_every_driver {
    ($($(#[$attribute:meta])* fn $name:ident($net:ident) $body:block)*) => {
        $($(#[$attribute])* fn $name($net: &$crate::support::Net) $body)*
        mod ready {
            $(#[test] fn $name() {
                let net = $crate::support::Net::of_test(module_path!(), stringify!($name));
                net.iter().for_each(super::$name);
            })*
        }
        mod uring {
            $(#[test] fn $name() { $crate::support::Net::uring().iter().for_each(super::$name); })*
        }
        mod sim {
            $(#[test] fn $name() { $crate::support::sims().iter().for_each(super::$name); })*
        }
    };
}

/// The same for features of real systems only: each test runs on every driver of the system, one after
/// the other.
#[macro_export]
macro_rules! on_every_system {
    ($($(#[$attribute:meta])* fn $name:ident($net:ident) $body:block)*) => {
        $($(#[$attribute])* #[test] fn $name() {
            for net in $crate::support::Net::of_the_system_for(module_path!(), stringify!($name)) {
                let $net = &net;
                $body
            }
        })*
    };
}

/// A driver to test on, and a place for Unix sockets.
pub(crate) struct Net {
    kind: DriverKind,
    folder: PathBuf,
    /// Where Unix sockets are: in the folder, or, as named pipes, where Windows has those.
    paths: PathBuf,
    names: Cell<u32>,
    node_exact: Cell<bool>,
    only_tcp: Cell<bool>,
}

impl Net {
    pub(crate) fn ready() -> Self {
        Self::new(DriverKind::Ready)
    }

    /// [`ready`](Self::ready) for a test that differs on some systems, or `None` if it does not apply on this one.
    pub(crate) fn of_test(module: &str, name: &str) -> Option<Self> {
        let difference = differences::of(module, name);
        let net = (!matches!(difference, Some(Difference::NotHere(_)))).then(Self::ready);
        net.inspect(|net| net.only_tcp.set(difference.is_some()))
    }

    /// `None` where the system does not allow io_uring, which is printed once.
    pub(crate) fn uring() -> Option<Self> {
        static SAID: std::sync::Once = std::sync::Once::new();
        let net = Self::new(DriverKind::Uring);
        if net.event_loop().driver_name() == "uring" {
            return Some(net);
        }
        SAID.call_once(|| eprintln!("io_uring cannot be used here: its tests do nothing"));
        None
    }

    /// The drivers of the real system, with descriptors and files.
    pub(crate) fn of_the_system() -> impl Iterator<Item = Self> {
        std::iter::once_with(Self::ready).chain(std::iter::once_with(Self::uring).flatten())
    }

    /// The same for a test that differs on some systems.
    pub(crate) fn of_the_system_for(module: &str, name: &str) -> impl Iterator<Item = Self> {
        let ready = Self::of_test(module, name);
        ready.into_iter().chain(std::iter::once_with(Self::uring).flatten())
    }

    pub(crate) fn sim() -> Self {
        Self::new(DriverKind::Sim(SimOptions::default()))
    }

    pub(crate) fn new(kind: DriverKind) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = format!("fyke-test-{}-{number}", std::process::id());
        let pipes = Path::new(r"\\.\pipe").join(&folder);
        let folder = std::env::temp_dir().join(folder);
        // Left behind by a killed process with the same process id.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let named_pipes = cfg!(windows) && !matches!(kind, DriverKind::Sim(_));
        let paths = if named_pipes { pipes } else { folder.clone() };
        let (node_exact, only_tcp) = (Cell::new(false), Cell::new(false));
        Self { kind, folder, paths, names: Cell::new(0), node_exact, only_tcp }
    }

    /// Whether options and errors are those of Linux, which the simulated network follows.
    pub(crate) fn is_linux(&self) -> bool {
        self.is_sim() || cfg!(target_os = "linux")
    }

    pub(crate) fn is_sim(&self) -> bool {
        matches!(self.kind, DriverKind::Sim(_))
    }

    pub(crate) fn event_loop(&self) -> EventLoop {
        self.event_loop_that_is(self.node_exact.get())
    }

    /// Sets whether loops copy Node's accidents too.
    pub(crate) fn event_loop_that_is(&self, node_exact: bool) -> EventLoop {
        EventLoop::builder().driver(self.kind.clone()).node_exact(node_exact).build().unwrap()
    }

    /// Makes loops of this net copy Node's accidents too.
    pub(crate) fn node_exact(&self) -> &Self {
        self.node_exact.set(true);
        self
    }

    pub(crate) fn is_node_exact(&self) -> bool {
        self.node_exact.get()
    }

    /// A free TCP endpoint.
    pub(crate) fn tcp(&self) -> Endpoint {
        ("127.0.0.1", 0).into()
    }

    /// The path of a Unix socket or named pipe that does not exist yet.
    pub(crate) fn path(&self) -> PathBuf {
        self.names.set(self.names.get() + 1);
        self.paths.join(format!("{}.sock", self.names.get()))
    }

    /// A TCP and a Unix endpoint, for tests of common behaviour. Without the second one if the test differs on named
    /// pipes.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let tcp = std::iter::once(self.tcp());
        tcp.chain((!self.only_tcp.get()).then(|| self.path().into())).collect()
    }

    /// Runs a loop until nothing holds it.
    pub(crate) fn try_run(&self, setup: impl FnOnce() -> Result<()>) -> Result<()> {
        let event_loop = self.event_loop();
        event_loop.enter(setup)?;
        let result = drive(&event_loop, || false);
        drop(event_loop);
        result
    }

    /// The same, and no error may occur.
    pub(crate) fn run(&self, setup: impl FnOnce()) {
        self.try_run(|| {
            setup();
            Ok(())
        })
        .unwrap();
    }

    /// Listens with `server`, and then calls `then` with the endpoint to connect to.
    pub(crate) fn listen(
        &self,
        server: &Server,
        endpoint: Endpoint,
        then: impl FnOnce(Endpoint) + 'static,
    ) {
        server.listen_then(endpoint, |server| then(server.endpoint().unwrap())).unwrap();
    }

    /// A server for one connection, and a client connected to it: the server stops listening when
    /// it has accepted.
    pub(crate) fn pair(
        &self,
        endpoint: Endpoint,
        on_server: impl FnOnce(&Socket) + 'static,
        on_client: impl FnOnce(&Socket) + 'static,
    ) {
        let mut on_server = Some(on_server);
        let server = Server::new();
        server.on_connection(move |server, socket| {
            server.close();
            on_server.take().expect("one connection")(socket);
        });
        self.listen(&server, endpoint, move |endpoint| {
            let client = Socket::new();
            on_client(&client);
            client.connect(endpoint).unwrap();
        });
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Turns a loop until it ends or `done` says so. Panics at the deadline.
pub(crate) fn drive(event_loop: &EventLoop, done: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    while !done() && event_loop.turn(Some(Duration::from_secs(1)))? {
        assert!(Instant::now() < end, "the loop does not end");
    }
    Ok(())
}

/// The events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Records all events of a socket except `data`, each with a prefix.
    pub(crate) fn watch(&self, prefix: &'static str, socket: &Socket) {
        let add = |event: &'static str| {
            let log = self.clone();
            move |_: &Socket| log.add(format!("{prefix}{event}"))
        };
        socket.on_connect(add("connect"));
        socket.on_ready(add("ready"));
        socket.on_end(add("end"));
        socket.on_drain(add("drain"));
        socket.on_finish(add("finish"));
        socket.on_idle_timeout(add("timeout"));
        let log = self.clone();
        socket.on_error(move |_, error| log.add(format!("{prefix}error {}", error.code())));
        let log = self.clone();
        socket.on_close(move |_, had_error| log.add(format!("{prefix}close {had_error}")));
    }
}

/// Bytes whose values depend on their position.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 + index / 256 * 13) as u8).collect()
}

/// Runs `then` as soon as `condition` holds, for states that have no event. Call it inside the loop.
pub(crate) fn when(condition: impl Fn() -> bool + 'static, then: impl FnOnce() + 'static) {
    fyke::timer::set_immediate(move || match condition() {
        true => then(),
        false => when(condition, then),
    })
    .unwrap();
}

/// Runs `then` after enough rounds of the loop for every pending event to happen, to check that
/// something does not happen. Too few rounds may let a broken test pass, but never fail a correct one.
pub(crate) fn settled(then: impl FnOnce() + 'static) {
    let rounds = Cell::new(0);
    when(move || rounds.replace(rounds.get() + 1) == 200, then);
}
