//! Crates of the async ecosystem, unchanged, on fyke's sockets. The examples are meant to be copied. The
//! tests run the crates with readiness and with io_uring, and, if both ends are ours, on the simulated network.
//!
//! | example | what it shows |
//! |---|---|
//! | `http` | a hyper server for HTTP/1 and HTTP/2, whose shutdown loses no request |
//! | `tower_http` | a tower service with layers, behind hyper |
//! | `websocket` | WebSocket with tungstenite |
//! | `lines` | a line protocol with the codecs of tokio-util |
//! | `tls` | TLS with rustls |
//! | `postgres`, `redis` | clients of databases |
//! | `inside_tokio` | fyke's loop as a task of tokio, with hyper, a timer and a channel of tokio |
#![forbid(unsafe_code)]
