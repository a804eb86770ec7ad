//! The policy of a loop: each choice where fyke's default differs from Node, as a named field. The ids in
//! the comments are those of `docs/BEHAVIOUR.md`. A loop uses [`DEFAULT`], or [`NODE_EXACT`] if it was made
//! with `EventLoopBuilder::node_exact`. Other code reads the fields only and never asks which of the two it
//! is.

/// Declares all choices in one table: what each field means if it is true, and its value in both policies.
macro_rules! policy {
    ($($(#[doc = $doc:literal])+ $field:ident: $default:literal | $node_exact:literal,)+) => {
        /// The choices of a loop, one per field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Policy {
            $($(#[doc = $doc])+ pub $field: bool,)+
        }

        /// fyke's default behaviour.
        pub const DEFAULT: Policy = Policy { $($field: $default,)+ };
        /// Node's behaviour, including its accidents.
        pub const NODE_EXACT: Policy = Policy { $($field: $node_exact,)+ };

        impl Policy {
            /// The names of all choices.
            pub const NAMES: &[&str] = &[$(stringify!($field),)+];

            /// Returns this policy with one choice inverted, to test each choice separately.
            #[must_use]
            pub fn inverted(mut self, name: &str) -> Self {
                $(self.$field ^= name == stringify!($field);)+
                self
            }
        }
    };
}

policy! {
    // Writing.                                                          default | exact
    /// A write is offered to the kernel inside the call, not when the batch of callbacks ends.
    // WR-02, WR-08, WR-17
    offers_writes_at_once: false | true,
    /// The first write before the connection is established is stored separately, and is sent between
    /// `connect` and `ready`.
    // WR-09, WR-10, WR-11
    parks_first_write: false | true,
    /// Completions of writes are spread over several turns, so that a callback that always writes more
    /// leaves time for other sockets.
    // Contract C6
    shares_turns: true | false,
    /// A corked write does not count as activity until it is sent.
    // TMO-02
    corked_write_is_idle: false | true,
    /// `cork` also holds back bytes that were written before the call.
    // WR-21
    cork_holds_earlier_writes: false | true,
    /// A cork persists when the socket connects again.
    // CON-16
    cork_survives_reconnect: false | true,
    /// The length of a text is its number of UTF-16 units.
    // WR-04, RD-16, RD-17
    counts_utf16: false | true,
    /// Pending callbacks count toward `write_queue_bytes_max`.
    // Contract C7
    counts_callbacks: true | false,
    /// Bytes that the kernel refused stay counted in `bytes_written`.
    // PROP-05
    counts_refused_writes: false | true,
    /// When writes fail, each callback still finds the later writes in the queue.
    // WR-19
    fails_writes_one_by_one: false | true,
    /// The callbacks of writes of a failed connect run before `close`, with the error of the connect.
    // WR-12, WR-13
    reports_unsent_before_close: true | false,

    // Reading.
    /// An end that directly follows bytes is reported in the next turn.
    // RD-02
    defers_end_behind_bytes: false | true,
    /// `read_n` reads up to 1 GiB at once, not 64 MiB.
    // RD-10
    reads_up_to_1_gib: false | true,
    /// Bytes that were received and not yet read stay readable after `destroy`.
    // RD-20
    keeps_stored_after_destroy: false | true,
    /// Listeners receive the rest of the data although one of them has destroyed the socket.
    // RD-21
    delivers_after_destroy: false | true,
    /// A `readable` listener is also called for the bytes of the next connection.
    // CON-16
    rearms_readable: true | false,
    /// `deliver_before_error` takes effect: a broken connection is first read to its end.
    // DST-10
    may_deliver_before_error: true | false,

    // Ending and destroying.
    /// `end` sends the FIN in the next turn, not inside the call.
    // END-01
    defers_shutdown: false | true,
    /// An accepted connection that has nothing left to do is closed without a shutdown first.
    // END-13
    closes_without_shutdown: true | false,
    /// The callback of `end` on a destroyed socket is called with an error.
    // DST-18
    answers_end_after_destroy: true | false,
    /// `destroy` sends the queued bytes that fit into the kernel's buffer.
    // WR-20
    destroy_flushes: true | false,
    /// `close` reports whether there was an error, also for a socket that never had a descriptor.
    // END-18
    close_reports_every_error: true | false,
    /// A reset while our side is being ended is refused, and `close` is never emitted.
    // DST-15
    refuses_reset_while_ending: false | true,
    /// A connection that fails by our own decision is reset, so that the peer does not take the stream for
    /// complete.
    // DST-06
    resets_failed_connections: true | false,
    /// Listeners are dropped after `close`.
    // Contract C2
    drops_listeners_after_close: true | false,
    /// An error of an outgoing connection without an error listener ends `run` at once.
    // Contract C5
    unhandled_error_ends_run: false | true,

    // Connecting.
    /// Events that are known at once are emitted inside `connect`.
    // CON-04, HE-04
    emits_inside_connect: false | true,
    /// `connect` on a socket that is connecting or connected is tried.
    // CON-18
    tries_to_connect_again: false | true,
    /// `connect` between `destroy` and `close` starts a new connection on the socket.
    // CON-17
    connects_before_close: false | true,
    /// The callback of a failed connect runs when a later connect succeeds, and each call of
    /// `set_idle_timeout_then` adds one more.
    // CON-16, TMO-04
    keeps_old_once_listeners: false | true,
    /// `ready` follows `connect` even if a listener has destroyed the socket.
    // CON-05, DST-12
    ready_after_destroy: false | true,
    /// The result of a lookup is reported even if the socket is destroyed.
    // HE-26
    reports_late_lookup: false | true,
    /// An attempt that the system refuses inside the call is reported as failed.
    // CON-10, IPC-10
    reports_immediate_failure: true | false,
    /// An attempt that `destroy` cancels is reported as failed.
    // HE-24
    reports_cancelled_attempt: false | true,
    /// A connect that waits for a lookup hook keeps the loop alive, and dropping the reply is an error.
    // HE-04
    watches_lookup_hooks: true | false,
    /// A connect to a Unix server whose queue is full is retried.
    // IPC-10
    retries_full_queue: true | false,
    /// An accepted socket that connects again no longer belongs to its server's connections.
    // CON-16
    leaves_server_when_reconnected: true | false,

    // Servers, and properties.
    /// Each `close` call on a server emits another event.
    // CLS-05
    every_server_close_is_emitted: false | true,
    /// A server keeps its path after `close`.
    // IPC-02
    keeps_server_path: false | true,
    /// Addresses are requested from the system on each use, and are unavailable after `destroy`.
    // PROP-08, PROP-09, DST-01
    asks_for_addresses: false | true,
    /// Messages are worded as Node's, with IPv6 addresses without brackets.
    // BEHAVIOUR 0.2
    words_as_node: false | true,
}
