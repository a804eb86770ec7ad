//! What the tests of the idle timeout share.

use std::cell::Cell;
use std::rc::Rc;

use fyke::Socket;

/// Counts the timeouts of a socket, and does the next of `steps` at each. Whoever is idle and not
/// active has no further timeout: so a step after which another one comes was activity.
pub(crate) fn at_each_timeout(
    socket: &Socket,
    steps: Vec<Box<dyn FnOnce(&Socket)>>,
) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let (counted, mut steps) = (count.clone(), steps.into_iter());
    socket.on_idle_timeout(move |socket| {
        counted.set(counted.get() + 1);
        steps.next().expect("no more timeouts than steps")(socket);
    });
    count
}

/// Ends, and nothing that this takes is told as a timeout.
pub(crate) fn leave(client: &Socket) {
    client.set_idle_timeout(None);
    client.end();
}

/// What to do at the first timeout, the second, and so on.
#[macro_export]
macro_rules! steps {
    ($($step:expr),* $(,)?) => { vec![$(Box::new($step) as Box<dyn FnOnce(&Socket)>),*] };
}
