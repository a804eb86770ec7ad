//! What postpones the idle timeout, and what does not.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::{Socket, timer};
use support::Log;
use support::timeouts::{at_each_timeout, leave};

const MS: Duration = Duration::from_millis(1);
/// Larger than all buffers of the system between two TCP sockets.
const STUCK_BYTES: usize = 32 << 20;

/// A cell for the other end, which the callback of one socket needs from another's.
type Slot = Rc<RefCell<Option<Socket>>>;

on_every_driver! {
    fn tmo_02_corked_data_counts_as_activity_when_it_is_sent(net) {
        let counted = Rc::new(Cell::new(None));
        let seen = counted.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); },
            move |client| {
                client.on_connect(move |client| {
                    client.set_idle_timeout(Some(10 * MS));
                    let _ = client.cork().write("held back");
                    // Only activity starts a second period.
                    let count = at_each_timeout(client, steps![
                        |client: &Socket| { client.uncork(); },
                        leave,
                    ]);
                    counted.set(Some(count));
                });
            },
        ));
        assert_eq!(seen.take().unwrap().get(), 2);
    }

    fn tmo_02_writes_data_received_while_paused_and_the_end_of_the_peer_are_activity(net) {
        let peer: Slot = Slot::default();
        let (own, accepted) = (peer.clone(), peer.clone());
        let counted = Rc::new(Cell::new(None));
        let seen = counted.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| { *accepted.borrow_mut() = Some(socket.resume().clone()); },
            move |client| {
                client.set_allow_half_open(true);
                client.on_data(|_, _| {});
                client.on_connect(move |client| {
                    client.pause();
                    client.set_idle_timeout(Some(10 * MS));
                    let [to_write, to_end] = [own.clone(), own.clone()];
                    let count = at_each_timeout(client, steps![
                        |client: &Socket| { let _ = client.write("a write"); },
                        move |_: &Socket| _ = to_write.borrow().as_ref().unwrap().write("data"),
                        move |client: &Socket| {
                            client.resume();
                            to_end.borrow().as_ref().unwrap().end();
                        },
                        |client: &Socket| {
                            assert!(client.is_readable_ended());
                            leave(client);
                        },
                    ]);
                    counted.set(Some(count));
                });
            },
        ));
        assert_eq!(seen.take().unwrap().get(), 4);
        drop(peer.take());
    }

    fn tmo_02_a_queued_write_that_completes_is_activity(net) {
        let peer: Slot = Slot::default();
        let (own, accepted) = (peer.clone(), peer.clone());
        let log = Log::new();
        let seen = log.clone();
        net.run(|| net.pair(
            net.tcp(),
            move |socket| {
                socket.pause().on_data(|_, _| {});
                *accepted.borrow_mut() = Some(socket.clone());
            },
            move |client| {
                client.resume().on_connect(move |client| {
                    client.set_idle_timeout(Some(30 * MS));
                    let written = log.clone();
                    client.write_then(vec![0; STUCK_BYTES], move |_, _| written.add("written"));
                    let [stuck, idle] = [log.clone(), log.clone()];
                    let own = own.clone();
                    at_each_timeout(client, steps![
                        move |_: &Socket| {
                            stuck.add("stuck");
                            own.borrow().as_ref().unwrap().resume();
                        },
                        move |client: &Socket| {
                            idle.add("idle");
                            leave(client);
                        },
                    ]);
                });
            },
        ));
        assert_eq!(seen.take(), ["stuck", "written", "idle"]);
        drop(peer.take());
    }

    fn tmo_02_pause_resume_and_reading_stored_data_are_not_activity(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.resume(); let _ = socket.write("kept"); },
            |client| {
                client.on_readable(|client| {
                    if client.read_queue_len() < 4 || client.idle_timeout().is_some() {
                        return;
                    }
                    client.set_idle_timeout(Some(10 * MS));
                    at_each_timeout(client, steps![|client: &Socket| {
                        assert_eq!(client.read_n(2).unwrap().as_deref(), Some(b"ke".as_slice()));
                        assert_eq!(client.read().as_deref(), Some(b"pt".as_slice()));
                        client.pause().resume();
                        let client = client.clone();
                        // At a second timeout there would be no step.
                        timer::set_timeout(60 * MS, move || { client.destroy(); }).unwrap();
                    }]);
                });
            },
        ));
    }

    fn tmo_09_a_stalled_write_times_out_after_the_second_period(net) {
        let count = Rc::new(Cell::new(None));
        let seen = count.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.pause(); socket.on_error(|_, _| {}); },
            move |client| _ = client.on_connect(move |client| {
                client.set_idle_timeout(Some(40 * MS));
                let _ = client.write(vec![0; STUCK_BYTES]);
                let counted = at_each_timeout(client, steps![|client: &Socket| {
                    client.reset_and_destroy().unwrap();
                }]);
                let early = counted.clone();
                // Timers run before idle timeouts of the same turn (docs/LOOP.md, phase 2).
                timer::set_timeout(60 * MS, move || assert_eq!(early.get(), 0)).unwrap();
                count.set(Some(counted));
            }),
        ));
        assert_eq!(seen.take().unwrap().get(), 1);
    }

    fn tmo_09_a_write_that_progresses_postpones_the_timeout(net) {
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        net.run(|| net.pair(
            net.tcp(),
            |socket| {
                // Reads one piece at a time, so all of it takes longer than the timeout.
                socket.on_data(|socket, _| {
                    socket.pause();
                    let socket = socket.clone();
                    timer::set_timeout(2 * MS, move || { socket.resume(); }).unwrap();
                });
            },
            move |client| _ = client.on_connect(move |client| {
                client.set_idle_timeout(Some(400 * MS));
                client.on_idle_timeout(|_| panic!("it progresses"));
                let done = done.clone();
                client.write_then(vec![0; STUCK_BYTES], move |client, result| {
                    result.unwrap();
                    done.set(true);
                    client.destroy();
                });
            }),
        ));
        assert!(seen.get());
    }
}
