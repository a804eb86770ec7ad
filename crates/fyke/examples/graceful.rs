//! Answers each line after 100 ms. The line `stop` shuts the server down: no new connections, and
//! every line that has arrived is still answered. Try `nc 127.0.0.1 8888`.

use std::{cell::Cell, rc::Rc, time::Duration};

use fyke::{ShutdownOutcome, Socket, timer};

fn main() -> fyke::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    let server = fyke::create_server(|socket| {
        socket.set_busy(false);
        let unanswered = Rc::new(Cell::new(0));
        // Bytes that arrive make the socket busy again.
        socket.on_data(move |socket, data| {
            for _ in data.iter().filter(|byte| **byte == b'\n') {
                unanswered.set(unanswered.get() + 1);
                let (socket, unanswered) = (socket.clone(), unanswered.clone());
                let answer = move || answer(&socket, &unanswered);
                timer::set_timeout(Duration::from_millis(100), answer).expect("in a loop");
            }
            if data.starts_with(b"stop") {
                let server = socket.server().expect("accepted");
                let print = |_: &fyke::Server, outcome: ShutdownOutcome| println!("{outcome:?}");
                server.shutdown_then(Duration::from_secs(10), print).expect("it listens");
            }
        });
    });
    let print = |server: &fyke::Server| {
        println!("listening on {}", server.address().expect("it listens"));
    };
    fyke::run(|| server.listen_then(("127.0.0.1", port), print))
}

fn answer(socket: &Socket, unanswered: &Cell<usize>) {
    unanswered.set(unanswered.get() - 1);
    let _ = socket.write("an answer\n");
    socket.set_busy(unanswered.get() > 0);
}
