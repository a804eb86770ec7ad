//! `fyke listen`: what the clients send to standard output, standard input to all of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Bytes, Endpoint, Error, EventLoop, Server, Socket};

use crate::failure::Failure;
use crate::input::{Input, Piece, turn_to_the_end};
use crate::output::{Output, note};

#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) echo: bool,
    pub(crate) once: bool,
    pub(crate) verbose: bool,
}

pub(crate) fn listen(endpoint: Endpoint, options: Options) -> Result<(), Failure> {
    let event_loop = EventLoop::new()?;
    let input = Input::open(event_loop.handle())?;
    let output = Output::default();
    let room = Rc::new(Room {
        options,
        input: input.clone(),
        output: output.clone(),
        clients: RefCell::default(),
        waiting: RefCell::default(),
        count: Cell::new(0),
        failure: RefCell::default(),
    });
    event_loop.enter(|| room.open(endpoint))?;
    turn_to_the_end(&event_loop, &input, &output, |piece| {
        room.typed(piece);
        Ok(())
    })?;
    room.failure.take().map_or(Ok(()), |error| Err(error.into()))
}

/// Everybody who is connected, and what is to be told to them.
struct Room {
    options: Options,
    input: Input,
    output: Output,
    /// Those who are sent what is typed: they are here until they end.
    clients: RefCell<Vec<Socket>>,
    /// A piece of standard input that came when it could not be sent.
    waiting: RefCell<Option<Bytes>>,
    /// How many clients there were: their numbers in the log.
    count: Cell<u64>,
    /// Why the only client of `--once` left, if it was by an error.
    failure: RefCell<Option<Error>>,
}

impl Room {
    fn open(self: &Rc<Self>, endpoint: Endpoint) -> fyke::Result<()> {
        let server = Server::new();
        let room = Rc::clone(self);
        server.on_connection(move |server, client| {
            if room.options.once {
                server.close();
            }
            room.enter(client);
        });
        let room = Rc::clone(self);
        server.listen(endpoint, move |server| {
            if let Some(address) = server.address() {
                room.log(format_args!("listening on {address}"));
            }
        })
    }

    fn enter(self: &Rc<Self>, client: &Socket) {
        self.count.set(self.count.get() + 1);
        let number = self.count.get();
        match client.remote_address() {
            Some(address) => self.log(format_args!("client {number} connected from {address}")),
            None => self.log(format_args!("client {number} connected")),
        }
        let room = Rc::clone(self);
        client.on_error(move |_, error| room.failed(number, error));
        let room = Rc::clone(self);
        client.on_close(move |client, _| {
            room.log(format_args!("client {number} left"));
            room.leave(client);
        });
        if self.options.echo {
            client.pipe(client);
        } else {
            self.join(client);
        }
    }

    fn join(self: &Rc<Self>, client: &Socket) {
        let output = self.output.clone();
        client.on_data(move |_, data| output.write(data));
        let room = Rc::clone(self);
        client.on_drain(move |_| room.pump());
        // It ends itself in a moment, and takes nothing more.
        let room = Rc::clone(self);
        client.on_end(move |client| room.leave(client));
        self.clients.borrow_mut().push(client.clone());
        self.pump();
    }

    /// Also for clients who left before.
    fn leave(&self, client: &Socket) {
        self.clients.borrow_mut().retain(|other| other != client);
        // Perhaps it was the one that the others had to wait for.
        self.pump();
    }

    /// A client's failure is its own affair, unless it was the only one to come.
    fn failed(&self, number: u64, error: &Error) {
        if self.options.once {
            *self.failure.borrow_mut() = Some(error.clone());
        } else {
            self.log(format_args!("client {number}: {error}"));
        }
    }

    fn typed(&self, piece: Piece) {
        match piece {
            Piece::Bytes(bytes) => {
                *self.waiting.borrow_mut() = Some(bytes);
                self.pump();
            }
            Piece::End => self.log(format_args!("end of standard input")),
            // The clients may still have something to say.
            Piece::Failed(error) => note(Failure::System("standard input", error)),
        }
    }

    /// Sends what was typed, and asks for more, as long as there is somebody to send it to and
    /// nobody's queue is full. So a client that reads slowly costs one piece of memory; and what
    /// is typed before anybody is here is kept for the first to come.
    fn pump(&self) {
        let clients = self.clients.borrow();
        while !clients.is_empty() && !clients.iter().any(Socket::needs_drain) {
            let Some(bytes) = self.waiting.take() else { return self.input.ask() };
            for client in clients.iter().filter(|client| client.writable()) {
                // The answer comes from `needs_drain`, of all together.
                client.write(bytes.clone());
            }
        }
    }

    fn log(&self, line: std::fmt::Arguments<'_>) {
        if self.options.verbose {
            note(line);
        }
    }
}
