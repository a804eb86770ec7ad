//! Queries a Redis server with the `redis` crate. The argument is an endpoint, for example
//! `localhost:6379` or `/run/redis/redis.sock`.

mod on_this_thread;

use fyke::SocketStream;
use on_this_thread::OnThisThread;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6379".into());
    fyke::block_on(async {
        // The crate requires a stream that is `Send`.
        let stream = OnThisThread::from(SocketStream::connect(endpoint).await?);
        // The timeouts of the crate need a tokio runtime; `fyke::timer::timeout` limits any future.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (mut client, connection) =
            MultiplexedConnection::new_with_config(&Default::default(), stream, config).await?;
        fyke::spawn_local(connection)?;
        let () = redis::cmd("SET").arg("fish").arg("fyke").query_async(&mut client).await?;
        let fish: String = redis::cmd("GET").arg("fish").query_async(&mut client).await?;
        println!("{fish}");
        Ok(())
    })?
}
