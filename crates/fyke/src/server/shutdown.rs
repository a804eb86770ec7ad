//! Ending a server in good order, with a deadline: what everybody writes around `close` otherwise.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::Server;
use crate::Result;
use crate::socket::Socket;
use crate::timer::{self, Timer};

/// How a [`Server::shutdown`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// All connections ended by themselves in time.
    Drained,
    /// The deadline came first: so many connections were cut off.
    TimedOut {
        /// How many.
        left: usize,
    },
}

/// How often it is looked which connections have become idle.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

impl Server {
    /// Stops accepting, ends every connection as soon as nothing of it waits to be sent or read,
    /// and cuts off what is left at the deadline: by RST over TCP. `f` is told how it went, after
    /// `close`. fyke's own; Node's `http` server has something like it, its `net` server has not.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fyke::Shutdown;
    ///
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| { socket.pipe(socket); });
    ///     server.listen(0, |server| {
    ///         let done = |_: &fyke::Server, how| assert_eq!(how, Shutdown::Drained);
    ///         server.shutdown(Duration::from_secs(10), done).unwrap();
    ///     })
    /// })?;
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_SERVER_NOT_RUNNING` when it does not listen; `ERR_NO_EVENT_LOOP` outside of its loop.
    pub fn shutdown(
        &self,
        deadline: Duration,
        f: impl FnOnce(&Server, Shutdown) + 'static,
    ) -> Result<()> {
        if !self.listening() {
            return Err(Self::not_running());
        }
        let left = Rc::new(Cell::new(0));
        let look = {
            let server = self.clone();
            timer::set_interval(LOOK_PERIOD, move || server.end_idle_connections())?
        };
        let cut = {
            let (server, left) = (self.clone(), Rc::clone(&left));
            timer::set_timeout(deadline, move || left.set(server.cut_off_connections()))?
        };
        self.close_then(move |server, _| {
            let timers: [Timer; 2] = [look, cut];
            timers.iter().for_each(Timer::cancel);
            f(
                server,
                match left.get() {
                    0 => Shutdown::Drained,
                    left => Shutdown::TimedOut { left },
                },
            );
        });
        self.end_idle_connections();
        Ok(())
    }

    fn end_idle_connections(&self) {
        for socket in self.live_connections() {
            if socket.write_queue_len() == 0 && socket.read_queue_len() == 0 {
                socket.end();
            }
        }
    }

    fn cut_off_connections(&self) -> usize {
        let left = self.live_connections();
        for socket in &left {
            // A Unix socket knows no reset.
            if socket.reset_and_destroy().is_err() {
                socket.destroy();
            }
        }
        left.len()
    }

    fn live_connections(&self) -> Vec<Socket> {
        let Some(core) = self.core() else { return Vec::new() };
        let sockets = core.sockets().into_iter();
        sockets.filter(|socket| socket.server().as_ref() == Some(self)).collect()
    }
}
