//! Tests hyper under load, with connections that are dropped at random: every answer is correct, and no
//! connection or descriptor leaks.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;
mod web;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fyke::sim::SimOptions;
use fyke::{DriverKind, spawn_local, timer};
use http_body_util::BodyExt;
use support::{Net, pattern};
use web::{
    Client, Site, TRANSPORTS, Transport, VERSIONS, Version, answer, drained, post, serve,
    serve_over,
};

const CLIENTS: u64 = 40;
const REQUESTS: u64 = 12;

/// Random numbers by xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Posts bodies of random length, and drops the connection at a random moment. Returns the number of
/// complete and correct answers.
async fn visit(version: Version, site: Site, bytes: Bytes, seed: u64, within: Duration) -> u64 {
    let mut chance = Chance(seed * 2 + 1);
    (0..8).for_each(|_| _ = chance.below(1));
    let stream = site.stream(version).await;
    let socket = stream.socket().clone();
    let mut client = Client::over(version, stream).await;
    // The drop is timed by the clock, so that it happens in every state.
    let drops = chance.below(2) == 0;
    let (after, resets) =
        (Duration::from_micros(chance.below(within.as_micros() as u64)), chance.below(2) == 0);
    let dropping = spawn_local(async move {
        timer::sleep(after).unwrap().await;
        match drops {
            true if resets => _ = socket.reset_and_destroy(),
            true => _ = socket.destroy(),
            false => {}
        }
    });
    let mut answered = 0;
    for _ in 0..REQUESTS {
        let length = chance.below(bytes.len() as u64) as usize;
        let sent = bytes.slice(..length);
        let Ok(response) = client.send(post("/", sent.clone())).await else { break };
        assert_eq!(response.status(), 200);
        let Ok(body) = response.into_body().collect().await else { break };
        assert!(body.to_bytes() == sent, "the answer to another request");
        answered += 1;
    }
    assert!(
        drops || answered == REQUESTS,
        "a connection that was not dropped has {answered} answers"
    );
    dropping.unwrap().await.unwrap();
    answered
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn load(net: &Net, transport: Transport, seed: u64) {
    let event_loop = net.event_loop();
    // Connections are dropped within about the duration of a run.
    let within = if net.is_sim() { Duration::from_millis(2) } else { Duration::from_millis(100) };
    let round = |seed: u64| {
        net.block_on_loop(&event_loop, async move {
            let bytes = Bytes::from(pattern(100_000));
            let server = serve_over(transport, net.tcp(), answer).await;
            let mut visits = Vec::new();
            for client in 0..CLIENTS {
                let version = VERSIONS[client as usize % 2];
                let visit =
                    visit(version, server.clone(), bytes.clone(), seed * CLIENTS + client, within);
                visits.push(spawn_local(visit).unwrap());
            }
            let answered = Cell::new(0);
            for visit in visits {
                answered.set(answered.get() + visit.await.unwrap());
            }
            server.close();
            drained(&server).await;
            // About half of the clients drop their connection.
            assert!(
                (1..CLIENTS * REQUESTS).contains(&answered.get()),
                "{} answers",
                answered.get()
            );
        });
    };
    round(seed);
    let before = descriptors();
    round(seed + 1);
    assert_eq!(descriptors(), before, "descriptors have leaked");
}

/// Counts the descriptors of the process, so no other test may run in it at the same time.
#[test]
fn answers_are_correct_while_connections_are_dropped_on_every_driver() {
    for transport in TRANSPORTS {
        for net in Net::of_the_system() {
            load(&net, transport, 1);
        }
        for seed in 1..10 {
            load(&Net::new(DriverKind::Sim(SimOptions::seeded(seed))), transport, seed);
        }
    }
    the_simulated_network_repeats_a_run_exactly();
}

/// Equal seeds produce the same traffic, so that a failure can be reproduced. With TLS it varies by some bytes,
/// because the length of a signature does.
fn the_simulated_network_repeats_a_run_exactly() {
    let run = || {
        let net = Net::new(DriverKind::Sim(SimOptions::seeded(3)));
        let total = Rc::new(Cell::new((0, 0)));
        let sum = Rc::clone(&total);
        net.block_on(async {
            let server = serve(net.tcp(), answer).await;
            let bytes = Bytes::from(pattern(100_000));
            for client in 0..CLIENTS {
                let answered = visit(
                    Version::One,
                    server.clone(),
                    bytes.clone(),
                    client,
                    Duration::from_millis(2),
                )
                .await;
                let (answers, weighted) = sum.get();
                sum.set((answers + answered, weighted + answered * client));
            }
        });
        total.get()
    };
    assert_eq!(run(), run());
}
