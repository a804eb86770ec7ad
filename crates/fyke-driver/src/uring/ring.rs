//! The two queues that are shared with the kernel, and the one system call that processes them.
//!
//! `SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1): the kernel does its part of the work only inside the
//! driver's `enter`, so it interrupts nothing and completions arrive in batches. SQPOLL is not used: a
//! library must not decide to start a kernel thread that busy-waits.

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

/// The capacity of the submission queue; when the queue is full, it is submitted early.
const SUBMISSIONS: u32 = 512;

/// The capacity of the completion queue. Beyond it the kernel keeps completions in a list, which is slow
/// (io_uring_setup(2), IORING_FEAT_NODROP). One `enter` returns the completions of about twenty
/// operations, each up to 32 times, and those of the submitted entries.
const COMPLETIONS: u32 = 4 * 1024;

/// The initial capacity for completions that were taken out of the queue: a turn rarely has more.
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
    /// Whether the operation remains armed and completes again.
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
    /// The number of completions at the end of `completed` that [`ended`](Self::ended) has not seen yet.
    unseen: Cell<usize>,
    /// Whether one of the unseen completions is the last one of its operation.
    any_ended: Cell<bool>,
    /// Whether the last `enter` returned completions. If so, the kernel may have deferred more work
    /// without reporting it: it processes about twenty items at a time, and IORING_SQ_TASKRUN reports
    /// only new ones.
    brought: Cell<bool>,
    /// The number of operations whose last completion has not been seen. While it is not zero, the kernel
    /// may touch memory.
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
            // A sleeping server is idle and does not wait for a disk (Linux 6.15).
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
    /// The memory at `address`, and every buffer that is ever listed in it, stays valid and is not
    /// touched by others until the ring is closed and nothing is in flight.
    #[allow(unsafe_code, reason = "the caller upholds the safety contract")]
    pub(super) unsafe fn register_buffers(
        &self,
        address: u64,
        entries: u16,
        group: u16,
        flags: u16,
    ) -> io::Result<()> {
        let ring = self.ring.borrow();
        // SAFETY: guaranteed by the caller.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, entries, group, flags) }
    }

    /// Makes the kernel signal `eventfd` when there are completions or deferred work.
    pub(super) fn register_eventfd(&self, eventfd: std::os::fd::RawFd) -> io::Result<()> {
        self.ring.borrow().submitter().register_eventfd(eventfd)
    }

    /// Queues an operation. The next [`enter`](Self::enter) submits it.
    ///
    /// # Safety
    /// The descriptor and the memory that the entry refers to stay valid until the last completion of the
    /// operation has been seen, or the ring is closed and nothing is in flight.
    ///
    /// # Errors
    /// Fails with EBUSY if the queue is full and the kernel accepts no more entries; nothing is queued
    /// then.
    #[allow(unsafe_code, reason = "the caller upholds the safety contract")]
    pub(super) unsafe fn start(&self, entry: &squeue::Entry) -> io::Result<()> {
        self.push(entry)?;
        self.in_flight.set(self.in_flight.get() + 1);
        Ok(())
    }

    /// Queues a cancellation of the operation with that token. A failed cancellation completes with the
    /// token `own`.
    pub(super) fn cancel(&self, token: u64, own: u64) -> io::Result<()> {
        let cancel = io_uring::opcode::AsyncCancel::new(token).build();
        self.push(&cancel.user_data(own).flags(squeue::Flags::SKIP_SUCCESS))
    }

    /// Queues a cancellation of all operations. A failed cancellation completes with the token `own`.
    pub(super) fn cancel_all(&self, own: u64) -> io::Result<()> {
        let any = io_uring::types::CancelBuilder::any();
        let cancel = io_uring::opcode::AsyncCancel2::new(any).build();
        self.push(&cancel.user_data(own).flags(squeue::Flags::SKIP_SUCCESS))
    }

    #[allow(unsafe_code, reason = "puts an entry into the queue")]
    fn push(&self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller of `start` guarantees the memory and the descriptor; a cancellation refers
        // to none.
        let pushed = unsafe { self.ring.borrow_mut().submission().push(entry) };
        if pushed.is_ok() {
            return Ok(());
        }
        // The queue is full. If the kernel refused entries because the completion queue had no room, it
        // accepts them after completions were taken out.
        self.enter(0, None)?;
        // SAFETY: as above.
        unsafe { self.ring.borrow_mut().submission().push(entry) }.map_err(|_| Errno::BUSY.into())
    }

    /// Submits the queue, lets the kernel do its deferred work, waits until there are `wanted`
    /// completions or `timeout` has elapsed, and takes the completions out. Returns how many. The kernel receives and
    /// sends only inside this call.
    #[allow(unsafe_code, reason = "the system call")]
    pub(super) fn enter(&self, wanted: u32, timeout: Option<Duration>) -> io::Result<usize> {
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
                // SAFETY: the callers of `start` guarantee what the entries refer to.
                None => unsafe { io_uring_enter(fd, count, wanted, self.enter_flags) },
                Some(timeout) => self.enter_for(fd, count, wanted, timeout),
            };
            match result {
                // The timeout has elapsed, a signal arrived, or there is no memory for entries or no room
                // for completions: entries that the kernel did not accept stay queued.
                Ok(_) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut completed = self.completed.borrow_mut();
        let before = completed.len();
        // One by one: `extend` takes four times as long for a few completions.
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
        Ok(brought)
    }

    /// The system call with a timeout.
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
        // SAFETY: with EXT_ARG the argument is an `io_uring_getevents_arg`; it and the time outlive the
        // call. The callers of `start` guarantee what the entries refer to.
        unsafe { io_uring_enter_arg(ring, count, wanted, flags, Some(&argument)) }
    }

    /// Passes the tokens of the operations that ended since the last call to `on`: the kernel is done
    /// with their memory, though their completions may not be handled yet.
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

    /// Takes the oldest completion that is not handled yet.
    pub(super) fn next(&self) -> Option<Completed> {
        debug_assert_eq!(self.unseen.get(), 0, "`ended` must be called before `next`");
        self.completed.borrow_mut().pop_front()
    }

    /// The number of completions that are not handled yet.
    pub(super) fn waiting(&self) -> usize {
        self.completed.borrow().len()
    }

    /// Whether an unhandled completion of this operation satisfies `is`.
    pub(super) fn has_waiting(&self, token: u64, is: impl Fn(&Completed) -> bool) -> bool {
        let completed = self.completed.borrow();
        completed.iter().any(|completed| completed.token == token && is(completed))
    }

    /// The number of operations that the kernel is not done with.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }
}
