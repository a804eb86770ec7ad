//! Memory that the allocator keeps although it is unused.

/// Returns memory that the allocator keeps unused to the system, if at least `min_bytes` became unused
/// since the last call. Returns whether it did so.
///
/// Many peers that read slowly fill write queues, each up to its high-water mark. The allocator of the
/// C library keeps that memory when the queues are gone, often for good. A server for which this
/// matters calls this function regularly, for example every few seconds from an interval. It traverses
/// the allocator's free lists; returning 500 MiB takes some tens of milliseconds. It affects the whole
/// process. It does nothing with C libraries other than glibc, or with another global allocator. No
/// counterpart in Node.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn return_unused_memory(min_bytes: usize) -> bool {
    use std::sync::atomic::{AtomicUsize, Ordering};

    // The minimum that was unused since memory was returned last. Memory that was returned then still
    // counts as unused until it is used again.
    static LEAST: AtomicUsize = AtomicUsize::new(0);
    let unused = unused_bytes();
    let least = LEAST.fetch_min(unused, Ordering::Relaxed).min(unused);
    if unused - least < min_bytes.max(1) {
        return false;
    }
    trim();
    LEAST.store(unused_bytes(), Ordering::Relaxed);
    true
}

/// Other allocators return memory automatically, or never.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_unused_memory(_min_bytes: usize) -> bool {
    false
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the allocator has no safe interface")]
fn unused_bytes() -> usize {
    // SAFETY: takes nothing, and returns a struct of numbers; safe in several threads (mallinfo(3)).
    let unused = unsafe { libc::mallinfo() }.fordblks;
    // The number wraps around at 4 GiB: mallinfo2, where it does not, needs a newer C library.
    usize::try_from(u32::from_ne_bytes(unused.to_ne_bytes())).unwrap_or(usize::MAX)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the allocator has no safe interface")]
fn trim() {
    // SAFETY: takes a number, and gives back only memory that is not in use (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}
