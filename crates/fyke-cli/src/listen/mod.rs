//! `fyke listen`: prints what clients send on standard output, and sends standard input to them.

mod addressing;
mod exec;
mod running;

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;

use fyke::{Bytes, Endpoint, Error, EventLoop, Server, Socket};

use crate::arguments::{Listen, To};
use crate::descriptors;
use crate::ending::close_idle;
use crate::failure::Failure;
use crate::gate::{self, Gate};
use crate::idle;
use crate::input::{Input, Piece, standard_streams, turn_to_the_end};
use crate::log;
use crate::memory;
use crate::output::Output;
use crate::place::Place;
use crate::report::{Format, Report, Way};
use crate::tls;
use addressing::Lines;
use exec::{Origin, Programs};

/// The maximum number of running programs of `--exec`, unless `--max-connections` is given.
const PROGRAMS_MAX: u64 = 64;

pub(crate) fn listen(mut options: Listen) -> Result<(), Failure> {
    let places = options.endpoint.iter().map(|text| Place::parse_each(text));
    let mut places = places.collect::<Result<Vec<_>, _>>()?.concat();
    if options.exec.is_some() {
        options.limits.max_connections.get_or_insert(PROGRAMS_MAX);
        places.iter_mut().for_each(keep_on_this_machine);
    }
    let programs = options.exec.as_deref().map(|text| Programs::parse(text, &options));
    let programs = programs.transpose()?;
    let gate = Gate::new(&options.limits)?;
    let tls = tls::Server::parse("--tls", options.tls, &options.tls_server, &options.alpn)?;
    // Programs would inherit the higher limit, and some do not work with it.
    if programs.is_none() {
        descriptors::allow_many();
    }
    let event_loop = EventLoop::new()?;
    let (input, output) = standard_streams(&event_loop, &places)?;
    let format = Format::of(options.hex, options.json);
    let room = Rc::new(Room {
        report: Report::new(format, &output, options.raw),
        output: output.clone(),
        options,
        gate,
        tls,
        programs,
        input: input.clone(),
        servers: RefCell::default(),
        clients: RefCell::default(),
        waiting: RefCell::default(),
        lines: RefCell::default(),
        count: Cell::new(0),
        failure: RefCell::default(),
        stopped: Cell::new(false),
    });
    let ending = event_loop.enter(|| {
        let ending = tls::Server::watch_signals(room.tls.as_ref(), || {})?;
        room.programs.as_ref().map_or(Ok(()), Programs::watch)?;
        room.open(places)?;
        room.tls.iter().for_each(tls::Server::announce);
        memory::return_regularly()?;
        Ok::<_, Failure>(ending)
    })?;
    // A server whose purpose is to print what it receives is useless without an output, so it ends.
    // A server that only displays data that passes through continues.
    let blind = || output.is_broken_and_logged() && !room.passes_through();
    let over = || ending.came() || room.stopped.get() || blind();
    let done = turn_to_the_end(&event_loop, &input, &output, over, |piece| {
        room.typed(piece);
        Ok(())
    });
    let done = done.and(room.end_programs(&event_loop));
    // Dropping the servers also removes the files of their Unix sockets.
    drop(event_loop);
    ending.die();
    done?;
    room.failure.take().map_or(Ok(()), Err)
}

/// A port alone means all addresses. With `--exec` it means 127.0.0.1, because programs serve only
/// this machine unless an address is given.
fn keep_on_this_machine(place: &mut Place) {
    if let Place::Endpoint(Endpoint::Port(port)) = *place {
        log::info(format_args!(
            "--exec listens on port {port} of 127.0.0.1 only; for all addresses, use [::]:{port}"
        ));
        *place = Place::Endpoint(Endpoint::Ip((Ipv4Addr::LOCALHOST, port).into()));
    }
}

const TOO_MANY: &str = "too many connections";

/// A connected client.
struct Client {
    number: u64,
    socket: Socket,
}

/// All connected clients, and the data to send to them.
struct Room {
    options: Listen,
    report: Report,
    output: Output,
    gate: Gate,
    tls: Option<tls::Server>,
    programs: Option<Programs>,
    input: Input,
    servers: RefCell<Vec<Server>>,
    /// The clients that can receive standard input, in the order of their arrival. A client is
    /// removed when it ends.
    clients: RefCell<Vec<Client>>,
    /// A piece of standard input that could not be sent yet.
    waiting: RefCell<Option<Bytes>>,
    /// Splits standard input into lines that name their client.
    lines: RefCell<Lines>,
    /// The number of clients so far. It numbers them in the log.
    count: Cell<u64>,
    /// The reason why a server could not listen, or why the only client of `--once` failed.
    failure: RefCell<Option<Failure>>,
    stopped: Cell<bool>,
}

impl Room {
    /// Returns whether received data goes back to the client or to a program.
    fn passes_through(&self) -> bool {
        self.options.echo || self.programs.is_some()
    }

    /// Opens a server at each place. The places are dropped, because a place made from a descriptor
    /// holds a duplicate that would keep the port in use.
    fn open(self: &Rc<Self>, places: Vec<Place>) -> Result<(), Failure> {
        for (number, place) in places.into_iter().enumerate() {
            // `--exec` and `--echo` end connections themselves.
            let half_open = self.programs.is_some();
            let options = gate::server_options(&self.options.limits).allow_half_open(half_open);
            let room = Rc::clone(self);
            let server = options.create_server(move |client| room.arrived(number, client));
            let room = Rc::clone(self);
            server.on_drop(move |_, info| {
                let from = info.map(|info| info.remote_address.to_string());
                room.report.refused(from.as_deref(), TOO_MANY);
            });
            let room = Rc::clone(self);
            server.on_error(move |_, error| {
                *room.failure.borrow_mut() = Some(error.clone().into());
                room.stopped.set(true);
            });
            let (room, spelled) = (Rc::clone(self), place.to_string());
            place.listen(&server, &self.options.limits, move |server| {
                let address = server.address().map_or(spelled, |address| address.to_string());
                room.report.listening(&address);
            })?;
            self.servers.borrow_mut().push(server);
        }
        Ok(())
    }

    fn arrived(self: &Rc<Self>, server: usize, socket: &Socket) {
        let address = socket.remote_address();
        let origin = Origin { server, ip: address.map(|address| address.ip()) };
        let full = || self.programs.as_ref().is_some_and(|programs| !programs.has_room(origin));
        let refused = match self.gate.admits(socket) {
            false => Some("its address is not allowed"),
            true => full().then_some(TOO_MANY),
        };
        if let Some(why) = refused {
            let from = address.map(|address| address.to_string());
            self.report.refused(from.as_deref(), why);
            socket.destroy();
            return;
        }
        if self.options.once {
            self.servers.borrow().iter().for_each(|server| {
                server.close();
            });
        }
        self.enter(origin, socket);
    }

    fn enter(self: &Rc<Self>, origin: Origin, socket: &Socket) {
        self.count.set(self.count.get() + 1);
        let number = self.count.get();
        self.report.connected(number, socket);
        self.watch(number, socket);
        let Some(tls) = &self.tls else { return self.serve(number, origin, socket) };
        let room = Rc::clone(self);
        let begun = tls.begin(socket, move |socket| {
            room.report.secured(number, socket);
            room.serve(number, origin, socket);
        });
        if let Err(error) = begun {
            self.failed(number, &error);
            socket.destroy();
        }
    }

    fn serve(self: &Rc<Self>, number: u64, origin: Origin, socket: &Socket) {
        if self.options.echo {
            socket.pipe(socket);
        } else if let Some(programs) = &self.programs {
            // During a TLS handshake, other clients may have started their programs.
            if !programs.has_room(origin) {
                log::info(format_args!("client {number} was refused: {TOO_MANY}"));
                socket.destroy();
            } else if let Err(failure) = programs.serve(number, origin, socket) {
                log::note(format_args!("client {number}: {failure}"));
                socket.destroy();
            }
        } else {
            self.join(number, socket);
        }
    }

    /// Reports the events of every client.
    fn watch(self: &Rc<Self>, number: u64, socket: &Socket) {
        let room = Rc::clone(self);
        socket.on_error(move |_, error| room.failed(number, error));
        let room = Rc::clone(self);
        socket.on_close(move |socket, _| {
            room.report.left(number, socket);
            room.leave(socket);
        });
        // Data that passes through is printed only on request.
        if !self.passes_through() || self.report.shows_sent() {
            let (report, echo) = (self.report.clone(), self.options.echo);
            socket.on_data(move |socket, data| {
                report.data(number, Way::Received, socket, data);
                if echo {
                    report.data(number, Way::Sent, socket, data);
                }
            });
        }
        let room = Rc::clone(self);
        socket.on_end(move |_| room.report.ended(number));
        if let Some(timeout) = self.options.limits.idle_timeout {
            let (room, same, idle) = (Rc::clone(self), socket.clone(), socket.clone());
            let (held_up, own) = (Cell::new(0_u64), Rc::clone(self));
            let progress = move || {
                // The reader of standard output is slow, not the client.
                held_up.set(held_up.get() + u64::from(own.output.is_full()));
                let moved = idle::progress(&same).wrapping_add(held_up.get());
                (!same.is_destroyed()).then_some(moved)
            };
            // Clients only arrive inside of a loop, so this does not fail.
            let _ = idle::watch(timeout, progress, move || {
                log::info(format_args!("client {number} was idle longer than --idle-timeout"));
                if room.options.once {
                    let text = String::from("the client was idle longer than --idle-timeout");
                    *room.failure.borrow_mut() = Some(Failure::Late(text));
                }
                close_idle(&idle);
            });
        }
    }

    fn join(self: &Rc<Self>, number: u64, socket: &Socket) {
        let room = Rc::clone(self);
        socket.on_drain(move |_| room.pump());
        // The socket is about to end automatically, and accepts no more data.
        let room = Rc::clone(self);
        socket.on_end(move |socket| room.leave(socket));
        self.clients.borrow_mut().push(Client { number, socket: socket.clone() });
        self.pump();
    }

    /// Removes a client. It may have been removed before.
    fn leave(&self, socket: &Socket) {
        self.clients.borrow_mut().retain(|other| other.socket != *socket);
        // The other clients may have waited for this one.
        self.pump();
    }

    /// A client's failure does not end the command, except with `--once`.
    fn failed(&self, number: u64, error: &Error) {
        self.report.failed(number, error);
        if self.options.once {
            *self.failure.borrow_mut() = Some(error.clone().into());
        }
    }

    fn typed(&self, piece: Piece) {
        match piece {
            Piece::Bytes(bytes) => {
                *self.waiting.borrow_mut() = Some(bytes);
                self.pump();
            }
            Piece::End => {
                self.send_to_chosen(&Bytes::new(), true);
                log::info(format_args!("end of standard input"));
            }
            // The clients may still send data.
            Piece::Failed(error) => log::note(Failure::System("standard input", error)),
        }
    }

    /// Accepts no more clients, and ends the programs of the connected ones.
    fn end_programs(&self, event_loop: &EventLoop) -> Result<(), Failure> {
        let Some(programs) = &self.programs else { return Ok(()) };
        event_loop.enter(|| {
            self.servers.borrow().iter().for_each(|server| {
                server.close();
            });
        });
        programs.end_all(event_loop)
    }

    /// Sends standard input and requests more while there is a client to send to and no client's
    /// queue is full. So a client that reads slowly costs the memory of one piece. Input that is
    /// typed before a client connects is kept for the first client.
    fn pump(&self) {
        while self.can_send() {
            let Some(bytes) = self.waiting.take() else { return self.input.ask() };
            match self.options.to {
                To::All => {
                    self.clients.borrow().iter().for_each(|client| self.send(client, &bytes));
                }
                To::Newest => {
                    if let Some(client) = self.clients.borrow().last() {
                        self.send(client, &bytes);
                    }
                }
                To::Chosen => self.send_to_chosen(&bytes, false),
            }
        }
    }

    fn can_send(&self) -> bool {
        let clients = self.clients.borrow();
        let full = |client: &Client| client.socket.needs_drain();
        match self.options.to {
            To::All | To::Chosen => !clients.is_empty() && !clients.iter().any(full),
            To::Newest => clients.last().is_some_and(|client| !full(client)),
        }
    }

    /// The results of `write` are not needed here, because `needs_drain` is checked for all
    /// clients.
    fn send(&self, client: &Client, bytes: &Bytes) {
        if client.socket.is_writable() {
            let _ = client.socket.write(bytes.clone());
            if self.report.shows_sent() {
                self.report.data(client.number, Way::Sent, &client.socket, bytes);
            }
        }
    }

    fn send_to_chosen(&self, bytes: &[u8], end: bool) {
        let lines = self.lines.borrow_mut().take(bytes, end);
        for line in lines {
            let clients = self.clients.borrow();
            let mut sent = false;
            for client in clients.iter().filter(|client| line.is_for(client.number)) {
                self.send(client, &line.text);
                sent = true;
            }
            if !sent {
                log::note(line.undelivered());
            }
        }
    }
}
