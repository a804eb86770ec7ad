//! Errors as seen by code that knows only `std::io::Error` and `std::error::Error`.

mod support;

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::time::Duration;

use fyke::{AbortController, ConnectOptions, Error, ErrorCode, LookupReply, Socket};
use support::Log;

const MS: Duration = Duration::from_millis(1);

/// Runs a connect with these options, and returns its error as an error of the standard library.
fn failure(net: &support::Net, connect: impl FnOnce() -> Socket) -> io::Error {
    let failed = std::rc::Rc::new(std::cell::RefCell::new(None));
    let slot = failed.clone();
    net.run(|| {
        let socket = connect();
        socket.on_error(move |_, error| drop(slot.replace(Some(error.clone()))));
    });
    failed.take().expect("it fails").into()
}

fn options(host: &str) -> ConnectOptions {
    ConnectOptions::new((host, 1))
}

/// Both addresses refuse, or the hook returns the error.
fn with_answer(result: Result<&'static [&'static str], &'static str>) -> ConnectOptions {
    options("some.test").lookup(move |_, reply: LookupReply| {
        reply.answer(match result {
            Ok(addresses) => Ok(addresses.iter().map(|text| text.parse().unwrap()).collect()),
            Err(code) => Err(Error::new(ErrorCode::from_static(code), "as asked")),
        });
    })
}

on_every_driver! {
    fn all_addresses_failed_has_the_kind_and_the_source_of_the_first(net) {
        let error = failure(net, || {
            with_answer(Ok(&["127.0.0.1", "127.0.0.2"])).connect().unwrap()
        });
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let ours = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(ours.attempts().len(), 2);
        let first = ours.source().expect("the first attempt").downcast_ref::<Error>().unwrap();
        assert_eq!(first.to_string(), "connect ECONNREFUSED 127.0.0.1:1");
        let system = first.source().expect("the system's error");
        assert_eq!(
            system.downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::ConnectionRefused,
        );
    }

    fn time_limits_that_fyke_sets_are_timeouts(net) {
        let keep = || std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let waiting = || {
            let kept = keep();
            options("slow.test").lookup(move |_, reply| kept.borrow_mut().push(reply))
        };
        let connect = |options: ConnectOptions| failure(net, || options.connect().unwrap());
        assert_eq!(connect(waiting().lookup_timeout(MS)).kind(), ErrorKind::TimedOut);
        assert_eq!(connect(waiting().connect_timeout(MS)).kind(), ErrorKind::TimedOut);
    }

    fn lookup_failures_have_kinds(net) {
        let connect = |answer| failure(net, || with_answer(answer).connect().unwrap());
        assert_eq!(connect(Ok(&[])).kind(), ErrorKind::NotFound);
        assert_eq!(connect(Err("ENOTFOUND")).kind(), ErrorKind::NotFound);
        assert_eq!(connect(Err("EAI_AGAIN")).kind(), ErrorKind::TimedOut);
        assert_eq!(connect(Err("EAI_FAIL")).kind(), ErrorKind::NotFound);
        assert_eq!(connect(Err("E_MINE")).kind(), ErrorKind::Other);
    }

    fn cancelled_and_refused_operations_have_kinds(net) {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let controller = AbortController::new();
            let aborted = options("127.0.0.1").signal(&controller.signal()).connect().unwrap();
            controller.abort();
            let aborts = log.clone();
            aborted.on_error(move |_, error| aborts.add(kind(error)));
            aborted.on_close(move |socket, _| {
                let refused = log.clone();
                socket.write_then("late", move |_, result| {
                    refused.add(kind(&result.unwrap_err()));
                });
            });
            let port = ConnectOptions::new("host:65536").connect().unwrap_err();
            assert_eq!(kind(&port), "InvalidInput");
        });
        assert_eq!(seen.take(), ["ConnectionAborted", "BrokenPipe"]);
        let outside = fyke::connect(("127.0.0.1", 1)).unwrap_err();
        assert_eq!(kind(&outside), "NotFound");
    }
}

fn kind(error: &Error) -> String {
    format!("{:?}", io::Error::from(error.clone()).kind())
}
