//! Establishing a connection: once, with retries, or only to check whether it is possible.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fyke::{ConnectOptions, Endpoint, Error, Family, Socket, timer};
use fyke_tls::Tls;

use crate::arguments::Connect;
use crate::backoff::Backoff;
use crate::failure::Failure;
use crate::log;
use crate::place::Place;
use crate::tls;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts of `--wait`.
const WAIT_PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Caller {
    options: Connect,
    place: Place,
    tls: Option<tls::Client>,
    began: Instant,
    backoff: RefCell<Backoff>,
    /// The number of remaining attempts.
    tries: Cell<u64>,
    on_connect: Box<dyn Fn(&Socket)>,
    on_failure: Box<dyn Fn(Failure)>,
}

impl Caller {
    /// Creates a caller. It runs one of the two callbacks once.
    pub(super) fn new(
        options: &Connect,
        place: Place,
        tls: Option<tls::Client>,
        on_connect: impl Fn(&Socket) + 'static,
        on_failure: impl Fn(Failure) + 'static,
    ) -> Result<Rc<Self>, Failure> {
        check(options, &place)?;
        let most = match options.wait {
            Some(_) => WAIT_PAUSE_MAX,
            None => options.retry_max_delay,
        };
        Ok(Rc::new(Self {
            place,
            tls,
            began: Instant::now(),
            backoff: RefCell::new(Backoff::new(FIRST_PAUSE, most)),
            tries: Cell::new(options.retry.unwrap_or(0)),
            on_connect: Box::new(on_connect),
            on_failure: Box::new(on_failure),
            options: options.clone(),
        }))
    }

    pub(super) fn call(self: &Rc<Self>) -> Result<(), Failure> {
        let connected = Rc::new(Cell::new(false));
        let (caller, stands) = (Rc::clone(self), Rc::clone(&connected));
        let tls = self.tls.as_ref().map(|tls| match self.timeout() {
            Some(timeout) => tls.with_timeout(timeout),
            None => tls.clone(),
        });
        let socket = self.place.connect(
            tls.as_ref(),
            |options| self.with_options(options),
            move |socket| {
                stands.set(true);
                caller.log_step(format_args!("connected"));
                (caller.on_connect)(socket);
            },
        )?;
        self.watch(&socket);
        let caller = Rc::clone(self);
        let tls = Tls::of(&socket);
        socket.on_error(move |_, error| {
            if !connected.get() {
                tls.iter().for_each(tls::Facts::show_rejected);
                caller.failed(error);
            }
        });
        Ok(())
    }

    fn with_options(&self, mut options: ConnectOptions) -> ConnectOptions {
        let own = &self.options;
        // The end of our side depends on standard input, or on `--on-peer-end` when the peer ends.
        options = options.allow_half_open(true);
        if let Some(timeout) = self.timeout() {
            options = options.connect_timeout(timeout);
        }
        if let Some(source) = own.source {
            options = options.local_address(source);
        }
        if let Some(port) = own.source_port {
            options = options.local_port(port);
        }
        match family(own) {
            Some(family) => options.family(family),
            None => options,
        }
    }

    /// The time that one attempt may take.
    fn timeout(&self) -> Option<Duration> {
        let timeout = [self.options.timeout, self.left()].into_iter().flatten().min();
        timeout.map(|timeout| timeout.max(Duration::from_millis(1)))
    }

    /// The remaining time of `--wait`.
    fn left(&self) -> Option<Duration> {
        self.options.wait.map(|wait| wait.saturating_sub(self.began.elapsed()))
    }

    fn failed(self: &Rc<Self>, error: &Error) {
        self.log_step(format_args!("{error}"));
        let pause = self.backoff.borrow_mut().pause();
        match self.left() {
            Some(Duration::ZERO) => {
                let text = format!(
                    "no server was listening within the time of --wait; the last error: {error}"
                );
                return (self.on_failure)(Failure::Late(text));
            }
            Some(left) => return self.again(pause.min(left)),
            None => {}
        }
        match self.tries.get() {
            0 => (self.on_failure)(Failure::Unreachable(error.clone())),
            tries => {
                self.tries.set(tries - 1);
                log::info(format_args!(
                    "{error}; {tries} attempts left, the next one in {pause:.1?}"
                ));
                self.again(pause);
            }
        }
    }

    fn again(self: &Rc<Self>, pause: Duration) {
        let caller = Rc::clone(self);
        let timer = timer::set_timeout(pause, move || {
            if let Err(failure) = caller.call() {
                (caller.on_failure)(failure);
            }
        });
        if let Err(error) = timer {
            (self.on_failure)(error.into());
        }
    }

    /// Logs every step with its time.
    fn watch(self: &Rc<Self>, socket: &Socket) {
        let caller = Rc::clone(self);
        socket.on_lookup(move |_, lookup| match &lookup.address {
            Ok(address) => {
                caller.log_step(format_args!("{} has the address {address}", lookup.host));
            }
            Err(error) => caller.log_step(format_args!("{error}")),
        });
        let caller = Rc::clone(self);
        socket.on_connection_attempt(move |_, address| {
            caller.log_step(format_args!("attempt    {address}"));
        });
        let caller = Rc::clone(self);
        socket.on_connection_attempt_failed(move |_, address, error| {
            caller.log_step(format_args!("failed     {address}  {}", error.code()));
        });
    }

    fn log_step(&self, what: std::fmt::Arguments<'_>) {
        let at = self.began.elapsed().as_secs_f64() * 1000.0;
        if self.options.race {
            log::note(format_args!("{at:+9.1} ms  {what}"));
        } else {
            log::debug(format_args!("{at:+9.1} ms  {what}"));
        }
    }
}

fn family(options: &Connect) -> Option<Family> {
    match (options.ipv4, options.ipv6) {
        (true, _) => Some(Family::V4),
        (_, true) => Some(Family::V6),
        _ => None,
    }
}

/// Rejects options that could not have any effect.
fn check(options: &Connect, place: &Place) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(format!("{place}: {text}")));
    let bound = options.source.is_some() || options.source_port.is_some();
    let wanted = family(options);
    match place {
        Place::Endpoint(Endpoint::Ip(address)) => {
            let family = Family::of(address);
            if wanted.is_some_and(|wanted| wanted != family) {
                return usage("the address does not belong to the family that -4 or -6 selects");
            }
            if options.source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
                return usage("--source must be an address of the same family");
            }
        }
        Place::Endpoint(endpoint) if !endpoint.is_unix() => {}
        _ if bound || wanted.is_some() => {
            return usage("--source, --source-port, -4 and -6 are valid for TCP only");
        }
        _ => {}
    }
    Ok(())
}
