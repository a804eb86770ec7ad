//! The guide: one chapter for each question that comes up when you write a program with fyke.
//!
//! The tests of this crate compile and run the programs in it. You can read the chapters in any
//! order; begin with the first one if you are new to fyke.
//!
//! | chapter | what it answers |
//! |---|---|
//! | [Echo to chat in ten minutes](echo_to_chat) | What does a first program look like? |
//! | [Async](async_await) | How do I use `.await`, hyper and other crates of the async ecosystem? |
//! | [Half-close](half_close) | What do `end`, `close` and `destroy` mean, and in which order do events come? |
//! | [Backpressure](backpressure) | What if the peer reads more slowly than I write? |
//! | [Timeouts and limits](limits) | What bounds time, memory and connections, and what happens at each limit? |
//! | [Graceful shutdown](graceful_shutdown) | How does a server stop without losing a response? |
//! | [Errors](errors) | What can fail, how is it reported, and when is a retry useful? |
//! | [Unix sockets](unix_sockets) | How do I serve local clients, and which users may connect? |
//! | [Testing with the simulated network](simulated_network) | How do I test timeouts and failures without waiting for them? |
//! | [Embedding in a host's loop](host_loop) | How does fyke run inside an existing loop? |
//! | [Other threads](other_threads) | How does another thread reach a loop, a socket or a server? |
//! | [Coming from Node](from_node) | What is the name of each function of `net` here, and what differs? |
//! | [Coming from tokio](from_tokio) | What is the name of each function of tokio here, and how do the two work together? |

pub mod echo_to_chat {
    #![doc = include_str!("../guide/echo_to_chat.md")]
}

pub mod async_await {
    #![doc = include_str!("../guide/async.md")]
}

pub mod half_close {
    #![doc = include_str!("../guide/half_close.md")]
}

pub mod backpressure {
    #![doc = include_str!("../guide/backpressure.md")]
}

pub mod limits {
    #![doc = include_str!("../guide/limits.md")]
}

pub mod graceful_shutdown {
    #![doc = include_str!("../guide/graceful_shutdown.md")]
}

pub mod errors {
    #![doc = include_str!("../guide/errors.md")]
}

pub mod unix_sockets {
    #![doc = include_str!("../guide/unix_sockets.md")]
}

pub mod simulated_network {
    #![doc = include_str!("../guide/simulated_network.md")]
}

pub mod host_loop {
    #![doc = include_str!("../guide/host_loop.md")]
}

pub mod other_threads {
    #![doc = include_str!("../guide/other_threads.md")]
}

pub mod from_node {
    #![doc = include_str!("../guide/from_node.md")]
}

pub mod from_tokio {
    #![doc = include_str!("../guide/from_tokio.md")]
}
