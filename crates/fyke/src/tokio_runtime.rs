//! Runs an event loop inside a tokio runtime.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use fyke_driver::watch_with_tokio;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep_until};

use crate::event_loop::EventLoop;
use crate::wiring::Entered;
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

impl EventLoop {
    /// Runs the loop as a tokio task, until nothing keeps it alive. Use it on a current-thread runtime, next
    /// to other tokio tasks. These can use the loop's [`SocketStream`](crate::SocketStream)s, and the loop's
    /// callbacks and tasks can use tokio's sockets, timers and channels.
    ///
    /// tokio waits for the loop: for its descriptor with an `AsyncFd`, and for its next deadline with a
    /// timer. Other tokio tasks run between the loop's turns. While it is driven, the loop is the current one
    /// of its thread, so tokio tasks can call functions such as [`connect`](crate::connect).
    ///
    /// Cancel safe: if the future is dropped, the loop stops, and another call continues it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// runtime.block_on(async {
    ///     let event_loop = fyke::EventLoop::new()?;
    ///     let task = event_loop.enter(|| fyke::spawn_local(async {
    ///         let server = fyke::create_server(|socket| { socket.end_with("hello"); });
    ///         server.listen(("127.0.0.1", 0))?;
    ///         server.listening().await?;
    ///         // A timer of tokio, and a stream of fyke.
    ///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    ///         let mut stream = fyke::SocketStream::connect(server.endpoint().unwrap()).await?;
    ///         assert_eq!(stream.read_to_end().await?, b"hello");
    ///         server.close();
    ///         Ok::<_, fyke::Error>(())
    ///     }))?;
    ///     event_loop.drive().await?;
    ///     Ok(task.await??)
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`turn`](Self::turn), after which the call can be repeated. `ENOTSUP` with the simulated
    /// network, which has no descriptor. `ERR_EVENT_LOOP_BUSY` if another call already drives the loop.
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime, or if the runtime's I/O driver or timer is not enabled.
    pub async fn drive(&self) -> Result<()> {
        let _hosted = Hosted::begin(&self.core().hosted)?;
        let _entered = Entered::new(self.core());
        let fd = self.as_fd().ok_or_else(|| {
            Error::new(ErrorCode::ENOTSUP, "the simulated network has no descriptor to wait for")
        })?;
        let fd = watch_with_tokio(fd).map_err(|source| Error::system("epoll_ctl", source))?;
        let mut alarm = Alarm::default();
        while self.turn(Some(Duration::ZERO))? {
            let deadline = self.next_deadline();
            if deadline.is_some_and(|at| at <= Instant::now()) {
                tokio::task::yield_now().await;
            } else {
                wait(&fd, &mut alarm, deadline).await?;
            }
        }
        Ok(())
    }
}

async fn wait(
    fd: &AsyncFd<BorrowedFd<'_>>,
    alarm: &mut Alarm,
    deadline: Option<Instant>,
) -> Result<()> {
    poll_fn(|cx| {
        if let Poll::Ready(ready) = fd.poll_read_ready(cx) {
            // The flag is cleared before the turn, which handles all pending events. An event during the turn
            // sets it again.
            let ready = ready.map(|mut ready| ready.clear_ready());
            return Poll::Ready(ready.map_err(|source| Error::system("epoll_wait", source)));
        }
        match deadline {
            Some(deadline) => alarm.until(deadline).poll(cx).map(Ok),
            None => Poll::Pending,
        }
    })
    .await
}

/// A tokio timer. It is reset only for an earlier deadline, because most deadlines move with every message.
/// So it may end a wait too early, which is harmless.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn until(&mut self, deadline: Instant) -> Pin<&mut Sleep> {
        let deadline = deadline.into();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.is_elapsed() || sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut()
    }
}

/// Marks the loop as driven by tokio until it is dropped.
struct Hosted<'a>(&'a Cell<bool>);

impl<'a> Hosted<'a> {
    fn begin(hosted: &'a Cell<bool>) -> Result<Self> {
        if hosted.replace(true) {
            let message = "another call already drives this event loop";
            return Err(Error::new(ErrorCode::ERR_EVENT_LOOP_BUSY, message));
        }
        Ok(Self(hosted))
    }
}

impl Drop for Hosted<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
