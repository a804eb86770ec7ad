//! Cancellation from outside: Node's `AbortController` and `AbortSignal`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};

use crate::{Error, ErrorCode};

/// A list with fewer targets than this is never swept.
const SWEEP_MIN: usize = 8;

/// Aborts every operation that was given its [signal](Self::signal).
///
/// A socket is destroyed with an error of code `ABORT_ERR`. A server is closed; its connections stay open.
/// An `AbortController` is not `Send`: to abort from another thread, post the call with a
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

/// Tells the objects that received it to stop. Returned by [`AbortController::signal`].
#[derive(Clone, Default)]
pub struct AbortSignal(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    aborted: Option<Error>,
    targets: Targets,
}

/// The objects that received the signal, in that order. One signal may have very many sockets as targets,
/// and each can be removed separately.
#[derive(Default)]
struct Targets {
    in_order: BTreeMap<u64, Target>,
    /// The position of each target in `in_order`, by the target's memory address. The address is not reused
    /// while a [`Weak`] to the target exists.
    places: HashMap<*const (), u64>,
    next_place: u64,
    /// When the list has this many targets, those that no longer exist are removed before another one is
    /// added.
    sweep_at: usize,
}

/// An object that a signal can stop.
pub(crate) trait Abort {
    /// Called when the signal is aborted. `round` is the value that was passed to [`AbortSignal::watch`].
    fn abort(self: Rc<Self>, error: &Error, round: u64);
}

/// An object to stop. The signal does not keep it alive.
struct Target {
    object: Weak<dyn Abort>,
    /// For a server, the round of `listen` that received the signal. The signal does not affect later
    /// rounds.
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
    /// Adds a target, or replaces the earlier entry of the same target: for a server, only the last round
    /// counts.
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
    /// Makes a controller that is not aborted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the signal, to pass to sockets and servers. Every call returns a handle to the same signal.
    /// Node: `signal`.
    ///
    /// ```
    /// let controller = fyke::AbortController::new();
    /// let signal = controller.signal();
    /// assert!(!signal.is_aborted() && signal == controller.signal());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn signal(&self) -> AbortSignal {
        self.signal.clone()
    }

    /// Stops everything that received the signal. Further calls do nothing. Node: `abort`.
    ///
    /// ```
    /// let controller = fyke::AbortController::new();
    /// let signal = controller.signal();
    /// controller.abort();
    /// assert!(signal.is_aborted());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn abort(&self) {
        self.abort_with("the operation was aborted");
    }

    /// Stops everything that received the signal, with `reason` as the message of the errors. Further calls
    /// do nothing. Node: `abort(reason)`.
    ///
    /// ```
    /// let controller = fyke::AbortController::new();
    /// controller.abort_with("the user has left");
    /// let reason = controller.signal().reason().unwrap();
    /// assert_eq!(reason.to_string(), "ABORT_ERR: the user has left");
    /// # Ok::<(), fyke::Error>(())
    /// ```
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
    /// Returns whether the signal is aborted. Node: `aborted`.
    ///
    /// ```
    /// let controller = fyke::AbortController::new();
    /// let signal = controller.signal();
    /// assert!(!signal.is_aborted() && signal.reason().is_none());
    /// controller.abort();
    /// assert!(signal.is_aborted());
    /// ```
    pub fn is_aborted(&self) -> bool {
        self.0.borrow().aborted.is_some()
    }

    /// The error that every stopped object received, or `None` if the signal is not aborted. Node:
    /// `reason`.
    ///
    /// ```
    /// let controller = fyke::AbortController::new();
    /// controller.abort();
    /// assert_eq!(controller.signal().reason().unwrap().code().as_str(), "ABORT_ERR");
    /// ```
    pub fn reason(&self) -> Option<Error> {
        self.0.borrow().aborted.clone()
    }

    /// Makes the signal stop `object`. If the object was added before, only the last round counts.
    pub(crate) fn watch(&self, object: Weak<dyn Abort>, round: u64) {
        self.0.borrow_mut().targets.add(Target { object, round });
    }

    /// Removes the object at `target`, which has closed: a later abort does not affect it.
    // PROC-06, PROC-09
    pub(crate) fn forget(&self, target: *const ()) {
        self.0.borrow_mut().targets.remove(target);
    }
}

/// Two handles are equal if they refer to the same signal.
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
    fn dropped_sockets_are_soon_removed_from_the_list() {
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
