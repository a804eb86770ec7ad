//! Tests database clients on streams of fyke, against the real servers. If a server is not installed, its
//! test prints that it was skipped.

#[path = "../examples/redis/on_this_thread.rs"]
mod on_this_thread;
mod program;
#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, TryStreamExt, future::join_all, pin_mut};
use fyke::{SocketStream, spawn_local, timer};
use on_this_thread::OnThisThread;
use program::{DRIVERS, example, is_installed, output, skip};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use support::pattern;
use tokio_postgres::{Client, Config, NoTls, error::SqlState};

/// A server that runs until the end of the test.
struct Running {
    child: Child,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // PostgreSQL stops its processes on SIGINT. SIGKILL would leave its shared memory behind.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn new_folder(name: &str) -> PathBuf {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = format!("fyke-ecosystem-{name}-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Waits until a server accepts connections on a Unix socket.
async fn connect(path: &Path) -> SocketStream {
    loop {
        match SocketStream::connect(path).await {
            Ok(stream) => return stream,
            Err(_) => timer::sleep(Duration::from_millis(20)).unwrap().await,
        }
    }
}

fn redis_server() -> Option<Running> {
    if !is_installed("redis-server") {
        return None;
    }
    let folder = new_folder("redis");
    let mut server = Command::new("redis-server");
    server.args(["--port", "0", "--save", "", "--unixsocket"]).arg(folder.join("socket"));
    let child = server.arg("--dir").arg(&folder).stdout(Stdio::null()).spawn().unwrap();
    Some(Running { child, folder })
}

async fn redis_client(path: &Path) -> MultiplexedConnection {
    let stream = OnThisThread::from(connect(path).await);
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let made = MultiplexedConnection::new_with_config(&Default::default(), stream, config).await;
    let (client, connection) = made.unwrap();
    spawn_local(connection).unwrap();
    client
}

#[test]
fn redis_answers_commands_on_every_driver_of_the_system() {
    let Some(server) = redis_server() else { return };
    for net in support::Net::of_the_system() {
        net.block_on(async {
            let client = redis_client(&server.folder.join("socket")).await;
            // Runs many commands of one connection at a time.
            let answers = (0..500).map(|n: usize| {
                let mut client = client.clone();
                async move {
                    let () =
                        redis::cmd("SET").arg(n).arg(n * n).query_async(&mut client).await.unwrap();
                    redis::cmd("GET").arg(n).query_async::<usize>(&mut client).await.unwrap()
                }
            });
            assert!(join_all(answers).await.into_iter().eq((0..500).map(|n| n * n)));

            let mut client = client.clone();
            let large = pattern(5 << 20);
            let () =
                redis::cmd("SET").arg("large").arg(&large).query_async(&mut client).await.unwrap();
            let got: Vec<u8> =
                redis::cmd("GET").arg("large").query_async(&mut client).await.unwrap();
            assert!(got == large);

            let mut pipeline = redis::pipe();
            pipeline.atomic().set("count", 1).incr("count", 41).get("count");
            let (_, _, count): ((), i64, i64) = pipeline.query_async(&mut client).await.unwrap();
            assert_eq!(count, 42);

            let error = redis::cmd("NONSENSE").query_async::<()>(&mut client).await.unwrap_err();
            assert!(error.to_string().contains("unknown command"), "{error}");
            // The connection remains usable after the error of a command.
            assert_eq!(
                redis::cmd("PING").query_async::<String>(&mut client).await.unwrap(),
                "PONG"
            );
        });
    }
}

#[test]
fn the_examples_query_the_real_servers() {
    let (redis, postgres) = (redis_server(), postgres_server());
    support::Net::ready().block_on(async {
        if let Some(server) = &redis {
            drop(redis_client(&server.folder.join("socket")).await);
        }
        if let Some(server) = &postgres {
            drop(postgres_client(&server.folder.join(".s.PGSQL.5432")).await);
        }
    });
    for driver in DRIVERS {
        if let Some(server) = &redis {
            assert_eq!(
                output(example("redis", driver).arg(server.folder.join("socket"))),
                b"fyke\n"
            );
        }
        if let Some(server) = &postgres {
            let answer =
                output(example("postgres", driver).arg(server.folder.join(".s.PGSQL.5432")));
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with("PostgreSQL ") && answer.ends_with("\n42\n"), "{answer}");
        }
    }
}

/// Returns the command for a program of PostgreSQL, run as a user that may run a server, or `None` if the
/// program is not installed.
fn postgres_program(name: &str) -> Option<Command> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.flatten().map(|entry| entry.path().join("bin").join(name)).collect())
        .unwrap_or_default();
    versions.sort();
    let program = versions.pop().filter(|program| program.exists())?;
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() != 0) {
        return Some(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    Some(command)
}

fn postgres_server() -> Option<Running> {
    let (Some(mut make), Some(mut server)) =
        (postgres_program("initdb"), postgres_program("postgres"))
    else {
        skip("postgresql");
        return None;
    };
    let folder = new_folder("postgres");
    // The user that runs the server must be able to write to the folder.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let data = folder.join("data");
    let made =
        make.args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]).arg(&data).current_dir("/");
    let made = made.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.arg("-D").arg(&data).arg("-k").arg(&folder).args([
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
    ]);
    let child = server.current_dir("/").stderr(Stdio::null()).spawn().unwrap();
    Some(Running { child, folder })
}

async fn postgres_client(path: &Path) -> Client {
    loop {
        let stream = connect(path).await;
        match Config::new().user("postgres").connect_raw(stream, NoTls).await {
            Ok((client, connection)) => {
                spawn_local(async { connection.await.unwrap() }).unwrap();
                return client;
            }
            Err(error) if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) => {
                timer::sleep(Duration::from_millis(20)).unwrap().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn postgres_answers_queries_on_every_driver_of_the_system() {
    let Some(server) = postgres_server() else { return };
    let path = server.folder.join(".s.PGSQL.5432");
    for net in support::Net::of_the_system() {
        net.block_on(async {
            let client = postgres_client(&path).await;
            let row = client.query_one("select $1::int + 1, 'fish'", &[&41]).await.unwrap();
            assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (42, "fish"));

            // Reads many rows, and runs many queries at the same time on one connection.
            let rows =
                client.query("select n from generate_series(1, 100000) n", &[]).await.unwrap();
            assert_eq!(
                rows.iter().map(|row| i64::from(row.get::<_, i32>(0))).sum::<i64>(),
                5_000_050_000
            );
            let squares = (0..200_i32).map(|n| {
                let client = &client;
                async move {
                    client
                        .query_one("select $1::int * $1::int", &[&n])
                        .await
                        .unwrap()
                        .get::<_, i32>(0)
                }
            });
            assert!(join_all(squares).await.into_iter().eq((0..200).map(|n| n * n)));

            // Sends and receives megabytes.
            client.batch_execute("create temp table fish (n int, name text)").await.unwrap();
            let lines: String = (0..50_000).map(|n| format!("{n}\tfish {n}\n")).collect();
            let sink = client.copy_in("copy fish from stdin").await.unwrap();
            pin_mut!(sink);
            sink.send(bytes::Bytes::from(lines.clone())).await.unwrap();
            assert_eq!(sink.finish().await.unwrap(), 50_000);
            let copied = client.copy_out("copy fish to stdout").await.unwrap();
            let copied: Vec<bytes::Bytes> = copied.try_collect().await.unwrap();
            assert!(copied.concat() == lines.as_bytes());

            let error = client.query("select nonsense", &[]).await.unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN));
            // The connection remains usable after the error of a query.
            client.query_one("select 1", &[]).await.unwrap();
        });
    }
}
