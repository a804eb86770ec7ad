//! Memory of the caller that is read into: it need not be initialised, and no crate above needs unsafe code
//! for it.

#![allow(unsafe_code, reason = "uninitialised memory becomes initialised here")]

use std::mem::MaybeUninit;
#[cfg(any(feature = "tokio", feature = "hyper"))]
use std::task::Poll;

/// Memory to read into, initialised or not. Made from `&mut [u8]`, or from `&mut [MaybeUninit<u8>]`, such as
/// the [spare capacity](Vec::spare_capacity_mut) of a vector.
///
/// Only this crate can write to it, and it writes nothing that is uninitialised: so it is safe to make one
/// from initialised memory.
#[derive(Debug)]
pub struct Unfilled<'a>(&'a mut [MaybeUninit<u8>]);

impl<'a> Unfilled<'a> {
    /// How many bytes fit in.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no byte fits in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The memory, for a call that fills it.
    ///
    /// # Safety
    /// Nothing uninitialised is written to it.
    #[cfg(unix)]
    pub(crate) unsafe fn as_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0
    }

    /// The first `count` bytes.
    ///
    /// # Safety
    /// They are initialised.
    pub(crate) unsafe fn assume_init(self, count: usize) -> &'a mut [u8] {
        let front = &raw mut self.0[..count];
        // SAFETY: the layout is the same (`MaybeUninit`), the bytes are initialised by the caller's promise,
        // and the borrow goes on under the new type.
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
        // SAFETY: the layout is the same (`MaybeUninit`). The bytes stay initialised: see `Unfilled`.
        Self(unsafe { &mut *(memory as *mut [MaybeUninit<u8>]) })
    }
}

/// Copies as many bytes as fit. Returns the copy.
pub fn copy_into<'a>(bytes: &[u8], buffer: impl Into<Unfilled<'a>>) -> &'a mut [u8] {
    let buffer = buffer.into();
    let count = bytes.len().min(buffer.len());
    // SAFETY: `count` bytes lie within both, and the two do not overlap, because one is borrowed mutably. They
    // are initialised then.
    unsafe {
        bytes.as_ptr().copy_to_nonoverlapping(buffer.0.as_mut_ptr().cast(), count);
        buffer.assume_init(count)
    }
}

/// Appends what `read` reads into the free capacity of `buffer`, without allocating. Returns how many bytes
/// these are.
pub(crate) fn append<E>(
    buffer: &mut Vec<u8>,
    read: impl for<'b> FnOnce(Unfilled<'b>) -> Result<&'b mut [u8], E>,
) -> Result<usize, E> {
    let free = buffer.spare_capacity_mut();
    let place = free.as_ptr().cast();
    let count = count_at(place, free.len(), read(free.into())?);
    // SAFETY: the bytes behind the length are initialised, and within the capacity: see `count_at`.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Fills `buffer` with what `read` reads into the memory that it is passed. Returns how many bytes these are: 0
/// is the end of the stream. The result has the form in which `AsyncRead::poll_read` needs it.
///
/// # Panics
/// If `read` returns bytes that are not the first ones of that memory.
#[cfg(feature = "tokio")]
pub fn fill_read_buf<E>(
    buffer: &mut tokio::io::ReadBuf<'_>,
    read: impl for<'b> FnOnce(Unfilled<'b>) -> Poll<Result<&'b mut [u8], E>>,
) -> Poll<Result<usize, E>> {
    // SAFETY: nothing uninitialised is written: see `Unfilled`.
    let free = unsafe { buffer.unfilled_mut() };
    let (place, room) = (free.as_ptr().cast(), free.len());
    let read = read(free.into()).map_ok(|bytes| count_at(place, room, bytes));
    read.map_ok(|count| {
        // SAFETY: the first `count` bytes are initialised: see `count_at`.
        unsafe { buffer.assume_init(count) };
        buffer.advance(count);
        count
    })
}

/// Fills `cursor` with what `read` reads into the memory that it is passed. Returns how many bytes these are: 0
/// is the end of the stream. The result has the form in which `hyper::rt::Read::poll_read` needs it.
///
/// # Panics
/// If `read` returns bytes that are not the first ones of that memory.
#[cfg(feature = "hyper")]
pub fn fill_cursor<E>(
    mut cursor: hyper::rt::ReadBufCursor<'_>,
    read: impl for<'b> FnOnce(Unfilled<'b>) -> Poll<Result<&'b mut [u8], E>>,
) -> Poll<Result<usize, E>> {
    // SAFETY: nothing uninitialised is written: see `Unfilled`.
    let free = unsafe { cursor.as_mut() };
    let (place, room) = (free.as_ptr().cast(), free.len());
    let read = read(free.into()).map_ok(|bytes| count_at(place, room, bytes));
    read.map_ok(|count| {
        // SAFETY: the first `count` bytes are initialised: see `count_at`.
        unsafe { cursor.advance(count) };
        count
    })
}

/// How many bytes lie at the beginning of the `room` bytes at `place`: exactly `bytes`, which are initialised
/// because they are `u8`.
///
/// # Panics
/// If `bytes` lie elsewhere.
fn count_at(place: *const u8, room: usize, bytes: &[u8]) -> usize {
    let within = bytes.as_ptr() == place && bytes.len() <= room;
    assert!(within || bytes.is_empty(), "what was read is elsewhere");
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_bytes_are_copied_as_fit() {
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
    fn bytes_are_appended_within_the_capacity() {
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
    #[should_panic(expected = "what was read is elsewhere")]
    fn bytes_that_were_read_elsewhere_are_refused() {
        let mut buffer = Vec::with_capacity(4);
        let _ = append::<()>(&mut buffer, |_| Ok(Box::leak(Box::new([1]))));
    }

    #[test]
    #[should_panic(expected = "what was read is elsewhere")]
    fn bytes_that_do_not_begin_where_the_memory_begins_are_refused() {
        let mut buffer = Vec::with_capacity(4);
        let _ = append::<()>(&mut buffer, |free| Ok(&mut copy_into(b"abc", free)[1..]));
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_buffer_of_tokio_is_filled_behind_what_it_contains() {
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
        // What was initialised before stays so.
        let mut memory = [9; 4];
        let mut buffer = ReadBuf::new(&mut memory);
        let _ = fill_read_buf::<()>(&mut buffer, |free| Poll::Ready(Ok(copy_into(b"a", free))));
        assert_eq!(buffer.initialized(), [b'a', 9, 9, 9]);
    }

    #[cfg(feature = "tokio")]
    #[test]
    #[should_panic(expected = "what was read is elsewhere")]
    fn a_buffer_of_tokio_takes_no_bytes_from_elsewhere() {
        let mut memory = [0; 4];
        let mut buffer = tokio::io::ReadBuf::new(&mut memory);
        let elsewhere = |_: Unfilled<'_>| Poll::Ready(Ok(&mut *Box::leak(Box::new([1]))));
        let _ =
            fill_read_buf::<()>(&mut buffer, |free| elsewhere(free).map_ok(|bytes| &mut bytes[..]));
    }

    #[cfg(feature = "hyper")]
    #[test]
    fn a_buffer_of_hyper_is_filled_behind_what_it_contains() {
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
    #[should_panic(expected = "what was read is elsewhere")]
    fn a_buffer_of_hyper_takes_no_bytes_from_elsewhere() {
        let mut memory = [0; 4];
        let mut buffer = hyper::rt::ReadBuf::new(&mut memory);
        let _ = fill_cursor::<()>(buffer.unfilled(), |_| {
            Poll::Ready(Ok(&mut Box::leak(Box::new([1]))[..]))
        });
    }
}
