//! A connection with a [`Layer`](super::layer::Layer): passes what the driver received through the layer to
//! the socket. `layered_sending.rs` is the other direction.
//!
//! The socket's state machine knows the plain bytes only, and the driver the coded ones. Nothing is borrowed
//! while a method of the layer runs.

use std::any::Any;
use std::rc::Rc;

use fyke_driver::{Completion, Operation};
use fyke_machine::error::MakeError;
use fyke_machine::reading::Sink;

use super::layer::{LayerOutput, LayerStep};
use super::layer_flow::{Incoming, Layered, Outgoing};
use super::{Inner, Socket};
use crate::runtime::Actor;
use crate::wiring::{Core, Deferred, Tick};
use crate::{Error, Result};

/// A socket with a layer, as the owner of its connection.
struct LayeredActor(Rc<Inner>);

impl Actor<Tick> for LayeredActor {
    fn receive(self: Rc<Self>, bytes: &mut [u8]) {
        let socket = Socket::from_inner(self.0.clone());
        socket.guarded(|| socket.receive_layered(bytes));
    }

    fn readable(self: Rc<Self>) {
        self.0.clone().readable();
    }

    fn complete(self: Rc<Self>, completion: Completion<'_>) {
        let socket = Socket::from_inner(self.0.clone());
        match completion {
            Completion::Sent { bytes, .. } => socket.sent_layered(bytes),
            // What was in flight is the layer's end, which a peer that has closed the connection does not need.
            Completion::Failed { operation: Operation::Send, .. } if socket.sends_layer_end() => {
                socket.sent_layered(usize::MAX);
            }
            Completion::EndOfStream { .. } => socket.end_layered(),
            completion => self.0.clone().complete(completion),
        }
    }

    fn tick(self: Rc<Self>, tick: Tick) {
        self.0.clone().tick(tick);
    }

    fn flush(self: Rc<Self>) {
        self.0.clone().flush();
    }

    fn wake(self: Rc<Self>) {
        self.0.clone().wake();
    }

    fn check_idle(self: Rc<Self>) -> bool {
        self.0.clone().check_idle()
    }

    fn close(self: Rc<Self>, cancelled: Option<Error>) {
        self.0.clone().close(cancelled);
    }

    fn before_abandon(self: Rc<Self>) {
        self.0.clone().before_abandon();
    }

    fn abandon(self: Rc<Self>) {
        self.0.clone().abandon();
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self.0.clone()
    }
}

impl Socket {
    pub(super) fn layered(&self) -> Option<Rc<Layered>> {
        Layered::of(self.inner.state.borrow().rare_if_any()?.layered.clone())
    }

    /// Puts the layer on the socket. It begins now if the socket is connected.
    pub(super) fn put_layer(&self, layered: Rc<Layered>, received: &[u8]) {
        self.flush(fyke_machine::connection::Connection::flushed);
        {
            let mut state = self.inner.state.borrow_mut();
            let mut flow = layered.flow.borrow_mut();
            if let (true, Some(stored)) =
                (state.is_connected(), state.change().read.take_stored(usize::MAX))
            {
                flow.unread = stored;
            }
            flow.unread.extend_from_slice(received);
            flow.unlayered = if state.is_connected() { state.write.queued_bytes() } else { 0 };
            // The driver has a part of them.
            flow.in_flight = state.write.in_flight_bytes();
            flow.in_flight_plain = flow.in_flight;
            flow.unlayered -= flow.in_flight;
            drop(flow);
            state.rare().layered = Some(layered);
        }
        self.begin_layer();
    }

    /// Begins the layer, if there is one and the connection is established.
    pub(super) fn begin_layer(&self) {
        let Some(layered) = self.layered() else { return };
        let (core, id) = match (self.core(), self.inner.state.borrow().connected()) {
            (Some(core), Some(id)) => (core, id),
            _ => return,
        };
        {
            let mut state = self.inner.state.borrow_mut();
            state.change().layered = true;
            let mut flow = layered.flow.borrow_mut();
            if std::mem::replace(&mut flow.begun, true) {
                return;
            }
            flow.wanted = state.read.is_receiving();
        }
        core.own(id, Rc::new(LayeredActor(Rc::clone(&self.inner))));
        let mut coded = Vec::new();
        let begun = layered.layer.begin(&mut coded);
        layered.flow.borrow_mut().coded.append(&mut coded);
        if let Err(error) = begun {
            return self.layer_failed(error);
        }
        if let Err(source) = core.driver.receive_start(id) {
            return self.layer_failed(Error::system("read", source));
        }
        self.continue_layer_later(&layered);
    }

    /// Passes bytes of the driver through the layer.
    fn receive_layered(&self, bytes: &mut [u8]) {
        let (Some(core), Some(layered)) = (self.core(), self.layered()) else { return };
        let opening = !layered.layer.is_open();
        let pauses = opening && !core.spares.layers.may_open(core.turns.get());
        if pauses || !layered.flow.borrow().receives() {
            layered.flow.borrow_mut().keep_unread(bytes, &core.driver);
            return self.keep_waiting(&layered, pauses);
        }
        let received = self.receive_all(core, &layered, bytes);
        self.wake_reader_after(&layered);
        match received {
            Err(error) => self.layer_failed(error),
            Ok(()) => self.after_layer(&layered, opening),
        }
    }

    /// Passes the bytes through the layer, after those that it has not used before. Keeps what it does not use.
    fn receive_all(&self, core: &Core, layered: &Rc<Layered>, mut bytes: &mut [u8]) -> Result<()> {
        loop {
            let unread = layered.flow.borrow_mut().take_unread(&mut bytes);
            let Some(mut unread) = unread else {
                let used = self.receive_part(core, layered, bytes)?;
                layered.flow.borrow_mut().keep_unread(&bytes[used..], &core.driver);
                return Ok(());
            };
            let used = self.receive_part(core, layered, &mut unread)?;
            let mut flow = layered.flow.borrow_mut();
            flow.keep_unread(&unread[used..], &core.driver);
            core.driver.give_back_buffer(unread);
            if bytes.is_empty() || !flow.receives() || !self.has_layer(layered) {
                flow.keep_unread(bytes, &core.driver);
                return Ok(());
            }
        }
    }

    /// Passes bytes through the layer until it needs more, and delivers the plain ones. Returns how many it used.
    fn receive_part(&self, core: &Core, layered: &Rc<Layered>, coded: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        loop {
            let part = &mut coded[used..];
            let opening = !layered.layer.is_open();
            let spares = &core.spares.layers;
            let mut output = LayerOutput { plain: spares.plain.take(), coded: Vec::new() };
            output.plain.clear();
            let step = layered.layer.receive(part, &mut output);
            if opening && (!output.coded.is_empty() || layered.layer.is_open()) {
                spares.note_opening(core.turns.get());
            }
            let LayerOutput { mut plain, coded: mut answer } = output;
            {
                let mut flow = layered.flow.borrow_mut();
                flow.coded.append(&mut answer);
                if let Ok(step) = &step {
                    flow.note_step(step);
                }
            }
            if matches!(step, Ok(LayerStep { waits: true, .. })) {
                self.hold_driver(layered);
            }
            self.send_layered(layered);
            layered.layer.after_receive(self);
            self.deliver_layered(layered, &mut plain);
            spares.plain.set(plain);
            let step = step?;
            self.deliver_layered(layered, part.get_mut(step.plain).unwrap_or_default());
            used += step.used.min(part.len());
            if step.needed != Some(0) || used == coded.len() || !self.has_layer(layered) {
                return Ok(used);
            }
        }
    }

    /// Whether the connection still has this layer: user code may have closed it.
    fn has_layer(&self, layered: &Rc<Layered>) -> bool {
        self.layered().is_some_and(|current| Rc::ptr_eq(&current, layered))
    }

    /// The layer takes nothing now: the driver stops, and the layer continues in the next turn if it waits for
    /// its turn.
    fn keep_waiting(&self, layered: &Layered, pauses: bool) {
        if layered.flow.borrow().has_ended() {
            return;
        }
        self.hold_driver(layered);
        if pauses {
            self.continue_layer(layered, Core::push_next_turn);
        }
    }

    /// Delivers plain bytes, or keeps them until the socket receives.
    fn deliver_layered(&self, layered: &Rc<Layered>, plain: &mut [u8]) {
        if plain.is_empty() || !self.has_layer(layered) {
            return;
        }
        let delivers = {
            let mut flow = layered.flow.borrow_mut();
            match flow.wanted {
                true => flow.delivered = true,
                false => flow.undelivered.extend_from_slice(plain),
            }
            flow.wanted
        };
        if delivers {
            // As the loop does: a second copy of that function would make both slower.
            self.actor().receive(plain);
        }
    }

    /// Tells a stream about new bytes, which are stored, if there are any. It requests the next ones.
    fn wake_reader_after(&self, layered: &Layered) {
        if std::mem::take(&mut layered.flow.borrow_mut().delivered) {
            self.wake_reader_layered();
        }
    }

    fn wake_reader_layered(&self) {
        if self.inner.state.borrow().sink == Sink::Pulled {
            self.receive_stop();
            self.wake_reader();
        }
    }

    /// Reports the end of the stream, and adapts the driver to what is wanted.
    fn after_layer(&self, layered: &Layered, opening: bool) {
        let incoming = {
            let mut flow = layered.flow.borrow_mut();
            let heard = flow.wanted || !layered.layer.is_open();
            let waiting = flow.waits || flow.continues || !flow.undelivered.is_empty();
            let reports = heard && !waiting;
            match flow.incoming {
                Incoming::Ended | Incoming::LayerEnded if reports => {
                    std::mem::replace(&mut flow.incoming, Incoming::Reported)
                }
                _ => Incoming::Open,
            }
        };
        let ended = match incoming {
            Incoming::Ended => layered.layer.end_of_stream(),
            Incoming::LayerEnded => Ok(()),
            Incoming::Open | Incoming::Reported => {
                if opening && layered.layer.is_open() && !layered.flow.borrow().wanted {
                    self.driver_stop();
                }
                return;
            }
        };
        match ended {
            Ok(()) => self.step(|machine, cx, fx| machine.received_all(None, cx, fx)),
            Err(error) => self.step(|machine, cx, fx| machine.received_all(Some(error), cx, fx)),
        }
        self.wake_reader_layered();
    }

    /// The connection has ended.
    fn end_layered(&self) {
        let Some(layered) = self.layered() else { return };
        {
            let mut flow = layered.flow.borrow_mut();
            if flow.incoming == Incoming::Open {
                flow.incoming = Incoming::Ended;
            }
        }
        self.guarded(|| self.after_layer(&layered, false));
        self.sync();
    }

    fn sends_layer_end(&self) -> bool {
        self.layered().is_some_and(|layered| layered.flow.borrow().outgoing == Outgoing::Marked)
    }

    /// The driver has sent coded bytes.
    fn sent_layered(&self, bytes: usize) {
        let Some(layered) = self.layered() else { return };
        let plain = {
            let mut flow = layered.flow.borrow_mut();
            flow.in_flight = flow.in_flight.saturating_sub(bytes);
            if flow.in_flight == 0 { std::mem::take(&mut flow.in_flight_plain) } else { 0 }
        };
        self.guarded(|| {
            if plain > 0 {
                self.ask(|machine, cx, fx| machine.sent(plain, cx, fx));
            }
            self.send_layered(&layered);
        });
        self.sync();
    }

    pub(super) fn continue_layer_later(&self, layered: &Layered) {
        self.continue_layer(layered, Core::push_tick);
    }

    fn continue_layer(&self, layered: &Layered, push: impl FnOnce(&Core, Deferred)) {
        let Some(core) = self.core() else { return };
        if !std::mem::replace(&mut layered.flow.borrow_mut().continues, true) {
            push(core, Deferred::Actor(self.actor(), Tick::Layer));
        }
    }

    /// The layer continues with the bytes that wait in both directions.
    pub(super) fn layer_continues(&self) {
        let Some(layered) = self.layered() else { return };
        let mut plain = {
            let mut flow = layered.flow.borrow_mut();
            flow.continues = false;
            if flow.wanted { std::mem::take(&mut flow.undelivered) } else { Vec::new() }
        };
        self.send_layered(&layered);
        self.deliver_layered(&layered, &mut plain);
        self.wake_reader_after(&layered);
        let reads = {
            let flow = layered.flow.borrow();
            !flow.unread.is_empty() && !flow.waits
        };
        match reads && self.inner.state.borrow().connected().is_some() {
            true => self.receive_layered(&mut []),
            false => self.after_layer(&layered, false),
        }
        self.release_driver(&layered);
    }

    /// The connection is gone, and the layer with it.
    pub(super) fn drop_layer(&self) {
        let layered = {
            let mut state = self.inner.state.borrow_mut();
            let layered = state.rare_if_any_mut().and_then(|rare| rare.layered.take());
            if layered.is_some() {
                state.change().layered = false;
            }
            layered
        };
        Layered::remove(layered);
    }

    /// The layer has failed. What it still has to say is sent, as far as that is possible without waiting.
    fn layer_failed(&self, error: Error) {
        if let Some(layered) = self.layered() {
            // The first error counts.
            let _ = self.flush_layer(&layered);
        }
        self.tear_down(Some(error), false);
    }
}
