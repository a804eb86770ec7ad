//! Tests of cancelled lookups and of a full queue. A test resolver replaces the system's; it answers only
//! when the test tells it to.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use super::pool::{LOOKUP_QUEUE_MAX, LOOKUP_THREADS_MAX};
use super::*;
use crate::wiring::current;
use crate::{AbortController, ConnectOptions, ErrorCode, EventLoop, Server, Socket, timer};

/// Generous, so that only a hang reaches it and not a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Answers `fast.…` at once, and all other names when the test opens it.
#[derive(Default)]
struct Resolver {
    asked: Mutex<Vec<String>>,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Resolver {
    fn resolve(&self, query: &Query) -> Outcome {
        self.asked.lock().unwrap().push(query.host.clone());
        if !query.host.starts_with("fast.") {
            let is_closed = |open: &mut bool| !*open;
            drop(self.opened.wait_while(self.is_open.lock().unwrap(), is_closed).unwrap());
        }
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Makes a loop that uses the test resolver. The receiver gets no messages; it is disconnected when the
/// last thread of the pool has ended.
fn event_loop() -> (EventLoop, Arc<Resolver>, Receiver<()>) {
    let event_loop = EventLoop::builder().driver(crate::DriverKind::Ready).build().unwrap();
    let resolver: Arc<Resolver> = Arc::default();
    let (alive, ended) = mpsc::channel();
    let alive = Mutex::new(alive);
    event_loop.enter(|| {
        let core = current().unwrap();
        let asked = Arc::clone(&resolver);
        let resolve = move |query: &Query| {
            let _alive: &Mutex<Sender<()>> = &alive;
            asked.resolve(query)
        };
        let pool = Pool::with_resolver(resolve, reporter(&core));
        *core.service::<Lookups>().pool.borrow_mut() = Some(pool);
    });
    (event_loop, resolver, ended)
}

fn drive(event_loop: &EventLoop, done: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        event_loop.turn(Some(Duration::from_millis(10))).unwrap();
        assert!(Instant::now() < end, "the loop does not come to that");
    }
}

/// Occupies every thread of the pool.
fn occupy(event_loop: &EventLoop, resolver: &Resolver) -> Vec<Socket> {
    let sockets = event_loop
        .enter(|| (0..LOOKUP_THREADS_MAX).map(|n| connect(&format!("slow.{n}"))).collect());
    drive(event_loop, || resolver.asked().len() == LOOKUP_THREADS_MAX);
    sockets
}

fn connect(host: &str) -> Socket {
    connect_with(ConnectOptions::new((host, 1)))
}

fn connect_with(options: ConnectOptions) -> Socket {
    let socket = options.connect_then(|_| panic!("there is no server")).unwrap();
    socket.on_error(|_, _| {});
    socket
}

/// A flag that is set when the host's address was found.
fn is_found(socket: &Socket) -> Rc<Cell<bool>> {
    let found = Rc::new(Cell::new(false));
    let seen = Rc::clone(&found);
    socket.on_lookup(move |_, event| seen.set(event.address.is_ok()));
    found
}

/// Cancels lookups with `give_up` while all threads are busy, and checks that they are never resolved.
fn leaves_the_queue(give_up: impl FnOnce(&str) -> Box<dyn Fn() -> bool>) {
    let (event_loop, resolver, _ended) = event_loop();
    let _slow = occupy(&event_loop, &resolver);
    let is_given_up = event_loop.enter(|| give_up("given.up"));
    drive(&event_loop, is_given_up);
    let fast = event_loop.enter(|| is_found(&connect("fast.test")));
    resolver.open();
    drive(&event_loop, || fast.get());
    let mut asked = resolver.asked();
    asked.sort();
    assert_eq!(asked, ["fast.test", "slow.0", "slow.1", "slow.2", "slow.3"]);
}

/// Returns a check whether the socket has closed, whatever it is waiting for.
fn is_closed(socket: &Socket) -> Box<dyn Fn() -> bool> {
    let closed = Rc::new(Cell::new(false));
    let seen = Rc::clone(&closed);
    socket.on_close(move |_, _| seen.set(true));
    Box::new(move || closed.get())
}

#[test]
fn lookup_of_a_destroyed_socket_leaves_the_queue() {
    leaves_the_queue(|host| {
        let socket = connect(host);
        timer::set_immediate({
            let socket = socket.clone();
            move || _ = socket.destroy()
        })
        .unwrap();
        is_closed(&socket)
    });
}

#[test]
fn lookup_that_exceeds_its_timeout_leaves_the_queue() {
    leaves_the_queue(|host| {
        let options = ConnectOptions::new((host, 1));
        is_closed(&connect_with(options.lookup_timeout(Duration::from_millis(1))))
    });
}

#[test]
fn lookup_of_a_connect_that_exceeds_its_timeout_leaves_the_queue() {
    leaves_the_queue(|host| {
        let options = ConnectOptions::new((host, 1));
        is_closed(&connect_with(options.connect_timeout(Duration::from_millis(1))))
    });
}

#[test]
fn lookup_of_an_aborted_connect_leaves_the_queue() {
    leaves_the_queue(|host| {
        let controller = AbortController::new();
        let options = ConnectOptions::new((host, 1)).signal(&controller.signal());
        let socket = connect_with(options);
        timer::set_immediate(move || controller.abort()).unwrap();
        is_closed(&socket)
    });
}

#[test]
fn lookup_of_a_server_that_is_closed_leaves_the_queue() {
    leaves_the_queue(|host| {
        let server = Server::new();
        server.listen_then((host, 0), |_| panic!("closed before")).unwrap();
        let closed = Rc::new(Cell::new(false));
        let seen = Rc::clone(&closed);
        server.close_then(move |_, _| seen.set(true));
        Box::new(move || closed.get())
    });
}

#[test]
fn lookup_of_a_listen_that_is_superseded_leaves_the_queue() {
    leaves_the_queue(|host| {
        let server = Server::new();
        server.listen((host, 0)).unwrap();
        server.listen(("127.0.0.1", 0)).unwrap();
        Box::new(move || server.is_listening())
    });
}

/// Regression: such a program kept all threads busy, because each attempt started a new lookup.
#[test]
fn retrying_an_unanswered_name_keeps_one_thread_busy() {
    let (event_loop, resolver, _ended) = event_loop();
    let first = event_loop.enter(|| connect("dead.test"));
    drive(&event_loop, || resolver.asked().len() == 1);
    first.destroy();
    let attempts = Rc::new(Cell::new(0));
    event_loop.enter(|| {
        let options = ConnectOptions::new(("dead.test", 1));
        let options = options.lookup_timeout(Duration::from_millis(1));
        let client = connect_with(options.clone());
        let count = Rc::clone(&attempts);
        client.on_close(move |client, _| {
            count.set(count.get() + 1);
            if count.get() < 2 * LOOKUP_THREADS_MAX {
                client.connect_with(options.clone()).unwrap();
            }
        });
    });
    drive(&event_loop, || attempts.get() == 2 * LOOKUP_THREADS_MAX);
    let fast = event_loop.enter(|| is_found(&connect("fast.test")));
    drive(&event_loop, || fast.get());
    assert_eq!(resolver.asked(), ["dead.test", "fast.test"]);
    // A later request gets the answer of the lookup that is still running.
    let late = event_loop.enter(|| is_found(&connect("dead.test")));
    resolver.open();
    drive(&event_loop, || late.get());
    assert_eq!(resolver.asked(), ["dead.test", "fast.test"]);
}

#[test]
fn lookup_past_the_limit_of_the_queue_fails_immediately_with_eai_again() {
    let (event_loop, resolver, _ended) = event_loop();
    let _slow = occupy(&event_loop, &resolver);
    let failed: Rc<RefCell<Vec<Error>>> = Rc::default();
    let ask = |host: String| {
        let failed = Rc::clone(&failed);
        event_loop.enter(|| {
            let socket = connect(&host);
            socket
                .on_lookup(move |_, event| failed.borrow_mut().extend(event.address.clone().err()));
            socket
        })
    };
    let mut waiting: Vec<Socket> =
        (0..LOOKUP_QUEUE_MAX).map(|number| ask(format!("waiting.{number}"))).collect();
    // A name that is already being looked up takes no place in the queue.
    waiting.push(ask(String::from("waiting.0")));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert!(failed.borrow().is_empty());
    let _past = ask(String::from("past.limit"));
    drive(&event_loop, || !failed.borrow().is_empty());
    let error = failed.borrow_mut().remove(0);
    assert_eq!((error.code(), error.host()), (ErrorCode::EAI_AGAIN, Some("past.limit")));
    assert!(std::error::Error::source(&error).is_some(), "it has the reason");
    assert!(waiting.iter().all(Socket::is_connecting));
    // There is room again after one lookup is cancelled.
    waiting[1].destroy();
    let fits = ask(String::from("fast.fits"));
    resolver.open();
    drive(&event_loop, || waiting.iter().chain([&fits]).all(Socket::is_destroyed));
    assert!(failed.borrow().is_empty());
    let asked: HashSet<String> = resolver.asked().into_iter().collect();
    assert!(asked.contains("fast.fits"));
    assert!(!asked.contains("past.limit") && !asked.contains("waiting.1"));
}

#[test]
fn threads_of_a_dropped_loop_end_and_start_no_queued_lookup() {
    let (event_loop, resolver, ended) = event_loop();
    let _slow = occupy(&event_loop, &resolver);
    let waiting = event_loop.enter(|| connect("waiting.test"));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    drop(event_loop);
    assert!(waiting.is_destroyed());
    resolver.open();
    assert_eq!(ended.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(resolver.asked().len(), LOOKUP_THREADS_MAX);
}
