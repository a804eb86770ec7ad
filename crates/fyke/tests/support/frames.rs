//! A layer for tests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fyke::{Error, ErrorCode, Layer, LayerOutput, LayerStep, Result, Server, Socket};

use super::Net;

pub(crate) const HELLO: &[u8] = b"hello of the layer";
pub(crate) const E_FRAME: ErrorCode = ErrorCode::from_static("E_FRAME");
pub(crate) const E_CUT: ErrorCode = ErrorCode::from_static("E_CUT");

/// Frames of at most 1,000 flipped bytes with a length before them, after a greeting of both sides; an empty
/// frame marks the end.
#[derive(Default)]
pub(crate) struct Frames {
    pub(crate) greeted: Cell<bool>,
    pub(crate) speaks_second: bool,
    /// Waits once before it answers the greeting.
    pub(crate) hesitates: Cell<bool>,
    pub(crate) events: RefCell<Vec<&'static str>>,
}

impl Frames {
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    pub(crate) fn second() -> Rc<Self> {
        Rc::new(Self { speaks_second: true, ..Self::default() })
    }
}

impl Layer for Frames {
    fn begin(&self, coded: &mut Vec<u8>) -> Result<()> {
        if !self.speaks_second {
            coded.extend_from_slice(HELLO);
        }
        Ok(())
    }

    fn receive(&self, coded: &mut [u8], output: &mut LayerOutput) -> Result<LayerStep> {
        let mut used = 0;
        if !self.greeted.get() {
            if coded.len() < HELLO.len() {
                return Ok(LayerStep::default());
            }
            if self.hesitates.replace(false) {
                return Ok(LayerStep { waits: true, ..LayerStep::default() });
            }
            if !coded.starts_with(HELLO) {
                output.coded.extend_from_slice(b"not a greeting");
                return Err(Error::new(E_FRAME, "the peer does not greet"));
            }
            if self.speaks_second {
                output.coded.extend_from_slice(HELLO);
            }
            self.greeted.set(true);
            self.events.borrow_mut().push("open");
            used = HELLO.len();
        }
        while let [first, second, rest @ ..] = &coded[used..] {
            let len = usize::from(u16::from_le_bytes([*first, *second]));
            if len == 0 {
                return Ok(LayerStep { used: used + 2, ended: true, ..LayerStep::default() });
            }
            if len > 1000 {
                return Err(Error::new(E_FRAME, "a frame is too long"));
            }
            let Some(frame) = rest.get(..len) else { break };
            output.plain.extend(frame.iter().map(|byte| !byte));
            used += 2 + len;
        }
        Ok(LayerStep { used, ..LayerStep::default() })
    }

    fn is_open(&self) -> bool {
        self.greeted.get()
    }

    fn send(&self, plain: &[u8], coded: &mut Vec<u8>) -> Result<()> {
        for frame in plain.chunks(1000) {
            coded.extend_from_slice(&(frame.len() as u16).to_le_bytes());
            coded.extend(frame.iter().map(|byte| !byte));
        }
        Ok(())
    }

    fn end(&self, coded: &mut Vec<u8>) {
        coded.extend_from_slice(&[0, 0]);
    }

    fn end_of_stream(&self) -> Result<()> {
        Err(Error::new(E_CUT, "the connection has ended before the layer"))
    }

    fn after_receive(&self, _: &Socket) {
        self.events.borrow_mut().push("received");
    }

    fn removed(&self) {
        self.events.borrow_mut().push("removed");
    }
}

/// A server for one connection, and a client that is connecting when `on_client` is called.
pub(crate) fn pair(
    net: &Net,
    on_server: impl FnOnce(&Socket) + 'static,
    on_client: impl FnOnce(&Socket) + 'static,
) {
    let mut on_server = Some(on_server);
    let server = Server::new();
    server.on_connection(move |server, socket| {
        server.close();
        on_server.take().expect("one connection")(socket);
    });
    net.listen(&server, net.tcp(), move |endpoint| on_client(&fyke::connect(endpoint).unwrap()));
}

/// A server for one connection, and a client that is connecting, each with a layer.
pub(crate) fn layered_pair(
    net: &Net,
    on_server: impl FnOnce(&Socket) + 'static,
    on_client: impl FnOnce(&Socket) + 'static,
) {
    let on_server = |socket: &Socket| {
        socket.add_layer(Frames::second()).unwrap();
        on_server(socket);
    };
    let on_client = |client: &Socket| {
        client.add_layer(Frames::new()).unwrap();
        on_client(client);
    };
    pair(net, on_server, on_client);
}
