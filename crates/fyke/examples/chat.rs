//! Everybody hears what anybody says. While one member does not take it nobody is listened to, so
//! that nobody makes the server hoard; after some seconds that member is put out.

use std::{cell::RefCell, rc::Rc, time::Duration};

fn main() -> fyke::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    let room: Rc<RefCell<Vec<fyke::Socket>>> = Rc::default();
    let server = fyke::create_server(move |socket| {
        room.borrow_mut().push(socket.clone());
        let [others, drained, left] = [room.clone(), room.clone(), room.clone()];
        socket.on_data(move |speaker, data| {
            let who = speaker.remote_address().map_or(0, |address| address.port());
            for member in others.borrow().iter().filter(|member| *member != speaker) {
                let _ = member.write([format!("{who}: ").as_bytes(), data].concat());
            }
            listen_if_all_follow(&others.borrow());
        });
        socket.on_drain(move |_| listen_if_all_follow(&drained.borrow()));
        socket.set_idle_timeout(Some(Duration::from_secs(2)));
        socket.on_idle_timeout(|member| _ = member.needs_drain().then(|| member.destroy()));
        socket.on_close(move |socket, _| {
            left.borrow_mut().retain(|member| member != socket);
            listen_if_all_follow(&left.borrow());
        });
    });
    fyke::run(|| {
        server.listen_then(("127.0.0.1", port), |server| {
            println!("listening on {}", server.address().expect("it listens"));
        })
    })
}

fn listen_if_all_follow(room: &[fyke::Socket]) {
    let wait = room.iter().any(fyke::Socket::needs_drain);
    for member in room {
        _ = if wait { member.pause() } else { member.resume() };
    }
}
