//! Says `hello server!`, prints the answer, ends. The other side is `examples/server.rs`.

fn main() -> fyke::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    fyke::run(|| {
        let client = fyke::connect_then(("127.0.0.1", port), |client| {
            println!("connected to server!");
            let _ = client.write("hello server!\r\n");
        })?;
        client.on_data(|client, data| {
            println!("{}", String::from_utf8_lossy(data));
            client.end();
        });
        client.on_end(|_| println!("disconnected from server"));
        Ok(())
    })
}
