//! Sends what a socket writes through its layer.

use std::cell::RefMut;
use std::io;
use std::rc::Rc;

use fyke_driver::{Batch, Chunk, SocketId};
use fyke_machine::error::MakeError;
use fyke_machine::transitions::Flushed;

use super::layer_flow::{Layered, Outgoing};
use super::{Socket, State, spares};
use crate::wiring::Core;
use crate::{Error, Result};

/// The number of plain bytes that are coded at once: 4 records of TLS.
const CODED_AT_ONCE_BYTES: usize = 64 * 1024;

impl Socket {
    /// Sends what waits, and tells the state machine which plain bytes are sent.
    pub(super) fn send_layered(&self, layered: &Rc<Layered>) {
        match self.flush_layer(layered) {
            Ok(0) => {}
            Ok(plain) => self.step(|machine, cx, fx| machine.sent(plain, cx, fx)),
            Err(source) => {
                let error = Error::system("write", source);
                self.step(|machine, _, fx| machine.write_failed(error, fx));
            }
        }
    }

    /// Takes a batch of the socket. Returns how many of its bytes are sent at once.
    pub(super) fn send_batch(&self, core: &Core, id: SocketId, batch: Batch) -> io::Result<usize> {
        let Some(layered) = self.layered() else { return core.driver.send(id, batch) };
        let sent = {
            let mut flow = layered.flow.borrow_mut();
            let coded = std::mem::take(&mut flow.coded_ahead);
            let mut batch = batch;
            batch.consume(coded, |chunk| give_back(core, chunk));
            flow.batch = (coded == 0 || batch.remaining() > 0).then_some(batch);
            match flow.in_flight {
                0 => coded,
                _ => {
                    flow.in_flight_plain += coded;
                    0
                }
            }
        };
        Ok(sent + self.flush_layer(&layered)?)
    }

    /// Codes and sends the small number of bytes in the queue, if nothing waits before them. Otherwise returns
    /// what the system said, and the queue must be submitted as a batch.
    pub(super) fn offer_layered(
        &self,
        state: RefMut<'_, State>,
        id: SocketId,
    ) -> Result<Flushed, io::Result<usize>> {
        let layered = Layered::of(state.rare_if_any().and_then(|rare| rare.layered.clone()));
        let (Some(core), Some(layered)) = (self.core(), layered) else { return Err(Ok(0)) };
        let bytes = state.machine.outgoing_layered().unwrap_or_default();
        let len = bytes.len();
        if !layered.flow.borrow().is_clear() || layered.sending.get() || !layered.layer.is_open() {
            return Err(Ok(0));
        }
        let mut plain = core.driver.take_buffer();
        plain.extend_from_slice(bytes);
        drop(state);
        let mut coded = core.driver.take_buffer();
        {
            layered.sending.set(true);
            let _sending = Sending(&layered);
            let result = layered.layer.send(&plain, &mut coded);
            core.driver.give_back_buffer(plain);
            result.map_err(|error| Err(error.into()))?;
        }
        let accepted = core.driver.send_at_once(id, &coded).map_err(Err)?;
        if accepted == coded.len() {
            core.driver.give_back_buffer(coded);
            core.budget.count(len);
            let mut state = self.inner.state.borrow_mut();
            // The layer may have run user code that wrote more.
            if state.machine.outgoing_layered().is_some_and(|bytes| bytes.len() == len) {
                let (queue, flushed) = state.machine.outgoing_sent();
                if let Some(queue) = queue {
                    spares::give_back(core, queue);
                }
                return Ok(flushed);
            }
            drop(state);
        } else {
            // The driver keeps the rest.
            coded.drain(..accepted);
            let rest = coded.len();
            let more = core.driver.send(id, Batch::one(Chunk::Buffer(coded))).map_err(Err)?;
            layered.flow.borrow_mut().in_flight = rest - more;
        }
        layered.flow.borrow_mut().coded_ahead = len;
        Err(Ok(0))
    }

    /// Gives the driver what waits, until it accepts no more. Returns the number of plain bytes that are sent.
    pub(super) fn flush_layer(&self, layered: &Rc<Layered>) -> io::Result<usize> {
        let (Some(core), Some(id)) = (self.core(), self.inner.state.borrow().connected()) else {
            return Ok(0);
        };
        // The layer runs user code. What that writes is sent by the caller that is sending already.
        if !layered.flow.borrow().begun || layered.sending.replace(true) {
            return Ok(0);
        }
        let _sending = Sending(layered);
        let mut sent = 0;
        while layered.flow.borrow().may_send() {
            let mut coded = core.driver.take_buffer();
            let plain = self.code(core, layered, &mut coded).map_err(io::Error::from)?;
            if coded.is_empty() {
                core.driver.give_back_buffer(coded);
                // An empty batch is sent as such: it reveals a broken connection (WR-24).
                sent += plain;
                let ends = {
                    let mut flow = layered.flow.borrow_mut();
                    let ends = flow.outgoing == Outgoing::Marked;
                    if ends {
                        flow.outgoing = Outgoing::ShutDown;
                    }
                    ends
                };
                if ends {
                    core.driver.shutdown(id);
                }
                break;
            }
            let count = coded.len();
            let accepted = match core.driver.send(id, Batch::one(Chunk::Buffer(coded))) {
                // The layer's end only. A peer that has closed the connection does not need it, and without a layer
                // nothing would be sent here, and nothing fail.
                Err(_) if layered.flow.borrow().outgoing == Outgoing::Marked => count,
                accepted => accepted?,
            };
            if accepted == count {
                sent += plain;
            } else {
                let mut flow = layered.flow.borrow_mut();
                flow.in_flight = count - accepted;
                flow.in_flight_plain = plain;
            }
        }
        Ok(sent)
    }

    /// Appends the next coded bytes to `coded`. Returns the number of plain bytes in them.
    fn code(&self, core: &Core, layered: &Layered, coded: &mut Vec<u8>) -> Result<usize> {
        let (mut batch, unlayered, ending) = {
            let mut flow = layered.flow.borrow_mut();
            (flow.batch.take(), flow.unlayered, flow.outgoing == Outgoing::Ending)
        };
        let mut plain = 0;
        if let Some(waiting) = batch.as_mut().filter(|_| unlayered > 0) {
            plain = waiting.remaining().min(unlayered);
            waiting.copy_to(coded, plain);
            layered.flow.borrow_mut().unlayered -= plain;
        } else {
            coded.append(&mut layered.flow.borrow_mut().coded);
            if let Some(waiting) = batch.as_ref().filter(|_| layered.layer.is_open()) {
                let front = waiting.front();
                plain = waiting.remaining().min(CODED_AT_ONCE_BYTES);
                if front.len() >= plain {
                    layered.layer.send(&front[..plain], coded)?;
                } else {
                    let mut gathered = core.driver.take_buffer();
                    waiting.copy_to(&mut gathered, plain);
                    let sent = layered.layer.send(&gathered, coded);
                    core.driver.give_back_buffer(gathered);
                    sent?;
                }
            } else if batch.is_none() && ending && layered.layer.is_open() {
                layered.layer.end(coded);
                layered.flow.borrow_mut().outgoing = Outgoing::Marked;
            }
        }
        if let Some(mut waiting) = batch {
            waiting.consume(plain, |chunk| give_back(core, chunk));
            if waiting.remaining() > 0 {
                layered.flow.borrow_mut().batch = Some(waiting);
            }
        }
        Ok(plain)
    }

    /// The socket has ended its side.
    pub(super) fn shutdown_layered(&self, layered: &Rc<Layered>) {
        layered.flow.borrow_mut().outgoing = Outgoing::Ending;
        self.send_layered(layered);
    }
}

fn give_back(core: &Core, chunk: Chunk) {
    if let Chunk::Buffer(buffer) = chunk {
        core.driver.give_back_buffer(buffer);
    }
}

struct Sending<'a>(&'a Layered);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.sending.set(false);
    }
}
