//! A connection, on every driver.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fyke_driver::sim::SimOptions;
use fyke_driver::{
    Address, Batch, Chunk, Completion, Driver, DriverKind, Family, Moment, Open, SocketId,
    Transport,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A driver with both ends of a connection.
pub(crate) struct World {
    pub(crate) driver: Driver,
    pub(crate) ours: SocketId,
    pub(crate) peer: SocketId,
    pub(crate) name: String,
}

/// Runs a test on every driver, with TCP and with Unix sockets; on the simulated network with and without
/// random cuts.
pub(crate) fn on_every_driver(test: impl Fn(&World)) {
    let network = |cut| DriverKind::Sim(SimOptions { cut, ..SimOptions::default() });
    for kind in [DriverKind::Ready, DriverKind::Uring, network(true), network(false)] {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("fyke-memory-{}-{count}", std::process::id());
        let path = Address::Path(std::env::temp_dir().join(path));
        let tcp = Address::Ip("127.0.0.1:0".parse().unwrap());
        // A named pipe cannot be peeked or closed on one side.
        let only_tcp = cfg!(windows) && !matches!(kind, DriverKind::Sim(_));
        for address in [Some(tcp), (!only_tcp).then_some(path)].into_iter().flatten() {
            let driver = Driver::new(&kind).unwrap();
            let (ours, peer) = pair(&driver, address.clone());
            let name = format!("{kind:?}, {address}");
            test(&World { driver, ours, peer, name });
        }
    }
}

fn pair(driver: &Driver, address: Address) -> (SocketId, SocketId) {
    let transport = if address.is_unix() { Transport::Unix } else { Transport::Tcp(Family::V4) };
    let open = Open { bind: Some(address), ..Open::new(transport) };
    let listener = driver.open(&open).unwrap();
    driver.listen(listener, 1).unwrap();
    driver.accept_start(listener).unwrap();
    let client = driver.open(&Open::new(transport)).unwrap();
    driver.connect(client, &driver.local_address(listener).unwrap());
    let (mut connected, mut server) = (false, None);
    while !connected || server.is_none() {
        let on = &mut |completion: Completion<'_>| match completion {
            Completion::Connected { .. } => connected = true,
            Completion::Accepted { socket, .. } => server = Some(socket),
            other => panic!("{other:?}"),
        };
        driver.turn(Some(driver.now() + PATIENCE), on).unwrap();
    }
    driver.close(listener);
    (client, server.unwrap())
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// What a turn reported.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Readable(SocketId),
    Writable(SocketId),
    Received(Vec<u8>),
    End,
    Other(String),
}

impl Seen {
    pub(crate) fn of(completion: Completion<'_>) -> Self {
        match completion {
            Completion::Readable { socket } => Self::Readable(socket),
            Completion::Writable { socket } => Self::Writable(socket),
            Completion::Received { bytes, .. } => Self::Received(bytes.to_vec()),
            Completion::EndOfStream { .. } => Self::End,
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl World {
    pub(crate) fn turn_until(&self, until: Moment) -> Vec<Seen> {
        let mut seen = Vec::new();
        let on = &mut |completion: Completion<'_>| seen.push(Seen::of(completion));
        self.driver.turn(Some(until), on).unwrap();
        seen
    }

    /// Runs turns until a completion is reported.
    pub(crate) fn wait(&self) -> Vec<Seen> {
        let end = self.driver.now() + PATIENCE;
        while self.driver.now() < end {
            let seen = self.turn_until(end);
            if !seen.is_empty() {
                return seen;
            }
        }
        panic!("{}: no completion was reported", self.name);
    }

    /// Returns the completions that several turns report without waiting.
    pub(crate) fn settle(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for _ in 0..10 {
            seen.extend(self.turn_until(Moment::ZERO));
        }
        seen
    }

    pub(crate) fn wait_readable(&self, socket: SocketId) {
        self.driver.readable_start(socket).unwrap();
        assert_eq!(self.wait(), [Seen::Readable(socket)], "{}", self.name);
    }

    /// Sends all bytes, for which the kernel must have room.
    pub(crate) fn send(&self, socket: SocketId, bytes: &[u8]) {
        let batch = Batch::one(Chunk::Buffer(bytes.to_vec()));
        assert_eq!(self.driver.send(socket, batch).unwrap(), bytes.len(), "{}", self.name);
    }

    pub(crate) fn read(&self, most: usize) -> std::io::Result<Vec<u8>> {
        let mut memory = vec![MaybeUninit::uninit(); most];
        self.driver.read_into(self.ours, &mut memory[..]).map(|bytes| bytes.to_vec())
    }

    pub(crate) fn peek(&self, most: usize) -> std::io::Result<Vec<u8>> {
        let mut memory = vec![MaybeUninit::uninit(); most];
        self.driver.peek_into(self.ours, &mut memory[..]).map(|bytes| bytes.to_vec())
    }

    pub(crate) fn would_block(&self, read: std::io::Result<Vec<u8>>) {
        assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock, "{}", self.name);
    }

    /// Reads until the end of the stream, as async code does: at most `most` bytes at a time.
    pub(crate) fn read_all(&self, socket: SocketId, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            all.reserve_exact(most);
            match self.driver.read_append(socket, &mut all) {
                Ok(0) => return all,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{}", self.name);
                    self.driver.readable_start(socket).unwrap();
                    self.wait();
                }
            }
        }
    }

    /// Sends until the kernel's buffer is full. Returns how many bytes it accepted.
    pub(crate) fn fill(&self, socket: SocketId) -> usize {
        let bytes = vec![5; 1 << 20];
        let mut sent = 0;
        loop {
            match self.driver.send_at_once(socket, &bytes).unwrap() {
                0 => {}
                count => {
                    sent += count;
                    continue;
                }
            }
            // The bytes may be on their way to the peer's buffer, or the simulated network accepted nothing
            // by chance.
            self.driver.writable_start(socket).unwrap();
            if self.settle().is_empty() {
                return sent;
            }
        }
    }
}
