//! An echo server on a Unix socket. Try `nc -U ./echo.sock`; the file goes with the server.

fn main() -> fyke::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| String::from("./echo.sock"));
    fyke::run(|| {
        let server = fyke::create_server(|socket| {
            socket.pipe(socket);
        });
        server.listen_then(std::path::Path::new(&path), |server| {
            println!("listening on {}", server.address().expect("it listens"));
        })
    })
}
