//! What other threads may do with a loop.

mod support;

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use fyke::{ConnectOptions, LookupReply, Socket};
use support::Log;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Records lookups, errors and `close`.
fn watch(log: &Log, client: &Socket) {
    let lookups = log.clone();
    client.on_lookup(move |_, event| match &event.address {
        Ok(address) => lookups.add(format!("lookup {} {address}", event.host)),
        Err(error) => lookups.add(format!("lookup {} {}", event.host, error.code())),
    });
    log.watch("", client);
}

on_every_driver! {
    /// A reply could not leave its thread.
    fn he_04_hook_may_answer_from_another_thread(net) {
        for exact in [false, true] {
            let log = Log::new();
            let event_loop = net.event_loop_that_is(exact);
            let alive = event_loop.handle().keep_alive();
            let told = log.clone();
            let setup = move || {
                let alive = RefCell::new(Some(alive));
                let options = ConnectOptions::new(("some.test", 1)).unwrap().lookup(move |request, reply| {
                    let alive = alive.take();
                    std::thread::spawn(move || {
                        assert_eq!(request.host, "some.test");
                        reply.answer(Ok(vec![ip("127.0.0.1")]));
                        drop(alive);
                    });
                });
                let client = options.connect(|_| panic!("nobody listens")).unwrap();
                watch(&told, &client);
            };
            event_loop.enter(setup);
            support::drive(&event_loop, || false).unwrap();
            let told = ["lookup some.test 127.0.0.1", "error ECONNREFUSED", "close true"];
            assert_eq!(log.take(), told, "{exact}");
        }
    }

    fn reply_dropped_by_another_thread_fails_the_connect_and_after_the_loop_it_does_nothing(net) {
        let log = Log::new();
        let told = log.clone();
        net.run(|| {
            let options = ConnectOptions::new(("some.test", 1)).unwrap();
            let options = options.lookup(|_, reply| _ = std::thread::spawn(move || drop(reply)));
            watch(&told, &options.connect(|_| {}).unwrap());
        });
        assert_eq!(log.take(), ["lookup some.test EAI_FAIL", "error EAI_FAIL", "close true"]);

        let event_loop = net.event_loop();
        let kept: Rc<RefCell<Option<LookupReply>>> = Rc::default();
        let keep = Rc::clone(&kept);
        let client = event_loop.enter(|| {
            let options = ConnectOptions::new(("some.test", 1)).unwrap();
            let options = options.lookup(move |_, reply| _ = keep.replace(Some(reply)));
            options.connect(|_| {}).unwrap()
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        let reply = kept.take().unwrap();
        std::thread::spawn(|| reply.answer(Ok(vec![ip("127.0.0.1")]))).join().unwrap();
        assert_eq!(client.remote_address(), None);
    }
}
