//! Ending a server in good order, with a deadline: what everybody writes around `close` otherwise.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::Server;
use crate::Result;
use crate::socket::{self, Socket};
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
    /// and cuts off what is left at the deadline: by RST over TCP. What the server accepts when it
    /// listens again meanwhile is left alone. `f` is told how it went, after
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
        let connections = Rc::new(self.live_connections());
        let look = {
            let connections = Rc::clone(&connections);
            timer::set_interval(LOOK_PERIOD, move || connections.end_idle())?
        };
        let cut = {
            let (connections, left) = (Rc::clone(&connections), Rc::clone(&left));
            timer::set_timeout(deadline, move || left.set(connections.cut_off()))?
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
        connections.end_idle();
        Ok(())
    }

    fn live_connections(&self) -> Connections {
        let sockets = self.core().map(|core| core.sockets()).unwrap_or_default();
        let ours = sockets.iter().filter(|socket| socket.server().as_ref() == Some(self));
        Connections { server: self.clone(), sockets: ours.map(Socket::downgrade).collect() }
    }
}

/// The connections that there were when the shutdown began: the server may listen again before they
/// are gone, and what it accepts then is left alone.
struct Connections {
    server: Server,
    sockets: Vec<Weak<socket::Inner>>,
}

impl Connections {
    fn end_idle(&self) {
        for socket in self.left() {
            if socket.write_queue_len() == 0 && socket.read_queue_len() == 0 {
                socket.end();
            }
        }
    }

    fn cut_off(&self) -> usize {
        let left: Vec<Socket> = self.left().collect();
        for socket in &left {
            // A Unix socket knows no reset.
            if socket.reset_and_destroy().is_err() {
                socket.destroy();
            }
        }
        left.len()
    }

    fn left(&self) -> impl Iterator<Item = Socket> + '_ {
        let sockets = self.sockets.iter().filter_map(Weak::upgrade).map(Socket::from_inner);
        // One that has closed may have become a client.
        sockets
            .filter(|socket| !socket.destroyed() && socket.server().as_ref() == Some(&self.server))
    }
}
