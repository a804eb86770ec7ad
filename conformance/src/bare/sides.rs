//! The events of a side, and its properties.

use std::rc::{Rc, Weak};

use fyke_machine::connection::{AttemptEvent, Event, Heard, Phase, ReadyState};
use fyke_machine::reading::Flow;
use fyke_machine::{Error, Result};
use serde_json::{Map, Value, json};

use super::bench::{News, Side, User};
use super::{Actor, Bare};
use crate::scenario::{Occurrence, Reading};
use crate::trace::Kind;

/// The code of the scenario for a side.
#[derive(Default)]
pub(super) struct Watch {
    bare: Weak<Bare>,
    /// The events of its actor.
    pub(super) name: String,
    /// The events and the labels of callbacks, by number.
    pub(super) callbacks: Vec<(&'static str, String)>,
    /// The labels of callbacks that run with the next `timeout`.
    pub(super) timeouts: Vec<String>,
    /// The labels of callbacks that run with the next `connect`.
    pub(super) connects: Vec<String>,
    /// Created and connected in two steps, so it keeps its listeners when it closes.
    pub(super) keeps_listeners: bool,
    /// There are no listeners yet, or no longer.
    deaf: bool,
}

impl Watch {
    pub(super) fn new(bare: &Rc<Bare>, name: String) -> Self {
        let bare = Rc::downgrade(bare);
        Self { bare, name, deaf: true, ..Self::default() }
    }

    fn actor(&self) -> Option<(Rc<Bare>, Rc<Actor>)> {
        let bare = self.bare.upgrade()?;
        let actor = bare.find(&self.name)?;
        Some((bare, actor))
    }
}

impl User for Watch {
    fn reported(side: &mut Side<Self>, news: News<'_>) {
        let Some((bare, actor)) = side.user.actor() else { return };
        match news {
            News::Called(number, result) => {
                let (event, label) = side.user.callbacks[number as usize].clone();
                let fields = json!({ "label": label, "err": code(&result) });
                bare.event(&actor, side, event, fields);
            }
            News::Event(event) if side.user.deaf => bare.run_once(&actor, side, event),
            _ if side.user.deaf => {}
            News::Data(bytes) => {
                // There may be no listener yet, or no longer.
                if side.heard.has(Event::Data) {
                    bare.data(&actor, side, bytes);
                }
            }
            News::Event(Event::Readable) => {
                if actor.spec.reading == Reading::Readable {
                    while let Some(bytes) = side.step(|machine, cx, fx| machine.take(None, cx, fx))
                    {
                        bare.data(&actor, side, &bytes);
                    }
                }
            }
            News::Event(event) => {
                let name = match event {
                    Event::Connect => "connect",
                    Event::Ready => "ready",
                    Event::End => "end",
                    Event::Drain => "drain",
                    Event::Finish => "finish",
                    Event::Timeout => "timeout",
                    _ => return,
                };
                bare.event(&actor, side, name, Value::Null);
                bare.run_once(&actor, side, event);
            }
            News::Attempt(event) => {
                let name = match event {
                    AttemptEvent::Begins(_) | AttemptEvent::BeginsAgain(_) => "connectionAttempt",
                    AttemptEvent::Failed(..) => "connectionAttemptFailed",
                    AttemptEvent::TimedOut(_) => "connectionAttemptTimeout",
                };
                bare.event(&actor, side, name, Value::Null);
            }
            News::Error(error) => bare.event(&actor, side, "error", shown(&error)),
            News::Close { had_error } | News::CloseBefore { had_error } => {
                bare.event(&actor, side, "close", json!({ "hadError": had_error }));
                let closed = side.machine.phase == Phase::Closed;
                let drops = side.policy.drops_listeners_after_close && !side.user.keeps_listeners;
                if closed && drops {
                    side.user.deaf = true;
                    side.heard = Heard::default();
                }
            }
        }
    }

    fn ticked(side: &mut Side<Self>, number: usize) {
        let Some((bare, _)) = side.user.actor() else { return };
        bare.run_tick(number, Some(side));
    }
}

fn code(result: &Result<()>) -> Option<&'static str> {
    result.as_ref().err().map(|error| error.code().as_str())
}

/// Addresses belong to the shell.
fn shown(error: &Error) -> Value {
    json!({ "code": error.code().as_str() })
}

impl Bare {
    /// Callbacks that run with the next event of a kind.
    fn run_once(self: &Rc<Self>, actor: &Rc<Actor>, side: &mut Side<Watch>, event: Event) {
        let (name, labels) = match event {
            Event::Timeout => ("timeout-cb", std::mem::take(&mut side.user.timeouts)),
            Event::Connect => ("connect-cb", std::mem::take(&mut side.user.connects)),
            _ => return,
        };
        for label in labels {
            self.event(actor, side, name, json!({ "label": label, "err": null }));
        }
    }

    /// Adds the data listener of the scenario.
    pub(super) fn attach(&self, actor: &Actor, side: &mut Side<Watch>) {
        side.user.deaf = false;
        const WAYS: [Event; 3] = [Event::Data, Event::Text, Event::Readable];
        side.heard = Heard(WAYS.iter().fold(u32::MAX, |bits, way| bits & !(1 << *way as u32)));
        match actor.spec.reading {
            Reading::Merge | Reading::Total => attach_data(side),
            Reading::Readable => {
                side.heard.0 |= 1 << Event::Readable as u32;
                side.step(|machine, _, fx| machine.readable_listened(fx));
            }
            Reading::None => {}
        }
    }

    fn data(self: &Rc<Self>, actor: &Rc<Actor>, side: &mut Side<Watch>, bytes: &[u8]) {
        let received_before = actor.received.get();
        let received = received_before + bytes.len() as u64;
        actor.received.set(received);
        if actor.spec.reading == Reading::Total {
            actor.log.borrow_mut().hold_data(Kind::Bytes, bytes);
        } else {
            let names = &actor.spec.script.snapshot;
            let wanted = !names.is_empty() && !actor.log.borrow().ends_in(Kind::Bytes);
            let snapshot = wanted.then(|| properties(side, names));
            actor.log.borrow_mut().push_data(Kind::Bytes, bytes, snapshot);
        }
        let count = actor.count_one("data");
        let occurrence = Occurrence { count, received_before, received, label: None };
        self.run_handlers(actor, side, "data", occurrence, Some(bytes));
    }
}

pub(super) fn attach_data(side: &mut Side<Watch>) {
    side.heard.0 |= 1 << Event::Data as u32;
    side.listen_for_data();
}

/// The properties of a machine.
pub(super) fn properties(side: &Side<Watch>, names: &[String]) -> Value {
    let known = names.iter().filter_map(|name| Some((name.clone(), property(side, name)?)));
    Value::Object(known.collect::<Map<_, _>>())
}

/// Whether a machine has the property.
pub(super) fn is_known(name: &str) -> bool {
    let bare =
        Side::new(&super::bench::settings(), fyke_machine::policy::DEFAULT, Watch::default());
    property(&bare, name).is_some()
}

fn property(side: &Side<Watch>, name: &str) -> Option<Value> {
    let machine = &side.machine;
    let (read, write) = (&machine.read, &machine.write);
    let gone = machine.destroyed() || machine.has_failed();
    let mark = write.high_water_mark_bytes();
    Some(match name {
        "readyState" => json!(match machine.ready_state() {
            ReadyState::Opening => "opening",
            ReadyState::Open => "open",
            ReadyState::ReadOnly => "readOnly",
            ReadyState::WriteOnly => "writeOnly",
            _ => "closed",
        }),
        "connecting" => json!(machine.connecting()),
        "pending" => json!(machine.connecting() || side.wire.is_none()),
        "destroyed" | "closed" => json!(machine.destroyed()),
        "errored" => json!(machine.errored().map(|error| error.code().as_str())),
        "readable" => json!(machine.readable()),
        "writable" => json!(machine.writable()),
        "readableEnded" => json!(read.has_emitted_end()),
        "writableEnded" => json!(write.is_ended()),
        "writableFinished" => json!(write.is_finished()),
        "readableAborted" => json!(!read.has_emitted_end() && gone),
        "writableAborted" => json!(!write.is_finished() && gone),
        "readableDidRead" => json!(read.did_read),
        "readableEncoding" => Value::Null,
        "readableFlowing" => json!(match read.flow() {
            Flow::Undecided => None,
            flow => Some(flow == Flow::Flowing),
        }),
        "isPaused" => json!(read.is_paused()),
        "readableLength" => json!(read.stored_bytes()),
        "writableLength" => json!(write.queued_bytes()),
        "writableNeedDrain" => json!(write.need_drain() && machine.writable()),
        "writableCorked" => json!(write.corked()),
        "readableHighWaterMark" | "writableHighWaterMark" => json!(mark),
        "bufferSize" => json!(machine.is_live().then(|| write.queued_bytes())),
        "allowHalfOpen" => json!(machine.half_open),
        "timeout" => json!(machine.idle.timeout().map(|timeout| timeout.as_millis() as u64)),
        "bytesRead" => json!(read.bytes_read),
        "bytesWritten" => json!(write.accepted_bytes()),
        _ => return None,
    })
}
