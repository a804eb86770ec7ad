//! `--exec`: a program for every client, with its standard streams on the connection.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::rc::Rc;

use fyke::Socket;
use signal_hook::consts::SIGCHLD;

use crate::ending::end_in_peace;
use crate::failure::Failure;
use crate::log;
use crate::signals::on_signal;

/// What to run, and what runs.
pub(super) struct Program {
    words: Vec<String>,
    running: Rc<RefCell<Option<Vec<Running>>>>,
}

struct Running {
    client: u64,
    child: Child,
}

impl Program {
    /// Split into words as a shell would; but no shell runs it, so nothing that a peer sends can
    /// mean anything to one.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let words = shlex::split(text).filter(|words| !words.is_empty());
        let words =
            words.ok_or_else(|| Failure::Usage(format!("--exec {text:?}: not a command")))?;
        Ok(Self { words, running: Rc::default() })
    }

    /// Starts one for this client, with a socket pair for each of its streams: so half-close and
    /// backpressure go through as they are, and a program that does not read to the end breaks off
    /// only what it does not want, not what it has said.
    pub(super) fn serve(&self, client: u64, socket: &Socket) -> Result<(), Failure> {
        self.watch_children()?;
        let failed = |error| Failure::System("a socket pair", error);
        let (input, its_input) = UnixStream::pair().map_err(failed)?;
        let (output, its_output) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command.stdin(OwnedFd::from(its_input)).stdout(OwnedFd::from(its_output));
        command.env("FYKE_CLIENT", client.to_string());
        let address = |address: Option<std::net::SocketAddr>| {
            address.map_or_else(String::new, |address| address.to_string())
        };
        command.env("FYKE_REMOTE_ADDRESS", address(socket.remote_address()));
        command.env("FYKE_LOCAL_ADDRESS", address(socket.local_address()));
        let spawned = command.spawn();
        // It holds the other ends of the pairs, which have to close with the program.
        drop(command);
        let child = spawned.map_err(|error| Failure::System("the program", error))?;
        log::debug(format_args!("client {client}: process {} runs", child.id()));
        if let Some(running) = self.running.borrow_mut().as_mut() {
            running.push(Running { client, child });
        }
        join(socket, &Socket::from_fd(input.into())?, &Socket::from_fd(output.into())?);
        Ok(())
    }

    /// Takes note of those who end, so that none stays as a zombie.
    fn watch_children(&self) -> Result<(), Failure> {
        if self.running.borrow().is_some() {
            return Ok(());
        }
        *self.running.borrow_mut() = Some(Vec::new());
        let running = Rc::clone(&self.running);
        on_signal(SIGCHLD, move || {
            if let Some(running) = running.borrow_mut().as_mut() {
                running.retain_mut(|one| match one.child.try_wait() {
                    Ok(Some(status)) => {
                        log::info(format_args!(
                            "client {}: the program ended, {status}",
                            one.client
                        ));
                        false
                    }
                    _ => true,
                });
            }
        })
    }
}

/// The client, and the program's two streams.
fn join(client: &Socket, input: &Socket, output: &Socket) {
    client.pipe(input);
    output.pipe_without_end(client);
    // A program that has said everything need not read to the end, but its client shall get all.
    let to = client.clone();
    output.on_end(move |_| end_in_peace(&to));
    let to = client.clone();
    output.on_error(move |_, error| {
        log::debug(format_args!("from the program: {error}"));
        end_in_peace(&to);
    });
    let from = client.clone();
    input.on_error(move |_, error| {
        // It does not read any more: nothing unusual.
        log::debug(format_args!("to the program: {error}"));
        from.on_data(|_, _| {});
        from.resume();
    });
    let (input, output) = (input.clone(), output.clone());
    client.on_close(move |_, _| {
        input.destroy();
        output.destroy();
    });
}
