//! Connections that are cut, reset or changed on their way: both sides always close, and nothing is wrong that was
//! delivered.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fyke::Socket;
use fyke_tls::{ClientContext, ServerContext, connect, create_server};
use support::peer::{Peer, Then, Towards, client_config, relay};
use support::{Authority, Log, Net, contexts, pattern};

const HANDSHAKES: usize = 64;

/// What both sides of a conversation saw.
#[derive(Default)]
struct Outcome {
    closed: Cell<u32>,
    /// The codes of errors.
    errors: RefCell<Vec<String>>,
    /// The bytes that the client got back.
    echoed: RefCell<Vec<u8>>,
    /// The streams that ended properly.
    ended: Cell<u32>,
}

impl Outcome {
    fn watch(self: &Rc<Self>, socket: &Socket, patience: Option<Duration>) {
        socket.set_idle_timeout(patience);
        socket.on_idle_timeout(|socket| _ = socket.destroy());
        let this = Rc::clone(self);
        socket.on_close(move |_, _| this.closed.set(this.closed.get() + 1));
        let this = Rc::clone(self);
        socket.on_error(move |_, error| this.errors.borrow_mut().push(error.code().to_string()));
        let this = Rc::clone(self);
        socket.on_end(move |_| this.ended.set(this.ended.get() + 1));
    }
}

/// A client sends `sent` to a server that echoes it, through a relay.
fn converse(
    net: &Net,
    (server, client): &(ServerContext, ClientContext),
    sent: &[u8],
    patience: Option<Duration>,
    change: impl FnMut(Towards, &[u8]) -> (Vec<u8>, Then) + 'static,
) -> Rc<Outcome> {
    let outcome: Rc<Outcome> = Rc::default();
    net.run(|| {
        let server = create_server(server, |socket| _ = socket.pipe(socket));
        let (at_server, at_client) = (Rc::clone(&outcome), Rc::clone(&outcome));
        server.on_connection(move |server, socket| {
            server.close();
            at_server.watch(socket, patience);
        });
        let (sent, client) = (sent.to_vec(), client.clone());
        server
            .listen_then(("127.0.0.1", 0), move |server| {
                relay(server.endpoint().unwrap(), change, move |endpoint| {
                    let client = connect(endpoint, &client).unwrap();
                    let outcome = Rc::clone(&at_client);
                    client.on_data(move |_, data| outcome.echoed.borrow_mut().extend(data));
                    at_client.watch(&client, patience);
                    client.end_with(&sent);
                });
            })
            .unwrap();
    });
    assert_eq!(outcome.closed.get(), 2, "both sides close");
    assert!(sent.starts_with(&outcome.echoed.borrow()), "what is delivered is right");
    outcome
}

/// Passes `count` bytes in one direction, and everything in the other, and then does `last`.
fn cut_after(
    direction: Towards,
    count: usize,
    last: Then,
) -> impl FnMut(Towards, &[u8]) -> (Vec<u8>, Then) {
    let mut left = count;
    move |towards, bytes| {
        if towards != direction {
            return (bytes.to_vec(), Then::Continue);
        }
        let passed = left.min(bytes.len());
        left -= passed;
        (bytes[..passed].to_vec(), if left == 0 { last } else { Then::Continue })
    }
}

/// The number of bytes that a whole conversation takes in each direction.
fn lengths(net: &Net, contexts: &(ServerContext, ClientContext), sent: &[u8]) -> [usize; 2] {
    let counts = Rc::new(Cell::new([0, 0]));
    let seen = Rc::clone(&counts);
    let outcome = converse(net, contexts, sent, None, move |towards, bytes| {
        let mut counts = seen.get();
        counts[towards as usize] += bytes.len();
        seen.set(counts);
        (bytes.to_vec(), Then::Continue)
    });
    assert!(outcome.errors.borrow().is_empty());
    assert_eq!((outcome.ended.get(), outcome.echoed.borrow().len()), (2, sent.len()));
    counts.get()
}

/// Cuts a conversation after every `step`th byte.
fn cut_everywhere(net: &Net, step: usize) {
    let contexts = contexts();
    let sent = pattern(100);
    // The length of a hello differs: extensions are in random order, but signatures have random lengths.
    let totals = lengths(net, &contexts, &sent);
    for (direction, total) in [Towards::Server, Towards::Client].into_iter().zip(totals) {
        for count in (1..total).step_by(step) {
            for last in [Then::End, Then::Reset] {
                let outcome =
                    converse(net, &contexts, &sent, None, cut_after(direction, count, last));
                let intact = outcome.ended.get() == 2;
                let seen = !outcome.errors.borrow().is_empty();
                assert!(intact || seen, "{direction:?} {count} {last:?}: a cut is an error");
            }
        }
    }
}

#[test]
fn a_connection_that_is_cut_at_any_byte_fails_in_a_simulated_network() {
    let [first, others @ ..] = support::sims();
    cut_everywhere(&first, 1);
    others.iter().for_each(|net| cut_everywhere(net, 23));
}

/// A source of random numbers: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Changes bytes on their way, one time in `rarity`.
fn mutate(seed: u64, rarity: usize) -> impl FnMut(Towards, &[u8]) -> (Vec<u8>, Then) {
    let mut random = Random(seed);
    move |_, bytes| {
        let mut bytes = bytes.to_vec();
        if bytes.is_empty() || random.below(rarity) != 0 {
            return (bytes, Then::Continue);
        }
        let at = random.below(bytes.len());
        let some = at..at + random.below(bytes.len() - at) + 1;
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[some].iter_mut().for_each(|byte| *byte = random.next() as u8),
            2 => _ = bytes.drain(some),
            3 => bytes = [&bytes[..some.end], &bytes[some.start..]].concat(),
            4 => bytes = [&bytes[..at], &random.next().to_be_bytes()[..], &bytes[at..]].concat(),
            // A length or a kind, which are in the first bytes.
            _ => {
                let at = random.below(bytes.len().min(12));
                bytes[at] = random.next() as u8;
            }
        }
        // What is left out must not be waited for.
        let thens = [Then::Continue, Then::Continue, Then::End, Then::Reset];
        (bytes, thens[random.below(4)])
    }
}

/// Runs conversations whose bytes are changed. A change can leave both sides waiting for bytes that do not exist, as a
/// network can: an idle timeout ends that.
fn mutations(net: &Net, seeds: std::ops::Range<u64>) {
    let contexts = contexts();
    let sent = pattern(3000);
    let failed = Cell::new(0);
    let patience = Some(Duration::from_millis(50));
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut changed = mutate(seed, 3);
        let outcome = converse(net, &contexts, &sent, patience, move |towards, bytes| {
            let (bytes, then) = changed(towards, bytes);
            (bytes, then)
        });
        failed.set(failed.get() + u64::from(!outcome.errors.borrow().is_empty()));
    }
    assert!(failed.get() > count / 2, "{} of {count} have failed", failed.get());
}

on_every_driver! {
    fn a_connection_that_is_cut_or_reset_in_any_step_fails(net) {
        cut_everywhere(net, 97);
    }

    fn bytes_that_are_changed_on_their_way_never_hang_or_pass(net) {
        mutations(net, 0..60);
    }

    fn many_handshakes_do_not_stop_an_established_connection(net) {
        let authority = Authority::new();
        let server = ServerContext::new(authority.identity(&["127.0.0.1"])).unwrap();
        let (log, config) = (Log::new(), client_config(&authority));
        let seen = log.clone();
        net.run(|| {
            let server = create_server(&server, |socket| {
                socket.on_error(|_, _| {});
                socket.pipe(socket);
            });
            let handle = server.clone();
            server.listen_then(("127.0.0.1", 0), move |server| {
                let endpoint = server.endpoint().unwrap();
                let first = Peer::client(config.clone(), endpoint.clone());
                let (begun, done) = (Cell::new(false), Rc::new(Cell::new(0)));
                let greeted = Cell::new(false);
                first.run(move |first| {
                    if first.is_secure() && !greeted.replace(true) {
                        return first.send(&first.coded(b"x"));
                    }
                    if first.received.take().is_empty() {
                        return;
                    }
                    // The first connection is established at both sides.
                    if !begun.replace(true) {
                        for _ in 0..HANDSHAKES {
                            let peer = Peer::client(config.clone(), endpoint.clone());
                            let done = Rc::clone(&done);
                            peer.run(move |peer| {
                                if peer.is_secure() {
                                    done.set(done.get() + 1);
                                    peer.end();
                                }
                            });
                        }
                    } else {
                        seen.add(done.get());
                    }
                    if done.get() < HANDSHAKES {
                        return first.send(&first.coded(b"x"));
                    }
                    handle.close();
                    first.end();
                });
            }).unwrap();
        });
        let entries = log.take();
        let during = entries.iter().filter(|entry| *entry != &HANDSHAKES.to_string()).count();
        assert!(during > 0, "no answer while others shook hands");
    }
}
