//! Waiting until the peer of a pipe has read everything.

#![allow(unsafe_code, reason = "the call blocks, and runs on a thread of the system's pool")]

use std::os::windows::io::{AsRawHandle, BorrowedHandle, OwnedHandle, RawHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::windows::NamedPipe;
use windows_sys::Win32::Storage::FileSystem::FlushFileBuffers;
use windows_sys::Win32::System::IO::CancelIoEx;
use windows_sys::Win32::System::Threading::{QueueUserWorkItem, WT_EXECUTELONGFUNCTION};

use super::Errno;

/// Only a call that blocks tells whether a pipe is empty: the room that the system reports for it is smaller
/// while the peer reads. So the call is made on a thread of the system's pool, as libuv does it.
#[derive(Debug)]
pub(super) struct Flush {
    progress: Arc<Progress>,
    /// The handle of the pipe, which is open at least as long as this exists.
    pipe: RawHandle,
}

#[derive(Debug, Default)]
struct Progress {
    done: AtomicBool,
    cancelled: AtomicBool,
}

/// What the thread gets.
struct Task {
    /// A second handle, so that the pipe can be closed while the thread waits.
    pipe: OwnedHandle,
    progress: Arc<Progress>,
}

impl Flush {
    /// Starts to wait. Call it with no write in progress, and drop the result before the pipe.
    pub(super) fn start(pipe: &NamedPipe) -> Result<Self, Errno> {
        let flush = Self { progress: Arc::default(), pipe: pipe.as_raw_handle() };
        // SAFETY: the handle belongs to `pipe`, which is borrowed.
        let borrowed = unsafe { BorrowedHandle::borrow_raw(flush.pipe) };
        let copy = borrowed.try_clone_to_owned().map_err(Errno::from)?;
        let task =
            Box::into_raw(Box::new(Task { pipe: copy, progress: Arc::clone(&flush.progress) }));
        // SAFETY: `run` gets the task, and no one else uses it.
        if unsafe { QueueUserWorkItem(Some(run), task.cast(), WT_EXECUTELONGFUNCTION) } == 0 {
            let errno = Errno::last();
            // SAFETY: it was made above, and `run` is not called.
            drop(unsafe { Box::from_raw(task) });
            return Err(errno);
        }
        Ok(flush)
    }

    /// One that does not wait.
    pub(super) fn done() -> Self {
        let progress = Progress { done: true.into(), cancelled: false.into() };
        Self { progress: progress.into(), pipe: std::ptr::null_mut() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.progress.done.load(Ordering::Acquire)
    }
}

/// The pipe is closed while the peer has not read everything: the thread must not wait for it.
impl Drop for Flush {
    fn drop(&mut self) {
        if !self.is_done() {
            self.progress.cancelled.store(true, Ordering::Release);
            // SAFETY: the handle is open, and the only call in progress besides the flush is a read whose
            // result is not needed.
            unsafe { CancelIoEx(self.pipe, std::ptr::null()) };
        }
    }
}

unsafe extern "system" fn run(task: *mut core::ffi::c_void) -> u32 {
    // SAFETY: the pool calls this once, with the task of `start`.
    let task = unsafe { Box::from_raw(task.cast::<Task>()) };
    let Task { pipe, progress } = *task;
    if !progress.cancelled.load(Ordering::Acquire) {
        // It fails if the peer has closed the pipe, and then nothing is left to wait for.
        // SAFETY: the handle is open.
        unsafe { FlushFileBuffers(pipe.as_raw_handle()) };
    }
    // The peer gets the end of the stream when the last handle is closed.
    drop(pipe);
    progress.done.store(true, Ordering::Release);
    0
}
