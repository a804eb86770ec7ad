//! The pool of buffers that the kernel receives into. An idle socket holds no buffer.
//!
//! With `IOU_PBUF_RING_INC` (Linux 6.12) the kernel fills a buffer incrementally, with bytes for any
//! socket, so small messages are packed densely. On older kernels each receive takes a whole buffer. The
//! kernel fills and reports the bytes of one buffer in order, so [`Buffers`] counts how far each buffer
//! is filled.
//!
//! [`Buffers`] owns the memory. It is a field of the driver, which frees it after it has drained and
//! closed the ring. No reference to memory that the kernel may write exists at any time: only reported
//! ranges are lent, until their buffer is returned to the kernel.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;
use crate::limits::READ_BUFFER_BYTES;

/// The only group of buffers.
pub(super) const GROUP: u16 = 0;

/// IOU_PBUF_RING_INC of `linux/io_uring.h`.
const INCREMENTAL: u16 = 2;

/// How the pool is divided into buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// A power of two.
    entries: u16,
    bytes: usize,
    incremental: bool,
}

impl Shape {
    /// Large buffers, so that the end of a buffer rarely cuts received bytes; both together are small
    /// enough to stay in a cache.
    pub(super) const INCREMENTAL: Self =
        Self { entries: 2, bytes: 8 * READ_BUFFER_BYTES, incremental: true };

    /// Each buffer is as large as a read of the readiness backend, so that bytes arrive in the same
    /// pieces. A message of one byte also takes a whole buffer, so there are many buffers; of most of
    /// them only the beginning is touched.
    pub(super) const WHOLE: Self =
        Self { entries: 64, bytes: READ_BUFFER_BYTES, incremental: false };

    /// Small enough to run out of buffers at once.
    #[cfg(test)]
    pub(super) const fn tiny(incremental: bool) -> Self {
        Self { entries: 2, bytes: 1024, incremental }
    }

    /// The number of receivers to arm again after the pool was empty. If all were armed, most would only
    /// find it empty again.
    pub(super) fn receivers(self) -> usize {
        usize::from(self.entries) * if self.incremental { 64 } else { 1 }
    }
}

pub(super) struct Buffers {
    shape: Shape,
    /// The descriptions of free buffers, shared with the kernel.
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    tail: Cell<u16>,
    /// How far each buffer is filled.
    filled: Box<[Cell<usize>]>,
}

impl Buffers {
    /// Allocates the pool and registers it: incremental if the kernel supports it, otherwise with whole
    /// buffers.
    pub(super) fn new(ring: &Ring) -> io::Result<Self> {
        Self::with_shape(ring, Shape::INCREMENTAL).or_else(|_| Self::with_shape(ring, Shape::WHOLE))
    }

    #[allow(unsafe_code, reason = "memory that is shared with the kernel")]
    pub(super) fn with_shape(ring: &Ring, shape: Shape) -> io::Result<Self> {
        let buffers = Self {
            shape,
            entries: allocate(shape.entries_layout()).cast(),
            memory: allocate(shape.memory_layout()),
            tail: Cell::new(0),
            filled: (0..shape.entries).map(|_| Cell::new(0)).collect(),
        };
        let flags = if shape.incremental { INCREMENTAL } else { 0 };
        let address = buffers.entries.as_ptr() as u64;
        // SAFETY: both allocations belong to `buffers`, whose owner drops it after the ring is closed
        // with nothing in flight, see `Drop` of the driver. If this call fails, the kernel has kept no
        // reference.
        unsafe { ring.register_buffers(address, shape.entries, GROUP, flags)? };
        for buffer in 0..shape.entries {
            buffers.offer(buffer);
        }
        Ok(buffers)
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Lends the next `bytes` bytes of a buffer. Must be called in the order of the kernel's reports.
    /// Returns `None` if the buffer or the range is not part of the pool. If the buffer is used up, it
    /// returns to the kernel when the loan ends.
    pub(super) fn lend(&self, buffer: u16, bytes: usize) -> Option<Lent<'_>> {
        let filled = self.filled.get(usize::from(buffer))?;
        let start = filled.get();
        let end = start.checked_add(bytes).filter(|end| *end <= self.shape.bytes)?;
        filled.set(end);
        // An end-of-stream may also refer to a buffer: it does not use up an incremental one.
        let used_up = if self.shape.incremental { end == self.shape.bytes } else { true };
        Some(Lent { buffers: self, buffer, start, bytes, used_up })
    }

    /// Appends a buffer to the queue of free buffers.
    #[allow(unsafe_code, reason = "memory that is shared with the kernel")]
    fn offer(&self, buffer: u16) {
        let index = usize::from(buffer);
        self.filled[index].set(0);
        let tail = self.tail.get();
        let place = usize::from(tail & (self.shape.entries - 1));
        // SAFETY: `index` and `place` are below the number of entries, see the layouts. The kernel
        // does not look at the entry before the tail has passed it, and only one thread writes.
        unsafe {
            let entry = &mut *self.entries.as_ptr().add(place);
            entry.set_addr(self.memory.as_ptr().add(index * self.shape.bytes) as u64);
            entry.set_len(u32::try_from(self.shape.bytes).unwrap_or(u32::MAX));
            entry.set_bid(buffer);
        }
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the tail lies in the first entry, in the two bytes that no entry uses; it is
        // aligned, and both sides use it atomically.
        let shared =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        shared.store(self.tail.get(), Ordering::Release);
    }
}

impl Drop for Buffers {
    #[allow(unsafe_code, reason = "memory that is shared with the kernel")]
    fn drop(&mut self) {
        // SAFETY: allocated with the same layouts. The kernel is done with it: the driver has
        // drained and closed the ring before, or leaks the pool.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), self.shape.entries_layout());
            dealloc(self.memory.as_ptr(), self.shape.memory_layout());
        }
    }
}

/// Received bytes, valid until dropped. If the buffer is used up, it then returns to the kernel, also if
/// a callback panics.
pub(super) struct Lent<'a> {
    buffers: &'a Buffers,
    buffer: u16,
    start: usize,
    bytes: usize,
    used_up: bool,
}

impl Lent<'_> {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    #[allow(unsafe_code, reason = "memory that is shared with the kernel")]
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        let offset = usize::from(self.buffer) * self.buffers.shape.bytes + self.start;
        // SAFETY: the range lies within the buffer (`lend`) and was initialised when it was allocated.
        // The kernel has reported it and writes only behind it, until the buffer returns to the kernel,
        // which happens when `self` is dropped, or later. No other loan has this range (`lend`).
        unsafe {
            std::slice::from_raw_parts_mut(self.buffers.memory.as_ptr().add(offset), self.bytes)
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.used_up {
            self.buffers.offer(self.buffer);
        }
    }
}

impl Shape {
    fn entries_layout(self) -> Layout {
        Layout::array::<BufRingEntry>(self.entries.into())
            .and_then(|layout| layout.align_to(page_bytes()))
            .expect("the entries take a few kilobytes")
    }

    fn memory_layout(self) -> Layout {
        Layout::array::<u8>(usize::from(self.entries) * self.bytes)
            .expect("the buffers take a few megabytes")
    }
}

/// The alignment that the kernel requires of memory that it maps.
#[allow(unsafe_code, reason = "valgrind does not support the way rustix reads it")]
fn page_bytes() -> usize {
    // SAFETY: a number goes in and a number comes out.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // No system has larger pages.
    usize::try_from(bytes).unwrap_or(64 * 1024)
}

#[allow(unsafe_code, reason = "memory that is shared with the kernel")]
fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout of this file is empty.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
