//! Queries a PostgreSQL server with tokio-postgres. The arguments are an endpoint, for example
//! `/run/postgresql/.s.PGSQL.5432` or `localhost:5432`, and the user name.

use fyke::SocketStream;
use tokio_postgres::{Config, NoTls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "/run/postgresql/.s.PGSQL.5432".into());
    let user = arguments.next().unwrap_or_else(|| "postgres".into());
    fyke::block_on(async {
        let stream = SocketStream::connect(endpoint).await?;
        let (client, connection) = Config::new().user(user).connect_raw(stream, NoTls).await?;
        let connection = fyke::spawn_local(connection)?;
        let row = client.query_one("select version(), $1::int + 1", &[&41]).await?;
        println!("{}\n{}", row.get::<_, String>(0), row.get::<_, i32>(1));
        // The connection ends when its client is dropped.
        drop(client);
        Ok(connection.await??)
    })?
}
