//! Cancelling from outside: Node's `AbortController` and `AbortSignal`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};

use crate::{Error, ErrorCode};

/// Fewer targets than that are not swept.
const SWEEP_MIN: usize = 8;

/// Aborts everything that was given its [signal](Self::signal).
///
/// A socket is destroyed with an error of code `ABORT_ERR`; a server is closed, and its
/// connections stay. Not `Send`: to abort from another thread, post the call with a
/// [`LoopHandle`](crate::LoopHandle). Node: `AbortController`.
///
/// ```
/// use fyke::{AbortController, ConnectOptions, ErrorCode};
///
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let controller = AbortController::new();
///     let options = ConnectOptions::new(("127.0.0.1", 1)).signal(&controller.signal());
///     let client = options.connect_then(|_| unreachable!("aborted before"))?;
///     client.on_error(|_, error| assert_eq!(error.code(), ErrorCode::ABORT_ERR));
///     controller.abort();
///     assert!(client.is_destroyed());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AbortController {
    signal: AbortSignal,
}

/// Tells what it was given to that it shall stop. Made by [`AbortController::signal`].
#[derive(Clone, Default)]
pub struct AbortSignal(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    aborted: Option<Error>,
    targets: Targets,
}

/// What the signal was given to, in that order. One signal may be for very many sockets, each of
/// which is forgotten by itself.
#[derive(Default)]
struct Targets {
    in_order: BTreeMap<u64, Target>,
    /// The place in that order. A target is found by where it lies: its memory is not given to
    /// another one as long as there is a [`Weak`] of it.
    places: HashMap<*const (), u64>,
    next_place: u64,
    /// With so many, those that are gone without a word go before another one comes.
    sweep_at: usize,
}

/// What a signal stops.
pub(crate) trait Abort {
    /// The signal was aborted. `round` is what the target gave with itself.
    fn abort(self: Rc<Self>, error: &Error, round: u64);
}

/// What is to be stopped. Not kept alive by the signal.
struct Target {
    object: Weak<dyn Abort>,
    /// For a server, the round of `listen` that the signal was given to: a later one is not its
    /// business.
    round: u64,
}

impl Target {
    fn key(&self) -> *const () {
        self.object.as_ptr().cast()
    }

    fn is_gone(&self) -> bool {
        self.object.strong_count() == 0
    }
}

impl Targets {
    /// The last word about a target counts: of a server, the last round.
    fn add(&mut self, target: Target) {
        self.remove(target.key());
        if self.in_order.len() >= self.sweep_at {
            let places = &mut self.places;
            self.in_order.retain(|_, target| {
                let gone = target.is_gone();
                if gone {
                    places.remove(&target.key());
                }
                !gone
            });
            self.sweep_at = (2 * self.in_order.len()).max(SWEEP_MIN);
        }
        self.places.insert(target.key(), self.next_place);
        self.in_order.insert(self.next_place, target);
        self.next_place += 1;
    }

    fn remove(&mut self, key: *const ()) {
        if let Some(place) = self.places.remove(&key) {
            self.in_order.remove(&place);
        }
    }
}

impl AbortController {
    /// A controller that has not aborted.
    pub fn new() -> Self {
        Self::default()
    }

    /// The signal to give away. All are the same.
    pub fn signal(&self) -> AbortSignal {
        self.signal.clone()
    }

    /// Stops everything that was given the signal. Repeating it does nothing.
    pub fn abort(&self) {
        self.abort_with("the operation was aborted");
    }

    /// The same, with a reason that the errors tell.
    pub fn abort_with(&self, reason: impl Into<String>) {
        let error = Error::new(ErrorCode::ABORT_ERR, reason);
        let targets = {
            let mut state = self.signal.0.borrow_mut();
            if state.aborted.is_some() {
                return;
            }
            state.aborted = Some(error.clone());
            std::mem::take(&mut state.targets)
        };
        for Target { object, round } in targets.in_order.into_values() {
            if let Some(object) = object.upgrade() {
                object.abort(&error, round);
            }
        }
    }
}

impl AbortSignal {
    /// Whether it was aborted.
    pub fn is_aborted(&self) -> bool {
        self.0.borrow().aborted.is_some()
    }

    /// The error that everything it stopped was given.
    pub fn reason(&self) -> Option<Error> {
        self.0.borrow().aborted.clone()
    }

    /// From here on the signal stops `target`; of one that was given before, the last round counts.
    pub(crate) fn watch(&self, object: Weak<dyn Abort>, round: u64) {
        self.0.borrow_mut().targets.add(Target { object, round });
    }

    /// The object at `target` has closed: a later abort is not its business (PROC-06, PROC-09).
    pub(crate) fn forget(&self, target: *const ()) {
        self.0.borrow_mut().targets.remove(target);
    }
}

/// Two handles are equal when they are of one signal.
impl PartialEq for AbortSignal {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for AbortSignal {}

impl Hash for AbortSignal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for AbortSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortSignal").field("aborted", &self.is_aborted()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Socket;

    #[test]
    fn proc_06_sockets_are_aborted_in_the_order_in_which_they_were_given_the_signal() {
        let controller = AbortController::new();
        let options = crate::SocketOptions::new().signal(&controller.signal());
        crate::run(|| {
            let sockets: Vec<Socket> = (0..100).map(|_| options.clone().build()).collect();
            let seen = Rc::new(RefCell::new(Vec::new()));
            for (index, socket) in sockets.iter().enumerate() {
                let seen = Rc::clone(&seen);
                socket.on_error(|_, _| {});
                socket.on_close(move |_, _| seen.borrow_mut().push(index));
            }
            let signal = controller.signal();
            let forget = |socket: &Socket| signal.forget(socket.downgrade().as_ptr().cast());
            (0..100).step_by(3).for_each(|index| forget(&sockets[index]));
            forget(&sockets[0]);
            controller.abort();
            let expected: Vec<usize> = (0..100).filter(|index| index % 3 != 0).collect();
            crate::timer::set_immediate(move || assert_eq!(*seen.borrow(), expected))
        })
        .unwrap();
    }

    #[test]
    fn what_is_gone_is_not_kept_in_mind_for_long() {
        let controller = AbortController::new();
        let signal = controller.signal();
        let options = crate::SocketOptions::new().signal(&signal);
        let kept = options.clone().build();
        (0..1000).for_each(|_| drop(options.clone().build()));
        let state = signal.0.borrow();
        let (targets, places) = (state.targets.in_order.len(), state.targets.places.len());
        assert!(targets <= SWEEP_MIN && places == targets, "{targets}, {places}");
        drop(kept);
    }
}
