//! The two queues that are shared with the kernel, and the one system call between them.
//!
//! `SINGLE_ISSUER | DEFER_TASKRUN` (6.1): the kernel does its part of the work only inside our
//! `enter`, so nothing is interrupted and completions come in batches. No SQPOLL: a thread of the
//! kernel that spins for us is not ours to decide.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::{EnterFlags, IoUring, cqueue, squeue};
use rustix::io::Errno;
use rustix::io_uring::{
    IoringEnterFlags, io_uring_enter, io_uring_enter_arg, io_uring_getevents_arg, io_uring_ptr,
};
use rustix::time::Timespec;

/// Entries that fit into the submission queue; when it is full it is handed over early.
const SUBMISSIONS: u32 = 512;

/// Completions that fit into the queue before the kernel has to keep them in a list, which is slow
/// (io_uring_setup(2), IORING_FEAT_NODROP). One `enter` brings those of about twenty operations, each up
/// to 32 times, and of what was submitted.
const COMPLETIONS: u32 = 4 * 1024;

/// Completions that were taken out for which there is room from the beginning: a turn seldom has more.
const COMPLETIONS_TAKEN_OUT: usize = 1024;

/// A completion, copied out of the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completed {
    pub(super) token: u64,
    /// What the system call would have returned.
    pub(super) result: i32,
    flags: u32,
}

impl Completed {
    /// Whether the operation goes on and completes again.
    pub(super) fn has_more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that was filled.
    pub(super) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    pub(super) fn error(&self) -> Option<Errno> {
        (self.result < 0).then(|| Errno::from_raw_os_error(-self.result))
    }
}

pub(super) struct Ring {
    ring: RefCell<IoUring>,
    enter_flags: IoringEnterFlags,
    /// Completions that were taken out of the queue and are not handled yet, oldest first.
    completed: RefCell<VecDeque<Completed>>,
    /// How many at the end of `completed` were not yet seen by [`ended`](Self::ended).
    unseen: Cell<usize>,
    /// Whether one of those is its operation's last.
    any_ended: Cell<bool>,
    /// Whether the last `enter` brought something: then the kernel may have put off more, and does
    /// not say so (it does about twenty things at a time, and IORING_SQ_TASKRUN tells only of new
    /// ones).
    brought: Cell<bool>,
    /// Operations whose last completion has not been seen: while there is one, the kernel may
    /// touch memory.
    in_flight: Cell<usize>,
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS);
        let ring: IoUring = builder.build(SUBMISSIONS)?;
        let mut enter_flags = EnterFlags::GETEVENTS;
        if ring.params().is_feature_no_iowait() {
            // A server that sleeps is idle and does not wait for a disk (6.15).
            enter_flags |= EnterFlags::NO_IOWAIT;
        }
        Ok(Self {
            ring: RefCell::new(ring),
            enter_flags: IoringEnterFlags::from_bits_retain(enter_flags.bits()),
            completed: RefCell::new(VecDeque::with_capacity(COMPLETIONS_TAKEN_OUT)),
            unseen: Cell::new(0),
            any_ended: Cell::new(false),
            brought: Cell::new(false),
            in_flight: Cell::new(0),
        })
    }

    /// Registers a ring of provided buffers.
    ///
    /// # Safety
    /// The memory at `address`, and every buffer that is ever named in it, stays valid and is not
    /// touched by others until the ring is closed and nothing is in flight.
    #[allow(unsafe_code, reason = "passes the promise on")]
    pub(super) unsafe fn register_buffers(
        &self,
        address: u64,
        entries: u16,
        group: u16,
        flags: u16,
    ) -> io::Result<()> {
        let ring = self.ring.borrow();
        // SAFETY: what the caller promises.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, entries, group, flags) }
    }

    /// Has `eventfd` signalled when there is something to do.
    pub(super) fn register_eventfd(&self, eventfd: std::os::fd::RawFd) -> io::Result<()> {
        self.ring.borrow().submitter().register_eventfd(eventfd)
    }

    /// Queues an operation. It leaves with the next [`enter`](Self::enter).
    ///
    /// # Safety
    /// The descriptor and the memory that the entry names stay valid until the operation's last
    /// completion was seen, or the ring is closed and nothing is in flight.
    ///
    /// # Errors
    /// When the kernel takes no more entries; nothing is queued then.
    #[allow(unsafe_code, reason = "passes the promise on")]
    pub(super) unsafe fn start(&self, entry: &squeue::Entry) -> io::Result<()> {
        self.push(entry)?;
        self.in_flight.set(self.in_flight.get() + 1);
        Ok(())
    }

    /// Queues the end of the operation with that token. `own` is what a failure is reported with.
    pub(super) fn cancel(&self, token: u64, own: u64) -> io::Result<()> {
        let cancel = io_uring::opcode::AsyncCancel::new(token).build();
        self.push(&cancel.user_data(own).flags(squeue::Flags::SKIP_SUCCESS))
    }

    /// Queues the end of everything.
    pub(super) fn cancel_all(&self, own: u64) -> io::Result<()> {
        let any = io_uring::types::CancelBuilder::any();
        let cancel = io_uring::opcode::AsyncCancel2::new(any).build();
        self.push(&cancel.user_data(own).flags(squeue::Flags::SKIP_SUCCESS))
    }

    #[allow(unsafe_code, reason = "putting an entry into the queue")]
    fn push(&self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: memory and descriptor are the promise of `start`; a cancellation names none.
        let pushed = unsafe { self.ring.borrow_mut().submission().push(entry) };
        if pushed.is_ok() {
            return Ok(());
        }
        // Full. What the kernel refuses for want of room for completions it takes when some were
        // taken out.
        self.enter(0, None)?;
        // SAFETY: as above.
        unsafe { self.ring.borrow_mut().submission().push(entry) }.map_err(|_| Errno::BUSY.into())
    }

    /// Hands over what is queued, lets the kernel do what it has put off, waits until there are
    /// `wanted` completions or the time is over, and takes the completions out. The only place
    /// where the kernel receives and sends.
    #[allow(unsafe_code, reason = "the system call")]
    pub(super) fn enter(&self, wanted: u32, timeout: Option<Duration>) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        let queue = ring.submission();
        let count = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        let told = queue.taskrun() || queue.cq_overflow() || self.brought.get();
        let idle = count == 0 && !told;
        drop(queue);
        if wanted > 0 || !idle {
            // SAFETY: the descriptor is the ring's, which is borrowed until after the call.
            let fd = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
            let result = match timeout {
                // SAFETY: the entries are the promise of `start`.
                None => unsafe { io_uring_enter(fd, count, wanted, self.enter_flags) },
                Some(timeout) => self.enter_for(fd, count, wanted, timeout),
            };
            match result {
                // The time is over; a signal came; no memory for entries or room for
                // completions: what was not taken stays queued.
                Ok(_) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut completed = self.completed.borrow_mut();
        let before = completed.len();
        // One by one: `extend` takes four times as long for a few.
        for entry in ring.completion() {
            let (token, result, flags) = (entry.user_data(), entry.result(), entry.flags());
            #[cfg(test)]
            let result = crate::faults::result_of(token, result);
            if !cqueue::more(flags) {
                self.any_ended.set(true);
            }
            completed.push_back(Completed { token, result, flags });
        }
        let brought = completed.len() - before;
        self.unseen.set(self.unseen.get() + brought);
        self.brought.set(brought > 0);
        Ok(())
    }

    /// The call with a timeout.
    #[allow(unsafe_code, reason = "the system call")]
    fn enter_for(
        &self,
        ring: BorrowedFd<'_>,
        count: u32,
        wanted: u32,
        timeout: Duration,
    ) -> Result<u32, Errno> {
        let time = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        let argument = io_uring_getevents_arg {
            ts: io_uring_ptr::from((&raw const time).cast_mut().cast()),
            ..io_uring_getevents_arg::default()
        };
        let flags = self.enter_flags | IoringEnterFlags::EXT_ARG;
        // SAFETY: with EXT_ARG the argument is an `io_uring_getevents_arg`; it and the time live across the
        // call. The entries are the promise of `start`.
        unsafe { io_uring_enter_arg(ring, count, wanted, flags, Some(&argument)) }
    }

    /// Gives `on` the tokens of the operations that are over since the last call: the kernel is
    /// done with their memory, though their completions may not be handled yet.
    pub(super) fn ended(&self, mut on: impl FnMut(u64)) {
        if !self.any_ended.replace(false) {
            self.unseen.set(0);
            return;
        }
        let completed = self.completed.borrow();
        let first = completed.len().saturating_sub(self.unseen.replace(0));
        for completion in completed.range(first..).filter(|completion| !completion.has_more()) {
            if super::token::parse(completion.token)
                .is_some_and(|(_, kind)| kind != super::token::Kind::Cancel)
            {
                self.in_flight.set(self.in_flight.get().saturating_sub(1));
            }
            on(completion.token);
        }
    }

    /// The oldest completion that is not handled.
    pub(super) fn next(&self) -> Option<Completed> {
        debug_assert_eq!(self.unseen.get(), 0, "`ended` comes first");
        self.completed.borrow_mut().pop_front()
    }

    /// How many completions are not handled.
    pub(super) fn waiting(&self) -> usize {
        self.completed.borrow().len()
    }

    /// Whether a completion of this operation waits for which `is` holds.
    pub(super) fn has_waiting(&self, token: u64, is: impl Fn(&Completed) -> bool) -> bool {
        let completed = self.completed.borrow();
        completed.iter().any(|completed| completed.token == token && is(completed))
    }

    /// Operations that the kernel is not done with.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }
}
