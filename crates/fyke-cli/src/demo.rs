//! `fyke demo`: a server and a client exchange messages, and every event is printed as it happens.

use fyke::{Endpoint, Server, Socket};

use crate::arguments::Demo;
use crate::explain::Steps;
use crate::failure::Failure;
use crate::folder::TemporaryFolder;
use crate::output::Output;

/// Printed before the explained conversations.
const INTRODUCTION: &str = "\
A server and a client exchange one message each, first over TCP, then over a Unix socket.
Both run in this process, on one event loop.

A line that begins with \"server\" or \"client\" is an event: what that side is told.
  listening    the server has an address, and clients can connect to it
  connection   the server has accepted a client
  connect      the client's connection is established
  data         bytes were received
  end          the other side has finished sending
  close        a connection is closed; or the server is, and all of its connections are

A line with | is a system call that fyke makes for one of the sides. The calls that send
and receive bytes, and the one that waits for the next event, are not shown.
";

pub(crate) fn demo(Demo { explain }: Demo) -> Result<(), Failure> {
    let output = Output::attached();
    if explain {
        output.line(INTRODUCTION);
        tracing::subscriber::with_default(Steps::Explained, || conversations(&output))?;
    } else {
        conversations(&output)?;
    }
    output.result()
}

fn conversations(output: &Output) -> Result<(), Failure> {
    output.line("TCP");
    converse(("127.0.0.1", 0).into(), output)?;
    output.line("");
    output.line("Unix socket");
    let folder = TemporaryFolder::new()?;
    converse(folder.path().join("demo.sock").into(), output)
}

/// Prints the events of one side.
#[derive(Clone)]
struct Side {
    name: &'static str,
    output: Output,
}

impl Side {
    fn saw(&self, event: &str, detail: impl std::fmt::Display) {
        let line = format!("{:8}{event:13}{detail}", self.name);
        self.output.line(line.trim_end());
    }

    fn saw_data(&self, data: &[u8]) {
        self.saw("data", format_args!("{:?}", String::from_utf8_lossy(data)));
    }
}

/// Runs one conversation, from `listen` to the server's `close`.
fn converse(endpoint: Endpoint, output: &Output) -> Result<(), Failure> {
    fyke::run(|| {
        let server = serve(&Side { name: "server", output: output.clone() });
        let client = call(&Side { name: "client", output: output.clone() }, &server);
        server.listen_then(endpoint, move |server| {
            let Some(endpoint) = server.endpoint() else { return };
            if let Err(error) = client.connect(endpoint) {
                // An error without a listener ends `run`.
                client.destroy_with(error);
            }
        })
    })?;
    Ok(())
}

/// Creates a server that prints what its clients send, and answers.
fn serve(side: &Side) -> Server {
    let server = Server::new();
    let here = side.clone();
    server.on_listening(move |server| {
        here.saw("listening", server.address().map_or_else(String::new, |at| at.to_string()));
    });
    let here = side.clone();
    server.on_connection(move |_, socket| {
        let from = socket.remote_address().map(|address| format!("from {address}"));
        here.saw("connection", from.unwrap_or_default());
        let side = here.clone();
        socket.on_data(move |socket, data| {
            side.saw_data(data);
            let _ = socket.write("hello client");
        });
        // The socket ends its own side automatically.
        let side = here.clone();
        socket.on_end(move |_| side.saw("end", "the client has ended its side"));
        let side = here.clone();
        socket.on_close(move |_, _| side.saw("close", "of the connection"));
    });
    let here = side.clone();
    server.on_close(move |_| here.saw("close", "of the server"));
    server
}

/// Creates a client that sends a greeting, prints the answer, and ends. The server closes with it.
fn call(side: &Side, server: &Server) -> Socket {
    let client = Socket::new();
    let here = side.clone();
    client.on_connect(move |client| {
        let to = client.remote_address().map(|address| format!("to {address}"));
        here.saw("connect", to.unwrap_or_default());
        let _ = client.write("hello server!\r\n");
    });
    let here = side.clone();
    client.on_data(move |client, data| {
        here.saw_data(data);
        client.end();
    });
    let here = side.clone();
    client.on_end(move |_| here.saw("end", "the server has ended its side"));
    let (here, server) = (side.clone(), server.clone());
    client.on_close(move |_, _| {
        here.saw("close", "of the connection");
        server.close();
    });
    client
}
