//! `fyke connect`: standard input to the peer, what the peer sends to standard output.

mod calling;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Error, EventLoop, KeepAlive, Socket};

use crate::arguments::{Connect, OnEof, OnPeerEnd};
use crate::delivery::leave;
use crate::ending::close_idle;
use crate::failure::Failure;
use crate::input::{Input, Piece, standard_streams, turn_to_the_end};
use crate::log;
use crate::output::Output;
use crate::place::Place;
use crate::report::{Format, Report, Way};
use crate::tls;
use calling::Caller;

pub(crate) fn connect(options: Connect) -> Result<(), Failure> {
    let event_loop = EventLoop::new()?;
    let place = Place::parse(&options.endpoint)?;
    let tls = tls::Client::parse("--tls", options.tls, &options.tls_client, &options.alpn)?;
    if let Some(tls) = &tls {
        tls.check(&place)?;
    }
    let (input, output) = standard_streams(&event_loop, std::slice::from_ref(&place))?;
    let format = Format::of(options.hex, options.json);
    let talk = Rc::new(Talk {
        report: Report::of_one(format, &output, options.raw),
        output: output.clone(),
        input: input.clone(),
        peer: RefCell::default(),
        input_ended: Cell::new(false),
        alive: RefCell::default(),
        failure: RefCell::default(),
        options,
    });
    event_loop.enter(|| {
        let (begin, fail) = (Rc::clone(&talk), Rc::clone(&talk));
        let caller = Caller::new(
            &talk.options,
            place,
            tls,
            move |peer| begin.begin(peer),
            move |failure| {
                *fail.failure.borrow_mut() = Some(failure);
            },
        )?;
        caller.call()
    })?;
    let over = || output.is_broken();
    turn_to_the_end(&event_loop, &input, &output, over, |piece| talk.send(piece))?;
    talk.failure.take().map_or(Ok(()), Err)
}

/// The conversation. It begins when the connection is established.
struct Talk {
    options: Connect,
    report: Report,
    output: Output,
    input: Input,
    peer: RefCell<Option<Socket>>,
    input_ended: Cell<bool>,
    /// Keeps the loop alive while only standard input is left to wait for.
    alive: RefCell<Option<KeepAlive>>,
    failure: RefCell<Option<Failure>>,
}

impl Talk {
    fn begin(self: &Rc<Self>, peer: &Socket) {
        self.report.reached(peer);
        self.report.secured(1, peer);
        if self.options.wait.is_some() {
            peer.destroy();
            return;
        }
        *self.peer.borrow_mut() = Some(peer.clone());
        let talk = Rc::clone(self);
        peer.on_data(move |peer, data| talk.report.data(1, Way::Received, peer, data));
        let talk = Rc::clone(self);
        peer.on_drain(move |_| talk.input.ask());
        let talk = Rc::clone(self);
        peer.on_end(move |peer| talk.peer_ended(peer));
        let talk = Rc::clone(self);
        peer.on_error(move |_, error| talk.failed(error));
        let talk = Rc::clone(self);
        peer.on_idle_timeout(move |peer| talk.idle(peer));
        let talk = Rc::clone(self);
        peer.on_close(move |peer, _| {
            talk.report.left(1, peer);
            *talk.alive.borrow_mut() = None;
        });
        peer.set_idle_timeout(self.options.idle_timeout);
        // Input is not read earlier, so that a connection that cannot be established consumes no
        // input.
        self.input.ask();
    }

    /// Sends the queued data. After that nothing holds the loop, unless standard input is still sent
    /// (`--on-peer-end keep`). If the peer does not accept the data, that is an error as usual.
    fn peer_ended(&self, peer: &Socket) {
        self.report.ended(1);
        if self.options.on_peer_end == OnPeerEnd::Exit || self.input_ended.get() {
            peer.destroy_soon();
        } else {
            // Neither a socket that only sends nor the reading thread holds the loop.
            *self.alive.borrow_mut() =
                fyke::LoopHandle::current().ok().map(|handle| handle.keep_alive());
        }
    }

    fn failed(&self, error: &Error) {
        self.report.failed(1, error);
        *self.failure.borrow_mut() = Some(error.clone().into());
    }

    fn idle(&self, peer: &Socket) {
        // The reader of standard output is slow, not the peer.
        if self.output.is_full() {
            let again = if self.input_ended.get() { self.options.linger } else { None };
            peer.set_idle_timeout(again.or(self.options.idle_timeout));
            return;
        }
        let lingers = self.options.linger.is_some() && self.input_ended.get();
        let text = match (lingers, peer.write_queue_len()) {
            (true, 0) => None,
            (true, _) => Some("the peer did not accept all data within the time of --linger"),
            (false, _) => Some("nothing was sent or received within the time of --idle-timeout"),
        };
        match text {
            None => _ = peer.destroy(),
            Some(text) => {
                *self.failure.borrow_mut() = Some(Failure::Late(String::from(text)));
                close_idle(peer);
            }
        }
    }

    /// Sends a piece of standard input, and requests the next piece when there is room for it.
    fn send(&self, piece: Piece) -> Result<(), Failure> {
        let Some(peer) = self.peer.borrow().clone() else { return Ok(()) };
        match piece {
            // The peer has disconnected while the thread was reading.
            _ if !peer.is_writable() => {}
            Piece::Bytes(bytes) => {
                // Otherwise the `drain` listener requests the next piece.
                if peer.write(bytes.clone()) {
                    self.input.ask();
                }
                if self.report.shows_sent() {
                    self.report.data(1, Way::Sent, &peer, &bytes);
                }
            }
            Piece::End => self.input_ended(&peer),
            Piece::Failed(error) => return Err(Failure::System("standard input", error)),
        }
        Ok(())
    }

    fn input_ended(&self, peer: &Socket) {
        log::debug(format_args!("end of standard input"));
        self.input_ended.set(true);
        if let Some(linger) = self.options.linger {
            peer.set_idle_timeout(Some(linger));
        }
        match self.options.on_eof {
            _ if peer.is_readable_ended() => _ = peer.destroy_soon(),
            OnEof::End => _ = peer.end(),
            OnEof::Keep => {}
            OnEof::Exit => leave(peer),
        }
    }
}
