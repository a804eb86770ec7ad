//! An event loop inside a runtime of tokio.

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
    /// Runs the loop as a task of tokio, until nothing keeps it alive. Use it on a current-thread runtime, next to
    /// tasks of tokio: they can use this loop's [`SocketStream`](crate::SocketStream)s, and its callbacks and tasks
    /// can use tokio's sockets, timers and channels.
    ///
    /// The loop waits with tokio: its descriptor in an `AsyncFd`, its next deadline in a timer. Each turn is one
    /// step of the task, after which other tasks run. While it is driven, the loop is the current one of its thread,
    /// so tasks of tokio may call [`connect`](crate::connect) and others.
    ///
    /// Cancel safe: the loop stands still when the future is dropped, and another call continues it.
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
    /// The errors of [`turn`](Self::turn); the call can be repeated. `ENOTSUP` with the simulated network, which has
    /// no descriptor. `ERR_EVENT_LOOP_BUSY` if the loop is driven already.
    ///
    /// # Panics
    /// Outside of a runtime of tokio that has its I/O driver and its timer enabled.
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
            // Before the turn, which handles all there is: what comes meanwhile makes it ready again.
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

/// A timer of tokio. It is set again only for an earlier deadline, because most deadlines move with every message.
/// So it may end a wait too early, which does no harm.
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

/// Says that tokio drives the loop, until it is dropped.
struct Hosted<'a>(&'a Cell<bool>);

impl<'a> Hosted<'a> {
    fn begin(hosted: &'a Cell<bool>) -> Result<Self> {
        if hosted.replace(true) {
            let message = "another call drives this event loop already";
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
