//! `--exec`: a program for every client, with its standard streams on the connection.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
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

    /// Starts one for this client. Between the two is a socket pair, so that half-close and
    /// backpressure go through as they are.
    pub(super) fn serve(&self, client: u64, socket: &Socket) -> Result<(), Failure> {
        self.watch_children()?;
        let failed = |error| Failure::System("a socket pair", error);
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let input: OwnedFd = theirs.try_clone().map_err(failed)?.into();
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::from(input)).stdout(OwnedFd::from(theirs));
        command.env("FYKE_CLIENT", client.to_string());
        let address = |address: Option<std::net::SocketAddr>| {
            address.map_or_else(String::new, |address| address.to_string())
        };
        command.env("FYKE_REMOTE_ADDRESS", address(socket.remote_address()));
        command.env("FYKE_LOCAL_ADDRESS", address(socket.local_address()));
        let spawned = command.spawn();
        // It holds the other end of the pair, which has to close with the program.
        drop(command);
        let child = spawned.map_err(|error| Failure::System("the program", error))?;
        log::debug(format_args!("client {client}: process {} runs", child.id()));
        if let Some(running) = self.running.borrow_mut().as_mut() {
            running.push(Running { client, child });
        }
        join(socket, &Socket::from_fd(ours.into())?);
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

/// Client and program, each the other's peer.
fn join(client: &Socket, program: &Socket) {
    program.set_allow_half_open(true);
    client.pipe(program);
    program.pipe_without_end(client);
    // A program that has said everything need not read to the end, but its client shall get all.
    let to = client.clone();
    program.on_end(move |program| {
        program.destroy();
        end_in_peace(&to);
    });
    let to = client.clone();
    program.on_error(move |_, error| {
        // It ended without having read everything: nothing unusual.
        log::debug(format_args!("to the program: {error}"));
        end_in_peace(&to);
    });
    let from = program.clone();
    client.on_close(move |_, _| {
        from.destroy();
    });
}
