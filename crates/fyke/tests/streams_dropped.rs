//! Futures that are dropped before they are ready, again and again: no byte is lost, and no descriptor stays open.

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use fyke::sim::SimOptions;
use fyke::{DriverKind, Endpoint, Server, SocketStream, spawn_local, task};
use support::futures::listening;
use support::{Net, pattern};

/// A small generator of random numbers (xorshift).
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Polls the future once or a few times, and drops it if it is not ready then.
async fn cut<F: Future>(chance: &mut Chance, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = 1 + chance.below(3);
    // Dropped before its first poll, too.
    if chance.below(8) == 0 {
        return None;
    }
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        left -= 1;
        if left == 0 {
            return Poll::Ready(None);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

async fn send(stream: &mut SocketStream, bytes: &[u8], chance: &mut Chance) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(1 + chance.below(40_000) as usize)];
        match cut(chance, stream.write(piece)).await {
            Some(count) => rest = &rest[count.unwrap()..],
            None => task::yield_now().await,
        }
    }
    while cut(chance, stream.end()).await.is_none() {
        task::yield_now().await;
    }
}

async fn receive(stream: &mut SocketStream, chance: &mut Chance) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 40_000];
    loop {
        let room = 1 + chance.below(40_000) as usize;
        let count = match chance.below(4) {
            0 => match cut(chance, stream.fill_buf()).await.map(|bytes| bytes.unwrap().to_vec()) {
                Some(bytes) => {
                    let used = chance.below(bytes.len() as u64 + 1) as usize;
                    all.extend_from_slice(&bytes[..used]);
                    stream.consume(used);
                    Some(bytes.len())
                }
                None => None,
            },
            1 => cut(chance, stream.next_chunk()).await.map(|chunk| {
                let chunk = chunk.unwrap().unwrap_or_default();
                all.extend_from_slice(&chunk);
                chunk.len()
            }),
            2 => cut(chance, stream.peek(&mut buffer[..room])).await.map(|_| 1),
            _ => cut(chance, stream.read(&mut buffer[..room])).await.map(|count| {
                let count = count.unwrap();
                all.extend_from_slice(&buffer[..count]);
                count
            }),
        };
        match count {
            Some(0) => return all,
            Some(_) => {}
            None => task::yield_now().await,
        }
    }
}

/// One connection whose futures are cut on both sides.
async fn talk(endpoint: Endpoint, seed: u64) {
    let server: Server = listening(endpoint).await;
    let mut chance = Chance::new(seed);
    let target = server.endpoint().unwrap();
    let accepting = {
        let (server, mut chance) = (server.clone(), Chance::new(seed + 1_000_000));
        spawn_local(async move {
            loop {
                let accepted = cut(&mut chance, server.accept()).await;
                let Some(socket) = accepted else {
                    task::yield_now().await;
                    continue;
                };
                let mut stream = socket.unwrap().stream().unwrap();
                // A client that has given up sends nothing.
                let received = receive(&mut stream, &mut chance).await;
                if received.is_empty() {
                    continue;
                }
                send(&mut stream, &received, &mut chance).await;
                return stream;
            }
        })
        .unwrap()
    };
    let mut client = None;
    for _ in 0..3 {
        // Dropping the future gives the connection up.
        client = cut(&mut chance, SocketStream::connect(target.clone())).await;
        if client.is_some() {
            break;
        }
    }
    let mut client = match client {
        Some(client) => client.unwrap(),
        None => SocketStream::connect(target).await.unwrap(),
    };
    let bytes = pattern(1 + chance.below(400_000) as usize);
    send(&mut client, &bytes, &mut chance).await;
    let echo = receive(&mut client, &mut chance).await;
    assert!(echo == bytes, "{} of {} bytes, seed {seed}", echo.len(), bytes.len());
    drop(accepting.await.unwrap());
    server.close();
    client.socket().closed().await.unwrap();
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn futures_dropped_at_every_poll_lose_no_byte_and_no_descriptor() {
    let name = "futures_dropped_at_every_poll_lose_no_byte_and_no_descriptor";
    for net in Net::of_the_system_for(module_path!(), name) {
        // What a process opens once.
        net.block_on(talk(net.tcp(), 0));
        let before = open_descriptors();
        for seed in 1..40 {
            for endpoint in net.endpoints() {
                net.block_on(talk(endpoint, seed));
            }
        }
        assert_eq!(open_descriptors(), before);
    }
    for seed in 0..300 {
        let net = Net::new(DriverKind::Sim(SimOptions::seeded(seed)));
        for endpoint in net.endpoints() {
            net.block_on(talk(endpoint, seed));
        }
    }
}
