//! Shared by the tests of the idle timeout.

use std::cell::Cell;
use std::rc::Rc;

use fyke::Socket;

/// Counts the timeouts of a socket, and performs the next of `steps` at each. A socket that stays idle
/// gets no further timeout, so a step that is followed by another timeout was activity.
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

/// Ends the connection. Nothing that happens meanwhile is counted as a timeout.
pub(crate) fn leave(client: &Socket) {
    client.set_idle_timeout(None);
    client.end();
}

/// The actions at the first timeout, the second, and so on.
#[macro_export]
macro_rules! steps {
    ($($step:expr),* $(,)?) => { vec![$(Box::new($step) as Box<dyn FnOnce(&Socket)>),*] };
}
