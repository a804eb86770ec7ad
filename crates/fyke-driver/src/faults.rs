//! Makes system calls fail for tests. In other builds these functions are empty.

use crate::system::Errno;

/// A system call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Accept,
    Connect,
    /// Querying the result of a connect.
    ConnectResult,
    Receive,
    Send,
    Shutdown,
}

/// Fails in place of the system call, if a test has requested it.
#[cfg(not(all(test, uring)))]
#[inline(always)]
pub(crate) const fn fault(_: Call) -> Result<(), Errno> {
    Ok(())
}

#[cfg(all(test, uring))]
pub(crate) use injected::*;

#[cfg(all(test, uring))]
mod injected {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    use super::{Call, Errno};

    thread_local! {
        static ARMED: Cell<Option<(Call, Errno, usize)>> = const { Cell::new(None) };
        static HITS: Cell<usize> = const { Cell::new(0) };
        /// The number of times that each call was made, in the order of `Call`.
        static MADE: Cell<[usize; 6]> = const { Cell::new([0; 6]) };
        /// The results of ring operations that were replaced by operations without effect.
        static RESULTS: RefCell<HashMap<u64, i32>> = RefCell::default();
    }

    /// The next `times` calls on this thread fail with `errno`.
    pub(crate) fn inject(call: Call, errno: Errno, times: usize) {
        ARMED.set(Some((call, errno, times)));
    }

    /// The number of calls that failed by request since `clear`.
    pub(crate) fn hits() -> usize {
        HITS.get()
    }

    /// The number of calls since `clear`, with any result.
    pub(crate) fn made(call: Call) -> usize {
        MADE.get()[call as usize]
    }

    /// Makes all calls succeed again.
    pub(crate) fn clear() {
        ARMED.set(None);
        HITS.set(0);
        MADE.set([0; 6]);
    }

    pub(crate) fn fault(call: Call) -> Result<(), Errno> {
        let mut made = MADE.get();
        made[call as usize] += 1;
        MADE.set(made);
        let Some((armed, errno, times)) = ARMED.get().filter(|(armed, ..)| *armed == call) else {
            return Ok(());
        };
        HITS.set(HITS.get() + 1);
        ARMED.set((times > 1).then_some((armed, errno, times - 1)));
        Err(errno)
    }

    /// Makes a ring operation fail: the kernel gets an operation without effect.
    pub(crate) fn instead_of(
        call: Call,
        token: u64,
        entry: io_uring::squeue::Entry,
    ) -> io_uring::squeue::Entry {
        let Err(errno) = fault(call) else { return entry };
        RESULTS.with_borrow_mut(|results| results.insert(token, -errno.raw_os_error()));
        io_uring::opcode::Nop::new().build()
    }

    /// The result that the test has requested for an operation.
    pub(crate) fn result_of(token: u64, result: i32) -> i32 {
        RESULTS.with_borrow_mut(|results| results.remove(&token)).unwrap_or(result)
    }
}

#[cfg(test)]
#[cfg(uring)]
mod tests;
