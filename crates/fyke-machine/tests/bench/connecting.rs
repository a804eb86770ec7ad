//! How a side connects: there is one attempt, and the test decides when it succeeds.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fyke_driver::Address;
use fyke_machine::connection::{Effect, Local, Request, Target};
use fyke_machine::planner::FamilySelection;

use super::{Callback, End, News, ShutDown, Side, User};

impl<U: User> Side<U> {
    pub(crate) fn connect(&mut self) {
        let is_closing = self.closes_now || !self.closing.is_empty();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let target = match self.machine.unix {
            true => Target::Unix(Address::Path("a path".into())),
            false => Target::Ip(address),
        };
        let request = Request {
            target,
            selection: FamilySelection::Off,
            attempt_timeout: Duration::from_secs(1),
            lookup_timeout: None,
            connect_timeout: None,
            has_hook: false,
            local: Local::default(),
        };
        let inside = self.policy.emits_inside_connect;
        self.step(|machine, cx, fx| machine.connect(request, is_closing, inside, cx, fx));
    }

    /// Carries out the effects of a connect.
    pub(super) fn execute_for_connect(&mut self, effect: Effect<Callback>) {
        match effect {
            Effect::Open(attempt) => {
                self.step(|machine, cx, fx| machine.opened(attempt, Ok(()), cx, fx));
            }
            Effect::Dial(attempt) => self.dialled = Some(attempt),
            Effect::HangUp(_) => self.dialled = None,
            Effect::Attempt(event) => self.notify(News::Attempt(*event)),
            // When the machine asks about the attempt, it has not succeeded yet.
            Effect::Take(_) | Effect::Probe(_) | Effect::Established => {}
            other => unreachable!("there is no host to look up: {other:?}"),
        }
    }

    /// The attempt to connect succeeds.
    pub(crate) fn establish(&mut self, wire: End) {
        let Some(attempt) = self.dialled.take() else { return };
        self.wire = Some(wire);
        self.shut_down = ShutDown::No;
        self.step(|machine, _, fx| machine.connected(attempt, fx));
        self.settle();
    }

    /// The attempt to connect fails.
    pub(crate) fn refuse(&mut self, source: io::Error) {
        let Some(attempt) = self.dialled.take() else { return };
        self.step(|machine, cx, fx| machine.connect_failed(attempt, source, cx, fx));
        self.settle();
    }
}
