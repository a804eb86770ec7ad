//! Sends back what it gets, no faster than it is taken. Try `nc 127.0.0.1 8888`.

fn main() -> fyke::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    fyke::run(|| {
        let server = fyke::create_server(|socket| {
            socket.on_error(|socket, error| eprintln!("{:?}: {error}", socket.remote_address()));
            socket.pipe(socket);
        });
        server.listen_then(("127.0.0.1", port), |server| {
            println!("listening on {}", server.address().expect("it listens"));
        })
    })
}
