//! The pool of buffers that the kernel receives into: a socket that is idle holds none.
//!
//! With `IOU_PBUF_RING_INC` (6.12) the kernel fills a buffer bit by bit, with what comes for any
//! socket, and small messages lie densely; before that each receive takes a whole buffer. The bytes
//! of one buffer are filled, and reported, in order, so how far each one is filled is counted here.
//!
//! Owner of the memory: [`Buffers`], which is a field of the driver and goes after the ring was
//! drained and closed. Nothing here is ever a reference to memory that the kernel may write: only
//! ranges that were reported are lent, until they are given back.

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

/// How the pool is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// A power of two.
    entries: u16,
    bytes: usize,
    incremental: bool,
}

impl Shape {
    /// Large, so that what comes in one piece is seldom cut by the end of a buffer; and both together
    /// so small that they stay in a cache.
    pub(super) const INCREMENTAL: Self =
        Self { entries: 2, bytes: 8 * READ_BUFFER_BYTES, incremental: true };

    /// As large as a read of readiness, so that bytes come in the same pieces. A message of one byte
    /// takes a whole buffer too: so there are many, but most are touched at their beginning only.
    pub(super) const WHOLE: Self =
        Self { entries: 64, bytes: READ_BUFFER_BYTES, incremental: false };

    /// So small that it runs dry at once.
    #[cfg(test)]
    pub(super) const fn tiny(incremental: bool) -> Self {
        Self { entries: 2, bytes: 1024, incremental }
    }

    /// Receivers that may be armed again when the pool has run dry. If all were, most would only
    /// find it dry again.
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
    /// Makes the pool and registers it: incremental, where the kernel can.
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
        // SAFETY: both pieces of memory belong to `buffers`, whose owner drops it after the ring is
        // closed with nothing in flight, see `Drop` of the driver. If this fails the kernel has
        // kept nothing.
        unsafe { ring.register_buffers(address, shape.entries, GROUP, flags)? };
        for buffer in 0..shape.entries {
            buffers.offer(buffer);
        }
        Ok(buffers)
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// What the kernel has just reported of a buffer, in the order of its reports; none if it is
    /// not one of ours. It is given back to the kernel when the loan ends, if it is full.
    pub(super) fn lend(&self, buffer: u16, bytes: usize) -> Option<Lent<'_>> {
        let filled = self.filled.get(usize::from(buffer))?;
        let start = filled.get();
        let end = start.checked_add(bytes).filter(|end| *end <= self.shape.bytes)?;
        filled.set(end);
        // An end-of-stream may name a buffer too: an incremental one is not used up by it.
        let used_up = if self.shape.incremental { end == self.shape.bytes } else { true };
        Some(Lent { buffers: self, buffer, start, bytes, used_up })
    }

    /// Puts a buffer behind the free ones.
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

/// Received bytes, until dropped. Then the buffer goes back, also when a callback panics.
pub(super) struct Lent<'a> {
    buffers: &'a Buffers,
    buffer: u16,
    start: usize,
    bytes: usize,
    used_up: bool,
}

impl Lent<'_> {
    #[allow(unsafe_code, reason = "memory that is shared with the kernel")]
    pub(super) fn as_slice(&self) -> &[u8] {
        let offset = usize::from(self.buffer) * self.buffers.shape.bytes + self.start;
        // SAFETY: the range lies within the buffer (`lend`) and was initialised when it was
        // allocated. The kernel has reported it and writes behind it only, until the buffer is
        // given back, which happens when `self` is dropped, or later.
        unsafe { std::slice::from_raw_parts(self.buffers.memory.as_ptr().add(offset), self.bytes) }
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
            .expect("a few kilobytes")
    }

    fn memory_layout(self) -> Layout {
        Layout::array::<u8>(usize::from(self.entries) * self.bytes).expect("a few megabytes")
    }
}

/// Where the kernel wants memory that it maps to begin.
#[allow(unsafe_code, reason = "rustix reads it where valgrind does not let it")]
fn page_bytes() -> usize {
    // SAFETY: a number goes in and a number comes out.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // No system has larger ones.
    usize::try_from(bytes).unwrap_or(64 * 1024)
}

#[allow(unsafe_code, reason = "memory that is shared with the kernel")]
fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout of this file is empty.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
