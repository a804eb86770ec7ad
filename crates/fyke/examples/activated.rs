//! Echoes on every socket that systemd listens on, and was started by it when the first client came.

#[cfg(unix)]
fn main() -> fyke::Result<()> {
    fyke::run(|| {
        for descriptor in fyke::systemd::listen_fds()? {
            let name = descriptor.name().to_owned();
            let server = fyke::create_server(|socket| {
                socket.pipe(socket);
            });
            server.listen_fd_then(descriptor.into(), move |server| {
                println!("listening on {name}: {:?}", server.address());
            })?;
        }
        Ok(())
    })
}

#[cfg(not(unix))]
fn main() {
    eprintln!("systemd and descriptors exist on Unix systems only");
}
