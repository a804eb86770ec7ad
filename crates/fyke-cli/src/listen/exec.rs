//! `--exec`: a program for every client, whose standard input and output are the connection.

use std::cell::RefCell;
use std::env;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{EventLoop, Socket};
use rustix::fs::{Access, access};
use signal_hook::consts::SIGCHLD;

use super::running::{Running, look_at_all, reap_descendants};
use crate::arguments::Listen;
use crate::delivery::end_when_delivered;
use crate::failure::Failure;
use crate::log;
use crate::signals::on_signal;

/// How long a killed program may take to exit.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// The program to run for each client, and the running programs.
pub(super) struct Programs {
    words: Vec<String>,
    kill_after: Duration,
    /// The maximum number of programs per endpoint and per IP address.
    max: Option<u64>,
    max_per_ip: Option<u64>,
    running: Rc<RefCell<Vec<Rc<Running>>>>,
}

/// The origin of a client: the number of the endpoint, and the client's address.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) server: usize,
    pub(super) ip: Option<IpAddr>,
}

impl Programs {
    /// Splits the command into words as a shell would, and checks that the program can be run. No
    /// shell runs it, so no data from a peer is interpreted by a shell.
    pub(super) fn parse(text: &str, options: &Listen) -> Result<Self, Failure> {
        let words =
            shlex::split(text).filter(|words| words.first().is_some_and(|word| !word.is_empty()));
        let words = words
            .ok_or_else(|| Failure::Usage(format!("--exec {text:?} is not a valid command")))?;
        check_program(&words[0])?;
        Ok(Self {
            words,
            kill_after: options.kill_after,
            max: options.limits.max_connections,
            max_per_ip: options.limits.max_per_ip,
            running: Rc::default(),
        })
    }

    /// Returns whether another program may be started for this client. The server's own limit
    /// counts connections, but a program may outlive its connection.
    pub(super) fn has_room(&self, origin: Origin) -> bool {
        let running = self.running.borrow();
        let count = |same: &dyn Fn(&Origin) -> bool| {
            let count = running.iter().filter(|one| same(&one.origin)).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        let here = self.max.is_none_or(|max| count(&|one| one.server == origin.server) < max);
        let group = origin.ip.map(group_of);
        here && self.max_per_ip.filter(|_| group.is_some()).is_none_or(|max| {
            count(&|one| one.server == origin.server && one.ip.map(group_of) == group) < max
        })
    }

    /// Starts a program for this client, with a socket pair for each of its streams. So half-close
    /// and backpressure work unchanged, and if the program does not read all of its input, its
    /// output is not lost.
    pub(super) fn serve(
        &self,
        client: u64,
        origin: Origin,
        socket: &Socket,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::System("cannot create a socket pair", error);
        let (input, its_input) = UnixStream::pair().map_err(failed)?;
        let (output, its_output) = UnixStream::pair().map_err(failed)?;
        // From here on the loop keeps each socket alive, so they must be closed if a later step
        // fails.
        let input = Socket::from_fd(input.into())?;
        let output = Socket::from_fd(output.into()).inspect_err(|_| _ = input.destroy())?;
        let child = self.start(client, socket, [its_input.into(), its_output.into()]);
        let running = child.and_then(|child| {
            Running::new(client, origin, socket, child, self.kill_after, &self.running)
        });
        let running = running.inspect_err(|_| {
            input.destroy();
            output.destroy();
        })?;
        log::debug(format_args!("client {client}: process {} was started", running.id()));
        self.running.borrow_mut().push(Rc::clone(&running));
        join(&running, &input, &output);
        Ok(())
    }

    /// Starts the program in a new process group, so that its children can be signalled too.
    fn start(
        &self,
        client: u64,
        socket: &Socket,
        [input, output]: [OwnedFd; 2],
    ) -> Result<Child, Failure> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(input).stdout(output).process_group(0);
        command.env("FYKE_CLIENT", client.to_string());
        let address = |address: Option<std::net::SocketAddr>| {
            address.map_or_else(String::new, |address| address.to_string())
        };
        command.env("FYKE_REMOTE_ADDRESS", address(socket.remote_address()));
        command.env("FYKE_LOCAL_ADDRESS", address(socket.local_address()));
        // These variables describe descriptors that the program does not have.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        // Dropping the command closes this process's copies of the program's ends of the pairs, so
        // that these ends close with the program.
        command.spawn().map_err(|error| Failure::System("cannot start the program", error))
    }

    /// Reaps programs that end. Call this once, before any program is started.
    pub(super) fn watch(&self) -> Result<(), Failure> {
        reap_descendants();
        let running = Rc::clone(&self.running);
        on_signal(SIGCHLD, move || look_at_all(&running))
    }

    /// Tells all running programs to end, and turns the loop until they have ended.
    pub(super) fn end_all(&self, event_loop: &EventLoop) -> Result<(), Failure> {
        event_loop.enter(|| {
            let all: Vec<_> = self.running.borrow().clone();
            all.iter().for_each(Running::end_now);
        });
        let deadline = Instant::now() + self.kill_after + KILL_PATIENCE;
        while !self.running.borrow().is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            event_loop.turn(Some(left))?;
        }
        Ok(())
    }
}

/// Checks that a program exists and may be executed. A name without a slash is searched in the folders
/// of `PATH`, as `execvp` does.
fn check_program(name: &str) -> Result<(), Failure> {
    if name.contains('/') {
        return check_file(Path::new(name));
    }
    let folders = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let files = env::split_paths(&folders).map(|folder| folder.join(name));
    let files: Vec<_> = files.filter(|file| file.exists()).collect();
    let Some(first) = files.first() else {
        return Err(Failure::Usage(format!("--exec {name}: no program in PATH has this name")));
    };
    check_file(files.iter().find(|file| check_file(file).is_ok()).unwrap_or(first))
}

fn check_file(path: &Path) -> Result<(), Failure> {
    let problem = match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "the program does not exist".into()
        }
        Err(error) => error.to_string(),
        Ok(file) if file.is_dir() => "the path is a folder, not a program".into(),
        Ok(_) if access(path, Access::EXEC_OK).is_err() => "the file is not executable".into(),
        Ok(_) => return Ok(()),
    };
    Err(Failure::Usage(format!("--exec {}: {problem}", path.display())))
}

/// Returns the key by which `--max-per-ip` counts this address: an IPv4 address, or the /64 network
/// of an IPv6 address, as in the library.
fn group_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        ip => ip,
    }
}

/// Connects the client to the program's two streams.
fn join(running: &Rc<Running>, input: &Socket, output: &Socket) {
    let client = running.socket();
    client.pipe(input);
    output.pipe_without_end(client);
    // A program may stop reading before the end of its input, and its client must still get all of
    // its output.
    let same = Rc::clone(running);
    output.on_end(move |_| {
        same.output_ended();
        end_when_delivered(same.socket());
    });
    let same = Rc::clone(running);
    output.on_error(move |_, error| {
        log::debug(format_args!("reading from the program: {error}"));
        same.output_ended();
        end_when_delivered(same.socket());
    });
    let from = client.clone();
    input.on_error(move |_, error| {
        // The program does not read any more, which is normal.
        log::debug(format_args!("writing to the program: {error}"));
        from.on_data(|_, _| {});
        from.resume();
    });
    let (input, output, same) = (input.clone(), output.clone(), Rc::clone(running));
    client.on_close(move |_, _| {
        input.destroy();
        output.destroy();
        same.disconnected();
    });
}
