//! Named pipes, which Node uses on Windows in place of Unix sockets, with libuv's rules.
//!
//! - A server has several *instances* that wait for clients. When one is connected, the next one is created.
//!   If all are taken, a client tries again until one is free.
//! - A pipe has no sides that could be closed one by one. [`Pipe::end`] waits until the peer has read everything,
//!   and then for the peer to close the pipe. If no bytes arrive for [`END_WAIT`], it closes the pipe itself.
//!
//! mio copies what is written, and reads ahead: at most one write and one read are in progress.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::os::windows::io::{AsRawHandle, FromRawHandle, RawHandle};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::windows::NamedPipe;
use mio::{Interest, Registry, Token};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BROKEN_PIPE, ERROR_INVALID_NAME, ERROR_NO_DATA,
    ERROR_PATH_NOT_FOUND, ERROR_PIPE_BUSY, ERROR_PIPE_NOT_CONNECTED, ERROR_SEM_TIMEOUT,
    GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_READ_ATTRIBUTES,
    FILE_WRITE_ATTRIBUTES, OPEN_EXISTING, PIPE_ACCESS_DUPLEX, SECURITY_IDENTIFICATION,
    SECURITY_SQOS_PRESENT, WRITE_DAC,
};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE,
    PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, WaitNamedPipeW,
};

use super::Errno;
use super::pipe_access::let_everybody;
use super::pipe_flush::Flush;
use super::pipe_name::PipeName;
use crate::Address;
use crate::system::Check;

/// Instances of a server that wait for a client, as in libuv.
const INSTANCES: usize = 4;

/// The buffer of a pipe in each direction, and the maximum of one write.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long a client waits for an instance if nothing limits its connect, as in libuv.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// The time between two attempts to connect.
const CONNECT_AGAIN: Duration = Duration::from_millis(5);

/// The time after which a pipe that has ended and receives nothing is closed, as in libuv.
const END_WAIT: Duration = Duration::from_millis(50);

/// The time between two checks whether the peer has read everything.
const FLUSH_AGAIN: Duration = Duration::from_millis(2);

/// A server, a connection, or what may become one.
#[derive(Debug)]
pub(crate) struct Pipe(RefCell<State>);

#[derive(Debug)]
enum State {
    New,
    Listener(Listener),
    /// All instances were busy when the client tried to connect.
    Waiting {
        path: PathBuf,
        name: PipeName,
        until: Instant,
    },
    /// The connect has failed.
    Failed(Errno),
    Connected(Connection),
    /// We have closed the pipe: reading returns the end of the stream.
    Closed,
}

#[derive(Debug)]
struct Listener {
    path: PathBuf,
    name: PipeName,
    /// They wait for a client, or have one that is not accepted yet.
    instances: Vec<NamedPipe>,
    listens: bool,
    /// Where their events are reported.
    reported: Option<(Registry, Token)>,
}

#[derive(Debug)]
struct Connection {
    /// Dropped before the pipe, whose handle it uses.
    ending: Ending,
    pipe: NamedPipe,
    /// The path that the client has connected to.
    server: Option<PathBuf>,
    /// mio's reports that it can write which have not arrived: one follows the registration, and one each write.
    /// With none, no write is in progress.
    reports: usize,
}

#[derive(Debug)]
enum Ending {
    Open,
    /// Our side has ended; a write is in progress.
    Writing,
    /// The peer has not read everything.
    Flushing(Flush),
    /// The peer has read everything. Nothing has been received since then.
    Quiet(Instant),
}

impl Pipe {
    pub(super) fn new() -> Self {
        Self(RefCell::new(State::New))
    }

    fn connected(pipe: NamedPipe, server: Option<PathBuf>) -> State {
        State::Connected(Connection { pipe, server, reports: 0, ending: Ending::Open })
    }

    /// A server with one instance. Fails with EADDRINUSE if the pipe exists.
    pub(super) fn bound(address: &Address) -> Result<Self, Errno> {
        let Address::Path(path) = address else { return Err(Errno::INVAL) };
        let name = PipeName::to_bind(path)?;
        let first = create(&name, true)?;
        let (path, instances) = (path.clone(), vec![first]);
        let listener = Listener { path, name, instances, listens: false, reported: None };
        Ok(Self(RefCell::new(State::Listener(listener))))
    }

    pub(super) fn listen(&self) -> Result<(), Errno> {
        match &mut *self.0.borrow_mut() {
            State::Listener(listener) => {
                listener.listens = true;
                Ok(())
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// See [`register`](super::register).
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<bool> {
        match self.0.get_mut() {
            State::Listener(listener) if listener.listens => {
                listener.reported = Some((registry.try_clone()?, token));
                for instance in &mut listener.instances {
                    await_client(instance, registry, token)?;
                }
                listener.fill_up()?;
                Ok(true)
            }
            State::Connected(connection) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                // An accepted pipe is already registered, with its listener's token.
                match registry.register(&mut connection.pipe, token, both) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        registry.reregister(&mut connection.pipe, token, both)?;
                    }
                    registered => registered?,
                }
                connection.reports += 1;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    pub(super) fn note_writable(&self) {
        if let State::Connected(connection) = &mut *self.0.borrow_mut() {
            connection.reports = connection.reports.saturating_sub(1);
        }
    }

    pub(super) fn accept(&self) -> Result<Self, Errno> {
        let mut state = self.0.borrow_mut();
        let State::Listener(listener) = &mut *state else { return Err(Errno::INVAL) };
        // Instances are missing if there was no memory for them before.
        listener.fill_up()?;
        for index in 0..listener.instances.len() {
            match listener.instances[index].connect() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                connected => {
                    let pipe = listener.instances.swap_remove(index);
                    // If there is no memory, the next accept reports it.
                    let _ = listener.fill_up();
                    connected?;
                    return Ok(Self(RefCell::new(Self::connected(pipe, None))));
                }
            }
        }
        Err(Errno::AGAIN)
    }

    /// Connects, or begins to wait for an instance.
    pub(super) fn connect(&self, path: &Path) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        let State::New = &*state else { return Err(Errno::INVAL) };
        let name = PipeName::to_connect(path)?;
        *state = match open_client(&name) {
            Ok(pipe) => Self::connected(pipe, Some(path.to_owned())),
            Err(errno) if errno == ERROR_PIPE_BUSY.into() => {
                State::Waiting { path: path.to_owned(), name, until: Instant::now() + CONNECT_WAIT }
            }
            Err(errno) => return Err(errno),
        };
        Ok(())
    }

    pub(super) fn connect_result(&self) -> Result<(), Errno> {
        match &*self.0.borrow() {
            State::Failed(errno) => Err(*errno),
            _ => Ok(()),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(&*self.0.borrow(), State::Connected(_))
    }

    pub(super) fn is_writable(&self) -> bool {
        match &*self.0.borrow() {
            State::Connected(connection) => connection.reports == 0,
            _ => true,
        }
    }

    pub(super) fn local_path(&self) -> Option<PathBuf> {
        match &*self.0.borrow() {
            State::Listener(listener) => Some(listener.path.clone()),
            _ => None,
        }
    }

    pub(super) fn peer_path(&self) -> Result<Option<PathBuf>, Errno> {
        match &*self.0.borrow() {
            State::Connected(connection) => Ok(connection.server.clone()),
            _ => Err(Errno::NOTCONN),
        }
    }

    pub(super) fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        match &*self.0.borrow() {
            State::Listener(Listener { instances, .. }) => {
                let first = instances.first().ok_or(Errno::INVAL)?;
                let_everybody(first.as_raw_handle(), mode & 0o004 != 0, mode & 0o002 != 0)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut state = self.0.borrow_mut();
        let connection = match &mut *state {
            State::Connected(connection) => connection,
            State::Closed => return Ok(0),
            _ => return Err(Errno::NOTCONN),
        };
        let read = (&connection.pipe).read(buffer).map_err(Errno::from);
        if let (Ok(_), Ending::Quiet(since)) = (&read, &mut connection.ending) {
            *since = Instant::now();
        }
        // The peer has closed the pipe.
        read.or_else(|errno| if is_broken(errno) { Ok(0) } else { Err(errno) })
    }

    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let mut state = self.0.borrow_mut();
        let connection = match &mut *state {
            State::Connected(connection) if matches!(connection.ending, Ending::Open) => connection,
            State::Connected(_) | State::Closed => return Err(Errno::PIPE),
            _ => return Err(Errno::NOTCONN),
        };
        let mut room = BUFFER_BYTES;
        let mut capped = Vec::with_capacity(slices.len());
        for slice in slices {
            let len = slice.len().min(room);
            room -= len;
            if len > 0 {
                capped.push(IoSlice::new(&slice[..len]));
            }
        }
        if capped.is_empty() {
            // A write without bytes would end a read of the peer.
            return Ok(0);
        }
        match (&connection.pipe).write_vectored(&capped).map_err(Errno::from) {
            Ok(count) => {
                connection.reports += 1;
                Ok(count)
            }
            Err(errno) if is_broken(errno) => Err(Errno::PIPE),
            Err(errno) => Err(errno),
        }
    }

    /// Ends our side: see the module's documentation.
    pub(super) fn end(&self) -> Result<(), Errno> {
        match &mut *self.0.borrow_mut() {
            State::Connected(connection) => {
                connection.ending = Ending::Writing;
                Err(Errno::INPROGRESS)
            }
            State::Closed => Ok(()),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// See [`check`](super::check).
    pub(super) fn check(&self) -> Check {
        let mut state = self.0.borrow_mut();
        let mut check = Check::default();
        match &mut *state {
            State::Waiting { path, name, until } => match open_client(name) {
                Ok(pipe) => {
                    *state = Self::connected(pipe, Some(std::mem::take(path)));
                    check.changed = true;
                }
                Err(errno) if errno == ERROR_PIPE_BUSY.into() && Instant::now() < *until => {
                    check.again = Some(CONNECT_AGAIN);
                }
                Err(errno) => {
                    let busy = errno == ERROR_PIPE_BUSY.into();
                    *state = State::Failed(if busy { ERROR_SEM_TIMEOUT.into() } else { errno });
                    check.changed = true;
                }
            },
            State::Connected(connection) => match &connection.ending {
                Ending::Open => {}
                Ending::Writing if connection.reports == 0 => {
                    connection.ending = match Flush::start(&connection.pipe) {
                        Ok(flush) => Ending::Flushing(flush),
                        // Without memory, the peer has less time to answer.
                        Err(_) => Ending::Flushing(Flush::done()),
                    };
                    check.again = Some(Duration::ZERO);
                }
                Ending::Flushing(flush) if flush.is_done() => {
                    connection.ending = Ending::Quiet(Instant::now());
                    (check.shut_down, check.again) = (true, Some(END_WAIT));
                }
                Ending::Writing | Ending::Flushing(_) => check.again = Some(FLUSH_AGAIN),
                Ending::Quiet(_) if connection.has_received() => check.again = Some(END_WAIT),
                Ending::Quiet(since) if since.elapsed() >= END_WAIT => {
                    *state = State::Closed;
                    check.changed = true;
                }
                Ending::Quiet(since) => {
                    check.again = Some(END_WAIT.saturating_sub(since.elapsed()))
                }
            },
            _ => {}
        }
        check
    }
}

impl Listener {
    /// Creates the instances that are missing.
    fn fill_up(&mut self) -> Result<(), Errno> {
        let Some((registry, token)) = &self.reported else { return Ok(()) };
        while self.instances.len() < INSTANCES {
            match create(&self.name, false).and_then(|mut instance| {
                await_client(&mut instance, registry, *token)?;
                Ok(instance)
            }) {
                Ok(instance) => self.instances.push(instance),
                Err(errno) if self.instances.is_empty() => return Err(errno),
                // The others go on.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Whether mio has bytes, or the end of the stream, that were not read yet. A read of no bytes leaves them.
    fn has_received(&self) -> bool {
        !matches!((&self.pipe).read(&mut []), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Registers an instance and lets it wait for a client.
fn await_client(instance: &mut NamedPipe, registry: &Registry, token: Token) -> Result<(), Errno> {
    registry.register(instance, token, Interest::READABLE | Interest::WRITABLE)?;
    match instance.connect() {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.into()),
        // If a client is already there, mio reports that too.
        _ => Ok(()),
    }
}

/// Creates an instance. Clients on other machines are refused. A name that cannot be used is refused with
/// EACCES, and a pipe that exists already with EADDRINUSE, as in libuv.
#[allow(unsafe_code, reason = "neither mio nor the standard library creates an instance like this")]
fn create(name: &PipeName, first: bool) -> Result<NamedPipe, Errno> {
    let exclusive = if first { FILE_FLAG_FIRST_PIPE_INSTANCE } else { 0 };
    if first && exists(name) {
        return Err(Errno::ADDRINUSE);
    }
    // SAFETY: the name ends with a zero and lives through the call; without security attributes, the pipe gets
    // the default ones.
    let handle = unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | WRITE_DAC | exclusive,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            PIPE_UNLIMITED_INSTANCES,
            BUFFER_BYTES as u32,
            BUFFER_BYTES as u32,
            0,
            std::ptr::null(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        let errno = Errno::last();
        return Err(match errno.code() {
            ERROR_ACCESS_DENIED | ERROR_PIPE_BUSY if first => Errno::ADDRINUSE,
            ERROR_PATH_NOT_FOUND | ERROR_INVALID_NAME => Errno::ACCESS,
            _ => errno,
        });
    }
    Ok(own(handle))
}

/// Whether a pipe has a server. Wine 8 lets a second server create its first instance nevertheless.
#[allow(unsafe_code, reason = "neither mio nor the standard library has this call")]
fn exists(name: &PipeName) -> bool {
    // SAFETY: the name ends with a zero and lives through the call, which waits for at most a millisecond.
    let free = unsafe { WaitNamedPipeW(name.as_ptr(), 1) } != 0;
    free || Errno::last() == ERROR_SEM_TIMEOUT.into()
}

/// Opens a pipe that exists. If it cannot be read and written, as much as it allows, as in libuv.
fn open_client(name: &PipeName) -> Result<NamedPipe, Errno> {
    let accesses = [
        GENERIC_READ | GENERIC_WRITE,
        GENERIC_READ | FILE_WRITE_ATTRIBUTES,
        GENERIC_WRITE | FILE_READ_ATTRIBUTES,
    ];
    let mut opened = Err(ERROR_ACCESS_DENIED.into());
    for access in accesses {
        opened = open_with(name, access);
        if !matches!(opened, Err(errno) if errno == ERROR_ACCESS_DENIED.into()) {
            break;
        }
    }
    opened
}

/// The server may learn who the client is, but not act as the client.
#[allow(unsafe_code, reason = "the standard library opens no file that mio could use without it")]
fn open_with(name: &PipeName, access: u32) -> Result<NamedPipe, Errno> {
    // SAFETY: the name ends with a zero and lives through the call.
    let handle = unsafe {
        CreateFileW(
            name.as_ptr(),
            access,
            0,
            std::ptr::null(),
            OPEN_EXISTING,
            FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
            std::ptr::null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE { Err(Errno::last()) } else { Ok(own(handle)) }
}

#[allow(unsafe_code, reason = "a handle becomes mio's")]
fn own(handle: RawHandle) -> NamedPipe {
    // SAFETY: the handle was just created, for overlapped calls, and belongs to nothing else.
    unsafe { NamedPipe::from_raw_handle(handle) }
}

fn is_broken(errno: Errno) -> bool {
    matches!(errno.code(), ERROR_BROKEN_PIPE | ERROR_PIPE_NOT_CONNECTED | ERROR_NO_DATA)
}
