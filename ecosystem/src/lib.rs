//! Unmodified crates of the async ecosystem on fyke's sockets. The examples are meant to be copied. The
//! tests run the crates on the readiness and io_uring drivers, and also on the simulated network if both
//! ends use fyke.
//!
//! | example | what it shows |
//! |---|---|
//! | `http` | a hyper server for HTTP/1 and HTTP/2 with a graceful shutdown that loses no request |
//! | `tower_http` | a tower service with layers, behind hyper |
//! | `websocket` | WebSocket with tungstenite |
//! | `lines` | a line protocol with the codecs of tokio-util |
//! | `tls` | TLS with rustls |
//! | `postgres`, `redis` | clients of databases |
//! | `inside_tokio` | fyke's loop in a tokio task, with hyper, a tokio timer and a tokio channel |
#![forbid(unsafe_code)]
