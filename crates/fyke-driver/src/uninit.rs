//! Memory of the caller that a read fills. It may be uninitialised, and crates that use it need no unsafe
//! code.

#![allow(unsafe_code, reason = "uninitialised memory becomes initialised here")]

use std::mem::MaybeUninit;
#[cfg(any(feature = "tokio", feature = "hyper"))]
use std::task::Poll;

/// Memory to read into, initialised or not. It is created from `&mut [u8]` or `&mut [MaybeUninit<u8>]`, such
/// as the [spare capacity](Vec::spare_capacity_mut) of a vector.
///
/// Only this crate can write to it, and it never writes uninitialised bytes, so initialised memory stays
/// initialised.
#[derive(Debug)]
pub struct Unfilled<'a>(&'a mut [MaybeUninit<u8>]);

impl<'a> Unfilled<'a> {
    /// Returns how many bytes fit into the memory.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the memory has no room.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the memory, for a call that fills it.
    ///
    /// # Safety
    /// The caller must not write uninitialised bytes to it.
    #[cfg(any(unix, windows))]
    pub(crate) unsafe fn as_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0
    }

    /// Returns the first `count` bytes.
    ///
    /// # Safety
    /// The first `count` bytes must be initialised.
    pub(crate) unsafe fn assume_init(self, count: usize) -> &'a mut [u8] {
        let front = &raw mut self.0[..count];
        // SAFETY: the layout is the same (`MaybeUninit`), the caller promises that the bytes are initialised,
        // and the borrow continues with the new type.
        unsafe { &mut *(front as *mut [u8]) }
    }
}

impl<'a> From<&'a mut [MaybeUninit<u8>]> for Unfilled<'a> {
    fn from(memory: &'a mut [MaybeUninit<u8>]) -> Self {
        Self(memory)
    }
}

impl<'a> From<&'a mut [u8]> for Unfilled<'a> {
    fn from(memory: &'a mut [u8]) -> Self {
        let memory = &raw mut *memory;
        // SAFETY: the layout is the same (`MaybeUninit`). The bytes stay initialised, see `Unfilled`.
        Self(unsafe { &mut *(memory as *mut [MaybeUninit<u8>]) })
    }
}

/// Copies as many of `bytes` as fit into `buffer`, and returns the copy.
pub fn copy_into<'a>(bytes: &[u8], buffer: impl Into<Unfilled<'a>>) -> &'a mut [u8] {
    let buffer = buffer.into();
    let count = bytes.len().min(buffer.len());
    // SAFETY: both have at least `count` bytes, and they do not overlap, because one is borrowed mutably. The
    // copied bytes are initialised.
    unsafe {
        bytes.as_ptr().copy_to_nonoverlapping(buffer.0.as_mut_ptr().cast(), count);
        buffer.assume_init(count)
    }
}

/// Appends to `buffer` the bytes that `read` reads into its spare capacity, without allocating. Returns the
/// number of bytes.
pub(crate) fn append<E>(
    buffer: &mut Vec<u8>,
    read: impl for<'b> FnOnce(Unfilled<'b>) -> Result<&'b mut [u8], E>,
) -> Result<usize, E> {
    let free = buffer.spare_capacity_mut();
    let place = free.as_ptr().cast();
    let count = count_at(place, free.len(), read(free.into())?);
    // SAFETY: the `count` bytes after the length are initialised and within the capacity, see `count_at`.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Passes the unfilled memory of `buffer` to `read`, and marks the bytes that it returns as filled. Returns
/// the number of bytes; 0 is the end of the stream. The result has the form that `AsyncRead::poll_read`
/// needs.
///
/// # Panics
/// If `read` returns bytes that are not at the beginning of that memory.
#[cfg(feature = "tokio")]
pub fn fill_read_buf<E>(
    buffer: &mut tokio::io::ReadBuf<'_>,
    read: impl for<'b> FnOnce(Unfilled<'b>) -> Poll<Result<&'b mut [u8], E>>,
) -> Poll<Result<usize, E>> {
    // SAFETY: no uninitialised bytes are written, see `Unfilled`.
    let free = unsafe { buffer.unfilled_mut() };
    let (place, room) = (free.as_ptr().cast(), free.len());
    let read = read(free.into()).map_ok(|bytes| count_at(place, room, bytes));
    read.map_ok(|count| {
        // SAFETY: the first `count` bytes are initialised, see `count_at`.
        unsafe { buffer.assume_init(count) };
        buffer.advance(count);
        count
    })
}

/// Passes the unfilled memory of `cursor` to `read`, and advances over the bytes that it returns. Returns the
/// number of bytes; 0 is the end of the stream. The result has the form that `hyper::rt::Read::poll_read`
/// needs.
///
/// # Panics
/// If `read` returns bytes that are not at the beginning of that memory.
#[cfg(feature = "hyper")]
pub fn fill_cursor<E>(
    mut cursor: hyper::rt::ReadBufCursor<'_>,
    read: impl for<'b> FnOnce(Unfilled<'b>) -> Poll<Result<&'b mut [u8], E>>,
) -> Poll<Result<usize, E>> {
    // SAFETY: no uninitialised bytes are written, see `Unfilled`.
    let free = unsafe { cursor.as_mut() };
    let (place, room) = (free.as_ptr().cast(), free.len());
    let read = read(free.into()).map_ok(|bytes| count_at(place, room, bytes));
    read.map_ok(|count| {
        // SAFETY: the first `count` bytes are initialised, see `count_at`.
        unsafe { cursor.advance(count) };
        count
    })
}

/// Returns the length of `bytes`, after checking that they lie at the beginning of the `room` bytes at
/// `place`. They are initialised, because they are `u8`.
///
/// # Panics
/// If `bytes` lie elsewhere.
fn count_at(place: *const u8, room: usize, bytes: &[u8]) -> usize {
    let within = bytes.as_ptr() == place && bytes.len() <= room;
    assert!(within || bytes.is_empty(), "the read bytes are not in the passed memory");
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_is_limited_by_the_memory() {
        let mut memory = [MaybeUninit::uninit(); 4];
        assert_eq!(copy_into(b"ab", &mut memory[..]), b"ab");
        assert_eq!(copy_into(b"abcdef", &mut memory[..]), b"abcd");
        assert_eq!(copy_into(b"", &mut memory[..]), b"");
        assert_eq!(copy_into(b"ab", &mut memory[..0]), b"");
        let mut initialised = *b"wxyz";
        assert_eq!(copy_into(b"ab", &mut initialised[..]), b"ab");
        assert_eq!(&initialised, b"abyz");
    }

    #[test]
    fn appended_bytes_stay_within_the_capacity() {
        let mut buffer = Vec::with_capacity(4);
        buffer.push(b'<');
        let capacity = buffer.capacity();
        let copied = append::<()>(&mut buffer, |free| Ok(copy_into(b"ab", free)));
        assert_eq!((copied, &buffer[..]), (Ok(2), &b"<ab"[..]));
        let filled = append::<()>(&mut buffer, |free| Ok(copy_into(&[7; 100], free)));
        assert_eq!((filled, buffer.capacity()), (Ok(capacity - 3), capacity));
        assert_eq!(append(&mut buffer, |_| Err("no")), Err("no"));
        assert_eq!(append::<()>(&mut buffer, |_| Ok(&mut [])), Ok(0));
        assert_eq!(buffer.len(), capacity);
    }

    #[test]
    #[should_panic(expected = "the read bytes are not in the passed memory")]
    fn bytes_in_other_memory_are_refused() {
        let mut buffer = Vec::with_capacity(4);
        let _ = append::<()>(&mut buffer, |_| Ok(Box::leak(Box::new([1]))));
    }

    #[test]
    #[should_panic(expected = "the read bytes are not in the passed memory")]
    fn bytes_that_do_not_start_at_the_beginning_of_the_memory_are_refused() {
        let mut buffer = Vec::with_capacity(4);
        let _ = append::<()>(&mut buffer, |free| Ok(&mut copy_into(b"abc", free)[1..]));
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn tokio_buffer_is_filled_after_its_existing_bytes() {
        use tokio::io::ReadBuf;

        let mut memory = [MaybeUninit::uninit(); 6];
        let mut uninitialised = ReadBuf::uninit(&mut memory);
        let mut memory = [9; 6];
        let mut initialised = ReadBuf::new(&mut memory);
        for buffer in [&mut uninitialised, &mut initialised] {
            buffer.put_slice(b"<");
            let read = fill_read_buf::<()>(buffer, |free| Poll::Ready(Ok(copy_into(b"ab", free))));
            assert_eq!((read, buffer.filled()), (Poll::Ready(Ok(2)), &b"<ab"[..]));
            assert_eq!(fill_read_buf::<()>(buffer, |_| Poll::Pending), Poll::Pending);
            let failed = fill_read_buf(buffer, |_| Poll::Ready(Err("no")));
            assert_eq!((failed, buffer.filled().len()), (Poll::Ready(Err("no")), 3));
            let read =
                fill_read_buf::<()>(buffer, |free| Poll::Ready(Ok(copy_into(b"cdefg", free))));
            assert_eq!((read, buffer.filled()), (Poll::Ready(Ok(3)), &b"<abcde"[..]));
            let read = fill_read_buf::<()>(buffer, |free| Poll::Ready(Ok(copy_into(b"g", free))));
            assert_eq!(read, Poll::Ready(Ok(0)));
        }
        // Bytes that were initialised before stay initialised.
        let mut memory = [9; 4];
        let mut buffer = ReadBuf::new(&mut memory);
        let _ = fill_read_buf::<()>(&mut buffer, |free| Poll::Ready(Ok(copy_into(b"a", free))));
        assert_eq!(buffer.initialized(), [b'a', 9, 9, 9]);
    }

    #[cfg(feature = "tokio")]
    #[test]
    #[should_panic(expected = "the read bytes are not in the passed memory")]
    fn tokio_buffer_refuses_bytes_in_other_memory() {
        let mut memory = [0; 4];
        let mut buffer = tokio::io::ReadBuf::new(&mut memory);
        let elsewhere = |_: Unfilled<'_>| Poll::Ready(Ok(&mut *Box::leak(Box::new([1]))));
        let _ =
            fill_read_buf::<()>(&mut buffer, |free| elsewhere(free).map_ok(|bytes| &mut bytes[..]));
    }

    #[cfg(feature = "hyper")]
    #[test]
    fn hyper_buffer_is_filled_after_its_existing_bytes() {
        let mut memory = [MaybeUninit::uninit(); 4];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut memory);
        for (bytes, filled) in [(&b"ab"[..], &b"ab"[..]), (b"cdef", b"abcd"), (b"g", b"abcd")] {
            let before = buffer.filled().len();
            let read = fill_cursor::<()>(buffer.unfilled(), |free| {
                Poll::Ready(Ok(copy_into(bytes, free)))
            });
            assert_eq!(read, Poll::Ready(Ok(filled.len() - before)));
            assert_eq!(buffer.filled(), filled);
        }
        assert_eq!(fill_cursor::<()>(buffer.unfilled(), |_| Poll::Pending), Poll::Pending);
    }

    #[cfg(feature = "hyper")]
    #[test]
    #[should_panic(expected = "the read bytes are not in the passed memory")]
    fn hyper_buffer_refuses_bytes_in_other_memory() {
        let mut memory = [0; 4];
        let mut buffer = hyper::rt::ReadBuf::new(&mut memory);
        let _ = fill_cursor::<()>(buffer.unfilled(), |_| {
            Poll::Ready(Ok(&mut Box::leak(Box::new([1]))[..]))
        });
    }
}
