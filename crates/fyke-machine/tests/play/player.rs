//! The script of one side: its calls, and its reactions to events.

use std::rc::Rc;
use std::time::Duration;

use fyke_machine::connection::{self, AttemptEvent, Heard, Phase};
use fyke_machine::{Error, ErrorCode};

use super::CONNECTS_MAX;
use crate::bench::{Machine, News, Side, User};
use crate::lives::{
    EndAsked, Facts, Moment, Observer, Operation, Reading, Side as Which, What, WriteAsked,
};

/// The memory that a machine may use beside its queues: the boxes of rare state, the first entries of
/// its lists, a buffer that is being consumed.
pub(super) const OTHER_BYTES: usize = 8 * 1024;

/// The memory of a pending callback.
const CALLBACK_BYTES: usize = 64;

pub(crate) struct Player {
    pub(super) observer: Observer,
    /// The call that is made the first time that an event occurs.
    pub(super) reactions: Vec<(Moment, Operation)>,
    /// Whether all steps were made.
    pub(super) concluded: bool,
    pub(super) ending: bool,
    /// What pending callbacks belong to; the index is their number.
    asked: Vec<Option<Asked>>,
}

enum Asked {
    Write(WriteAsked),
    End(EndAsked),
}

impl Player {
    pub(super) fn new(observer: Observer, reactions: Vec<(Moment, Operation)>) -> Self {
        Self { observer, reactions, concluded: false, ending: false, asked: Vec::new() }
    }

    fn ask(&mut self, asked: Asked) -> u32 {
        self.asked.push(Some(asked));
        self.asked.len() as u32 - 1
    }
}

impl User for Player {
    fn reported(side: &mut Side<Self>, news: News<'_>) {
        match news {
            News::Event(connection::Event::Readable) => take_all(side),
            News::Event(event) => {
                if let Some(moment) = moment(event) {
                    callback(side, moment, |_| {});
                }
            }
            News::Data(bytes) => data(side, bytes),
            News::Called(callback, result) => called(side, callback, result.err()),
            News::Error(error) => {
                callback(side, Moment::Error, |observer| {
                    observer.log(What::Error(error.code().as_str()));
                });
            }
            News::Attempt(AttemptEvent::Begins(_)) => callback(side, Moment::Attempt, |_| {}),
            News::Attempt(_) => {}
            News::Close { had_error } | News::CloseBefore { had_error } => {
                callback(side, Moment::Close, |observer| observer.log(What::HadError(had_error)));
            }
        }
    }
}

fn moment(event: connection::Event) -> Option<Moment> {
    Some(match event {
        connection::Event::Connect => Moment::Connect,
        connection::Event::Ready => Moment::Ready,
        connection::Event::End => Moment::End,
        connection::Event::Drain => Moment::Drain,
        connection::Event::Finish => Moment::Finish,
        connection::Event::Timeout => Moment::Timeout,
        _ => return None,
    })
}

/// An event occurred: it is checked, and the reaction runs.
fn callback(side: &mut Side<Player>, moment: Moment, details: impl FnOnce(&Observer)) {
    let stage = Rc::clone(&side.user.observer.stage);
    let _callback = stage.callback();
    let facts = facts(side);
    let observer = &side.user.observer;
    observer.observe(moment, &facts, || details(observer));
    react(side, moment);
}

fn data(side: &mut Side<Player>, bytes: &[u8]) {
    let paused = side.machine.read.is_paused();
    let in_hand = side.user.observer.life().model.borrow().in_hand;
    assert!(!paused || in_hand > 0, "nothing is delivered to a paused socket");
    callback(side, Moment::Data, |observer| observer.received(bytes));
}

/// The listener for `readable`, if there is one.
fn take_all(side: &mut Side<Player>) {
    let count = match side.user.observer.reading.get() {
        Reading::Readable => None,
        Reading::Exact(count) => Some(count),
        Reading::Data | Reading::Buffer(_) => return,
    };
    while let Some(bytes) = side.step(|machine, cx, fx| machine.take(count, cx, fx)) {
        callback(side, Moment::Data, |observer| observer.received(&bytes));
        if side.machine.destroyed() {
            // Under `policy::NODE_EXACT` it would return the available bytes.
            break;
        }
    }
}

fn called(side: &mut Side<Player>, number: u32, error: Option<Error>) {
    let asked = side.user.asked[number as usize].take();
    let code = error.map(|error| error.code().as_str());
    match asked.expect("a callback is called once") {
        Asked::Write(asked) => {
            callback(side, Moment::Written, |observer| observer.write_told(&asked, code));
        }
        Asked::End(asked) => {
            callback(side, Moment::Ended, |observer| observer.end_told(&asked, code));
        }
    }
}

pub(super) fn react(side: &mut Side<Player>, moment: Moment) {
    let found = side.user.reactions.iter().position(|(at, _)| *at == moment);
    let Some((_, operation)) = found.map(|at| side.user.reactions.remove(at)) else { return };
    let too_late = operation.holds_up() && side.user.concluded
        || operation == Operation::Connect && side.user.ending;
    if !too_late {
        perform(side, operation);
    }
}

/// Listens to all events of the side.
pub(super) fn attach(side: &mut Side<Player>, reading: Reading, connected: bool) {
    side.user.observer.attach(reading, connected);
    // All except those that select a way to receive.
    let ways = [connection::Event::Data, connection::Event::Text, connection::Event::Readable];
    let ways = ways.iter().fold(0, |bits, event| bits | 1 << *event as u32);
    let heard = |event: connection::Event| Heard(!ways | 1 << event as u32);
    match reading {
        Reading::Data => {
            side.heard = heard(connection::Event::Data);
            side.listen_for_data();
        }
        Reading::Readable | Reading::Exact(_) => {
            side.heard = heard(connection::Event::Readable);
            side.step(|machine, _, fx| machine.readable_listened(fx));
        }
        Reading::Buffer(bytes) => {
            side.heard = Heard(!ways);
            side.change().sink = fyke_machine::reading::Sink::Taking;
            side.sink_bytes = bytes;
        }
    }
}

/// Makes a call.
pub(super) fn perform(side: &mut Side<Player>, operation: Operation) {
    if operation == Operation::Connect {
        return connect(side);
    }
    let stage = Rc::clone(&side.user.observer.stage);
    let operation = side.user.observer.calls(operation);
    let before = facts(side);
    match operation {
        Operation::Write(len) | Operation::WriteThen(len) => {
            let bytes = side.user.observer.offers(len, &before);
            let callback = (operation == Operation::WriteThen(len)).then(|| {
                let asked = side.user.observer.asks_write(&before);
                side.user.ask(Asked::Write(asked))
            });
            let room = {
                let _call = stage.call();
                // A different path through the code: these bytes are copied.
                match len {
                    1 | 5000.. => side.write_payload(bytes.into(), callback),
                    _ => side.write(&bytes, callback),
                }
            };
            side.user.observer.wrote(room, &facts(side));
        }
        Operation::End | Operation::EndThen | Operation::EndWithThen(_) => {
            let data = match operation {
                Operation::EndWithThen(len) => Some(side.user.observer.offers(len, &before)),
                _ => None,
            };
            let callback = (operation != Operation::End).then(|| {
                let asked = side.user.observer.asks_end(&before);
                side.user.ask(Asked::End(asked))
            });
            let _call = stage.call();
            side.end_with(data.as_deref().map(Into::into), callback);
        }
        Operation::Unshift(len) => {
            let bytes = side.user.observer.unshifts(len, &before);
            let _call = stage.call();
            bytes.map(|bytes| side.step(|machine, cx, fx| machine.unshift(&bytes, cx, fx)));
        }
        Operation::ReadExact(count) => read_exact(side, count, &before),
        Operation::AllowHalfOpen(allow) => side.change().half_open = allow,
        Operation::Unref => side.change().referred = false,
        Operation::Refer => side.change().referred = true,
        _ => {
            let _call = stage.call();
            call(side, operation);
        }
    }
    let after = facts(side);
    side.user.observer.called(operation, &after);
    side.user.observer.log(What::Queues(after.write_queue_len, after.read_queue_len));
}

/// The calls that involve no other object.
fn call(side: &mut Side<Player>, operation: Operation) {
    match operation {
        Operation::Cork => side.step(|machine, _, fx| machine.cork(fx)),
        Operation::Uncork => side.step(Machine::uncork),
        Operation::Pause => side.step(|machine, _, fx| machine.pause(fx)),
        Operation::Resume => side.step(|machine, _, fx| machine.resume(fx)),
        Operation::Timeout(ms) => {
            let timeout = Some(Duration::from_millis(ms)).filter(|timeout| !timeout.is_zero());
            side.step(|machine, cx, _| machine.set_timeout(timeout, cx));
        }
        Operation::Destroy => side.destroy(None),
        Operation::DestroyWith => {
            let code = ErrorCode::from_static("E_SCRIPT");
            side.destroy(Some(Error::new(code, "the script's own")));
        }
        Operation::DestroySoon => side.step(Machine::destroy_soon),
        Operation::Reset => {
            let reset = side.step(Machine::reset);
            assert!(reset.is_ok(), "only a Unix socket refuses it");
        }
        // Pipes, and other features of sockets only.
        _ => {}
    }
}

fn read_exact(side: &mut Side<Player>, count: usize, before: &Facts) {
    if matches!(side.user.observer.reading.get(), Reading::Buffer(_)) {
        return;
    }
    let stage = Rc::clone(&side.user.observer.stage);
    let taken = {
        let _call = stage.call();
        side.step(|machine, cx, fx| machine.take(Some(count), cx, fx))
    };
    if let Some(bytes) = taken {
        side.user.observer.took(count, &bytes, before);
    }
}

/// Connects, if there is no connection or it has ended. Other attempts to connect belong to the shell.
fn connect(side: &mut Side<Player>) {
    let before = facts(side);
    let life = side.user.observer.life();
    if life.place.side == Which::Server {
        return;
    }
    let renews = side.user.observer.renews(&before);
    let may = side.machine.phase == Phase::Fresh || renews && life.number + 1 < CONNECTS_MAX;
    if !may {
        return;
    }
    let stage = Rc::clone(&side.user.observer.stage);
    let next = || {
        let [client, _] = stage.connection(life.place.pair, life.number + 1);
        client
    };
    let (taken, of) = side.user.observer.connects(next, &before);
    assert!(taken, "the machine is not asked to connect otherwise");
    // Its callback belongs to the shell.
    of.model.borrow_mut().connects_to_tell = 0;
    {
        let _call = stage.connect_call();
        side.connect();
    }
    side.user.observer.check(&facts(side));
    if side.user.concluded {
        // A paused socket stays paused (CON-16).
        let_flow(side);
    }
}

/// Removes all obstacles.
pub(super) fn conclude(side: &mut Side<Player>) {
    side.user.concluded = true;
    let_flow(side);
}

pub(super) fn let_flow(side: &mut Side<Player>) {
    for _ in 0..side.machine.write.corked() {
        perform(side, Operation::Uncork);
    }
    perform(side, Operation::Refer);
    perform(side, Operation::Resume);
}

/// Ends a side. A side that Node never ends is destroyed.
pub(super) fn end(side: &mut Side<Player>) {
    side.user.ending = true;
    perform(side, Operation::End);
    if side.user.observer.life().model.borrow().odd {
        perform(side, Operation::Destroy);
    }
}

pub(super) fn facts(side: &Side<Player>) -> Facts {
    let machine = &side.machine;
    Facts {
        connecting: machine.connecting(),
        destroyed: machine.destroyed(),
        errored: machine.has_failed(),
        readable: machine.readable(),
        writable: machine.writable(),
        readable_ended: machine.read.has_emitted_end(),
        writable_ended: machine.write.is_ended(),
        writable_finished: machine.write.is_finished(),
        needs_drain: machine.write.need_drain() && machine.writable(),
        high_water_mark: machine.write.high_water_mark_bytes(),
        write_queue_len: machine.write.queued_bytes(),
        bytes_written: machine.write.accepted_bytes(),
        read_queue_len: machine.read.stored_bytes(),
        bytes_read: machine.read.bytes_read,
    }
}

/// The bytes in the queues of a side, the bytes that `read` returned and that are still to be
/// delivered, and the memory of the callbacks.
pub(super) fn queued_bytes(side: &Side<Player>) -> usize {
    let callbacks = side.machine.write.callbacks() + side.machine.write.end_callbacks();
    let bytes = side.machine.write.queued_bytes() + side.machine.read.stored_bytes();
    let in_hand = side.user.observer.life().model.borrow().in_hand as usize;
    bytes + in_hand + callbacks * CALLBACK_BYTES
}

/// The memory of the script for a side.
pub(super) fn own_bytes(side: &Side<Player>) -> usize {
    let asked = side.user.asked.capacity() * size_of::<Option<Asked>>();
    side.own_bytes() + asked
}
