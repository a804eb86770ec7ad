//! Actors that other threads have a reference to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::actor::Actor;
use super::posted::Posted;
use crate::{Error, ErrorCode, Result};

/// A reference to an actor for other threads. It keeps neither the actor nor the loop alive.
pub(crate) struct Remote {
    /// `None` if the actor belonged to no loop when this was made.
    posted: Option<Arc<Posted>>,
    /// The memory address of the actor.
    place: usize,
    /// Whether the actor no longer exists.
    gone: AtomicBool,
}

impl Remote {
    fn new(place: usize, posted: Option<Arc<Posted>>) -> Arc<Self> {
        Arc::new(Self { posted, place, gone: AtomicBool::new(false) })
    }

    /// Makes a reference to an actor that belongs to no loop.
    pub(crate) fn without_loop() -> Arc<Self> {
        Self::new(0, None)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Makes the actor's loop run `work` in its next turn. Fails if the loop was dropped. Whether the actor
    /// still exists is only known when the work runs.
    pub(crate) fn push(&self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let Some(posted) = &self.posted else {
            let message = "the reference was created outside of an event loop";
            return Err(Error::new(ErrorCode::ERR_NO_EVENT_LOOP, message));
        };
        posted.push(Box::new(work))
    }
}

type Entry<T> = (Arc<Remote>, Weak<dyn Actor<T>>);

/// The actors of one loop that other threads refer to, by memory address.
pub(super) struct Remotes<T>(RefCell<HashMap<usize, Entry<T>>>);

impl<T> Default for Remotes<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Remotes<T> {
    /// Returns the reference to the actor. It is the same one while the actor exists.
    pub(super) fn of(&self, actor: &Rc<dyn Actor<T>>, posted: &Arc<Posted>) -> Arc<Remote> {
        let place = Rc::as_ptr(actor).cast::<()>().addr();
        let mut entries = self.0.borrow_mut();
        let (remote, _) = entries.entry(place).or_insert_with(|| {
            (Remote::new(place, Some(Arc::clone(posted))), Rc::downgrade(actor))
        });
        Arc::clone(remote)
    }

    /// Returns the actor, if it still exists.
    pub(super) fn find(&self, remote: &Arc<Remote>) -> Option<Rc<dyn Actor<T>>> {
        let entries = self.0.borrow();
        let entry = entries.get(&remote.place).filter(|(known, _)| Arc::ptr_eq(known, remote));
        entry.and_then(|(_, actor)| actor.upgrade())
    }

    /// Marks the actor at this memory address as gone for other threads. Costs one check if there are no
    /// references.
    #[inline]
    pub(super) fn forget(&self, place: usize) {
        let mut entries = self.0.borrow_mut();
        if !entries.is_empty() {
            if let Some((remote, _)) = entries.remove(&place) {
                remote.gone.store(true, Ordering::Release);
            }
        }
    }
}
