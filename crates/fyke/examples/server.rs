//! Prints what clients send and answers `hello client`. The other side is `examples/client.rs`.

fn main() -> fyke::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    fyke::run(|| {
        let server = fyke::create_server(|socket| {
            socket.on_text(|_, text| println!("client sent: {text}"));
            socket.on_end(|_| println!("client disconnected"));
            let _ = socket.write("hello client");
        });
        server.listen_then(("127.0.0.1", port), |server| {
            println!("listening on {}", server.address().expect("it listens"));
        })
    })
}
