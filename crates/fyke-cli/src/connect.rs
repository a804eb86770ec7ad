//! `fyke connect`: standard input to the peer, what the peer sends to standard output.

use fyke::{ConnectOptions, Endpoint, EventLoop, Socket};

use crate::failure::Failure;
use crate::input::{Input, Piece, turn_to_the_end};
use crate::output::Output;

pub(crate) fn connect(endpoint: Endpoint) -> Result<(), Failure> {
    let event_loop = EventLoop::new()?;
    let input = Input::open(event_loop.handle())?;
    let output = Output::default();
    let client = event_loop.enter(|| start(endpoint, &input, &output))?;
    turn_to_the_end(&event_loop, &input, &output, |piece| send(&client, &input, piece))
}

fn start(endpoint: Endpoint, input: &Input, output: &Output) -> fyke::Result<Socket> {
    let first = input.clone();
    let client = ConnectOptions::new(endpoint)?
        // Our end is the end of standard input, or what `on_end` makes of the peer's.
        .allow_half_open(true)
        // Not before: a connection that cannot be made must not swallow input.
        .connect(move |_| first.ask())?;
    let output = output.clone();
    client.on_data(move |_, data| output.write(data));
    let input = input.clone();
    client.on_drain(move |_| input.ask());
    // The conversation is over: what is queued still goes out, and then nothing is left to turn
    // the loop for. If the peer does not take it, that is an error like any other.
    client.on_end(|client| {
        client.destroy_soon();
    });
    Ok(client)
}

/// Sends a piece of standard input, and asks for the next when there is room for it.
fn send(client: &Socket, input: &Input, piece: Piece) -> Result<(), Failure> {
    match piece {
        // The peer has ended while the thread was reading.
        _ if !client.writable() => {}
        Piece::Bytes(bytes) => {
            // Otherwise `drain` asks.
            if client.write(bytes) {
                input.ask();
            }
        }
        Piece::End => {
            client.end();
        }
        Piece::Failed(error) => return Err(Failure::System("standard input", error)),
    }
    Ok(())
}
