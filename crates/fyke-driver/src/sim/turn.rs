//! One turn: advances the clock and calls the callback.

use std::io;
use std::time::Duration;

use super::Sim;
use super::network::{Due, Given};
use super::socket::Role;
use crate::limits::{ACCEPTS_PER_TURN_MAX, READS_PER_TURN_MAX};
use crate::trace::step;
use crate::{Completion, Moment, SocketId};

/// The duration of a turn that does not wait, so that the network makes progress for a loop that only
/// polls.
const TURN_TIME: Duration = Duration::from_micros(1);

impl Sim {
    pub(super) fn turn(
        &self,
        until: Option<Moment>,
        on: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let _turning = Turning::begin(self)?;
        let mut woken = self.bell.take();
        if !woken && !self.network.borrow().has_work() {
            woken = self.wait(until);
        }
        let count = {
            let mut network = self.network.borrow_mut();
            network.collect(&self.pool);
            // Work that becomes due while the callback runs belongs to the next turn.
            network.due.len()
        };
        self.pool.drop_buried();
        if woken {
            on(Completion::Woken);
        }
        for _ in 0..count {
            let due = self.network.borrow_mut().due.pop_front();
            match due {
                Some(Due::Completion(socket, completion)) => {
                    if self.network.borrow().sockets.contains_key(socket) {
                        on(completion.into_completion(socket));
                    }
                }
                Some(Due::Work(socket)) => self.work(socket, on),
                None => break,
            }
        }
        Ok(())
    }

    /// Moves the clock to the next event or to `until`. If there is neither, blocks until the bell rings.
    /// Returns whether the bell ended the wait.
    fn wait(&self, until: Option<Moment>) -> bool {
        let schedule = &mut self.network.borrow_mut().schedule;
        let soonest = schedule.now().saturating_add(TURN_TIME);
        let end = until.map(|until| Duration::from(until).max(soonest));
        match schedule.next().into_iter().chain(end).min() {
            Some(to) => schedule.advance(to),
            None => {
                self.bell.wait();
                return true;
            }
        }
        false
    }

    fn work(&self, socket: SocketId, on: &mut dyn FnMut(Completion<'_>)) {
        let _working = Working { sim: self, socket };
        let budget = match self.network.borrow().sockets.get(socket) {
            Some(slot) if matches!(slot.role, Role::Listener(_)) => ACCEPTS_PER_TURN_MAX,
            Some(_) => READS_PER_TURN_MAX,
            None => return,
        };
        for _ in 0..budget {
            let given = self.network.borrow_mut().next_of(socket, &self.pool);
            self.pool.drop_buried();
            match given {
                Some(Given::Received(socket, mut bytes)) => {
                    on(Completion::Received { socket, bytes: &mut bytes });
                }
                Some(Given::Other(completion)) => {
                    if matches!(completion, Completion::Accepted { .. }) {
                        step!("accept",);
                    }
                    on(completion);
                }
                None => return,
            }
        }
    }
}

/// Detects a turn inside a turn. Dropping it ends the turn, also when the callback panics.
struct Turning<'a>(&'a Sim);

impl<'a> Turning<'a> {
    fn begin(sim: &'a Sim) -> io::Result<Self> {
        if sim.turning.replace(true) {
            let message = "turn called from inside a turn";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        Ok(Self(sim))
    }
}

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        self.0.turning.set(false);
    }
}

/// Queues a socket again after its work if it has more: because its budget is used up, or because the
/// callback panicked.
struct Working<'a> {
    sim: &'a Sim,
    socket: SocketId,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut network = self.sim.network.borrow_mut();
        if let Some(slot) = network.sockets.get_mut(self.socket) {
            slot.in_line = false;
        }
        network.line_up(self.socket);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use super::super::options::SimOptions;
    use super::super::testing::{Seen, World, pattern};
    use super::*;
    use crate::backend::Backend;
    use crate::waker::Wake;

    /// The trace of an echo server and a client that sends and receives.
    fn trace(seed: u64) -> Vec<(Duration, Seen)> {
        let world = World::new(SimOptions { window_bytes: 5000, ..SimOptions::seeded(seed) });
        let (client, server) = world.pair("127.0.0.1:80");
        world.sim.receive_start(client).unwrap();
        world.sim.receive_start(server).unwrap();
        world.send(client, &pattern(20_000)).unwrap();
        let mut trace = Vec::new();
        while world.sim.has_work() || world.sim.next_deadline().is_some() {
            world.turn_with(&mut |sim, seen| {
                if let Seen::Received(socket, bytes) = &seen {
                    if *socket == server {
                        // The send is refused while an answer is in flight, equally in every run.
                        let _ = World::send_on(sim, server, bytes);
                    }
                }
                trace.push((sim.now().into(), seen));
            });
        }
        trace
    }

    #[test]
    fn equal_seeds_produce_equal_traces_and_different_seeds_different_ones() {
        assert!(trace(1).len() > 10);
        assert_eq!(trace(1), trace(1));
        assert_eq!(trace(2), trace(2));
        assert_ne!(trace(1), trace(2));
    }

    #[test]
    fn an_idle_hour_takes_no_real_time() {
        let world = World::default();
        let hour = Duration::from_secs(3600);
        let before = std::time::Instant::now();
        world
            .sim
            .turn(Some(world.sim.now() + hour), &mut |_| panic!("unexpected completion"))
            .unwrap();
        assert_eq!(world.elapsed(), hour);
        assert!(before.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn the_clock_stops_at_the_next_event_and_at_the_timeout() {
        let latency = Duration::from_millis(10);
        let world = World::new(SimOptions { latency, ..Default::default() });
        world.connect("127.0.0.1:80");
        world
            .sim
            .turn(Some(Moment::ZERO), &mut |_| panic!("a completion before its time"))
            .unwrap();
        assert_eq!(world.elapsed(), TURN_TIME, "a turn takes TURN_TIME");
        world
            .sim
            .turn(Some(world.sim.now() + (latency - TURN_TIME)), &mut |_| {
                panic!("a completion before its time")
            })
            .unwrap();
        assert_eq!(world.elapsed(), latency);
        let mut count = 0;
        world.sim.turn(Some(world.sim.now() + (latency * 9)), &mut |_| count += 1).unwrap();
        assert_eq!((count, world.elapsed()), (1, latency * 2));
    }

    #[test]
    fn the_bell_wakes_a_turn_that_waits_in_another_thread() {
        let world = World::default();
        let bell = Arc::clone(&world.sim.bell);
        let ringer = std::thread::spawn(move || {
            bell.until_somebody_waits();
            bell.wake();
        });
        assert_eq!(world.turn(), [Seen::Woken]);
        ringer.join().unwrap();
        assert_eq!(world.elapsed(), Duration::ZERO);
    }

    #[test]
    fn a_wake_before_the_turn_is_reported_once_without_moving_the_clock() {
        let world = World::default();
        world.sim.waker().wake();
        assert!(world.sim.has_work());
        let second = Some(world.sim.now() + Duration::from_secs(1));
        let mut seen = Vec::new();
        world.sim.turn(second, &mut |completion| seen.push(Seen::of(completion))).unwrap();
        assert_eq!(seen, [Seen::Woken]);
        assert_eq!(world.elapsed(), Duration::ZERO);
        world.sim.turn(second, &mut |_| panic!("the wake was reported twice")).unwrap();
    }

    #[test]
    fn no_completion_follows_a_close_inside_the_callback() {
        let world = World::new(SimOptions { piece_bytes_max: 1, ..Default::default() });
        let (client, server) = world.pair("127.0.0.1:80");
        world.send(client, b"many pieces").unwrap();
        world.settle();
        world.sim.receive_start(server).unwrap();
        let mut count = 0;
        world.turn_with(&mut |sim, _| {
            count += 1;
            sim.close(server);
        });
        assert_eq!(count, 1);
        assert!(world.settle().is_empty());
    }

    #[test]
    fn no_completion_follows_a_close_inside_the_callback_of_another_socket() {
        let world = World::default();
        let first = world.connect("127.0.0.1:80");
        let second = world.connect("127.0.0.1:80");
        let mut seen = Vec::new();
        world.turn_with(&mut |sim, completion| {
            seen.push(completion);
            sim.close(second);
        });
        assert!(matches!(seen.as_slice(), [Seen::Failed(socket, ..)] if *socket == first));
    }

    #[test]
    fn a_turn_inside_a_turn_is_an_error() {
        let world = World::default();
        world.sim.waker().wake();
        let mut inner = None;
        world.turn_with(&mut |sim, _| inner = Some(sim.turn(None, &mut |_| {}).is_err()));
        assert_eq!(inner, Some(true));
    }

    #[test]
    fn remaining_completions_are_reported_after_a_panic_in_the_callback() {
        let world = World::new(SimOptions { piece_bytes_max: 1, ..Default::default() });
        let (client, server) = world.pair("127.0.0.1:80");
        world.send(client, b"abc").unwrap();
        world.settle();
        world.sim.receive_start(server).unwrap();
        let panicking = || world.turn_with(&mut |_, _| panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        assert_eq!(world.received(server), b"bc");
    }
}
