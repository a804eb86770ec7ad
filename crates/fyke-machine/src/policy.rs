//! The manners of a loop: each place where fyke does otherwise than Node by default, as a named choice. The ids are
//! those of `docs/BEHAVIOUR.md`. A loop has the manners of [`DEFAULT`], or with `EventLoopBuilder::node_exact` those
//! of [`NODE_EXACT`]; nothing else in fyke asks which of the two it is.

/// Declares the choices as one table: what each means when it is true, and its value in both manners.
macro_rules! policy {
    ($($(#[doc = $doc:literal])+ $field:ident: $default:literal | $node_exact:literal,)+) => {
        /// What a loop does where there is a choice.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Policy {
            $($(#[doc = $doc])+ pub $field: bool,)+
        }

        /// What fyke does unless it is told otherwise.
        pub const DEFAULT: Policy = Policy { $($field: $default,)+ };
        /// What Node does, its accidents included.
        pub const NODE_EXACT: Policy = Policy { $($field: $node_exact,)+ };

        impl Policy {
            /// The names of the choices.
            pub const NAMES: &[&str] = &[$(stringify!($field),)+];

            /// The same manners but for one choice, which is turned round: for tests of each by itself.
            #[must_use]
            pub fn turned(mut self, name: &str) -> Self {
                $(self.$field ^= name == stringify!($field);)+
                self
            }
        }
    };
}

policy! {
    // Writing.                                                          default | exact
    /// A write is offered to the kernel inside the call, not when the batch of callbacks ends (WR-02, WR-08,
    /// WR-17).
    offers_writes_at_once: false | true,
    /// The first write before the connection waits by itself, and leaves between `connect` and `ready`
    /// (WR-09, WR-10, WR-11).
    parks_first_write: false | true,
    /// News of writes is spread over the turns, so that who writes on in each leaves time for others
    /// (contract C6).
    shares_turns: true | false,
    /// A write that is corked does not count as activity until it leaves (TMO-02).
    corked_write_is_idle: false | true,
    /// `cork` holds back also what was written before it (WR-21).
    cork_holds_earlier_writes: false | true,
    /// A cork outlives the connection (CON-16).
    cork_survives_reconnect: false | true,
    /// The lengths of texts are those of their UTF-16 form (WR-04, RD-16, RD-17).
    counts_utf16: false | true,
    /// Callbacks that wait count toward `write_queue_bytes_max` (contract C7).
    counts_callbacks: true | false,
    /// Bytes that the kernel refused stay counted in `bytes_written` (PROP-05).
    counts_refused_writes: false | true,
    /// When writes fail, each callback finds the later ones still queued (WR-19).
    fails_writes_one_by_one: false | true,
    /// Writes of a connect that failed are told before `close`, with the error of the connect (WR-12, WR-13).
    tells_unsent_before_close: true | false,

    // Reading.
    /// An end that comes right behind bytes is told in the next turn (RD-02).
    defers_end_behind_bytes: false | true,
    /// The largest piece of `read_exact` is 1 GiB, not 64 MiB (RD-10).
    reads_up_to_1_gib: false | true,
    /// What was received and not read stays readable after `destroy` (RD-20).
    keeps_stored_after_destroy: false | true,
    /// Listeners get the rest of what was received though one of them has destroyed the socket (RD-21).
    delivers_after_destroy: false | true,
    /// A `readable` listener hears of the bytes of the next connection too (CON-16).
    rearms_readable: true | false,
    /// `deliver_before_error` is heeded, and a broken connection is read to its end first (DST-10).
    may_deliver_before_error: true | false,

    // Ending and destroying.
    /// The end goes out in the next turn, not inside `end` (END-01).
    defers_shutdown: false | true,
    /// An accepted connection with nothing left to do is closed without a shutdown before it (END-13).
    closes_without_shutdown: true | false,
    /// The callback of `end` on a destroyed socket is told so (DST-18).
    answers_end_after_destroy: true | false,
    /// `destroy` sends what fits into the kernel's buffer (WR-20).
    destroy_flushes: true | false,
    /// `close` says whether there was an error also of a socket that never had a descriptor (END-18).
    close_tells_every_error: true | false,
    /// A reset while our side is being ended is refused, and `close` never comes (DST-15).
    refuses_reset_while_ending: false | true,
    /// A connection that fails by our own decision is reset, so that the stream does not look whole
    /// (DST-06).
    resets_failed_connections: true | false,
    /// Listeners are dropped after `close` (contract C2).
    drops_listeners_after_close: true | false,
    /// An error of an outgoing connection that nobody listens to ends `run` at once (contract C5).
    unheard_error_ends_run: false | true,

    // Connecting.
    /// What is known at once is told inside `connect` (CON-04, HE-04).
    tells_inside_connect: false | true,
    /// `connect` on a socket that connects or is connected is tried (CON-18).
    tries_to_connect_again: false | true,
    /// `connect` between `destroy` and `close` makes the socket a new one (CON-17).
    connects_before_close: false | true,
    /// The callback of a connect that failed runs with the next that succeeds, and each call of
    /// `set_timeout_then` adds one (CON-16, TMO-04).
    keeps_old_once_listeners: false | true,
    /// `ready` follows `connect` though a listener has destroyed the socket (CON-05, DST-12).
    ready_after_destroy: false | true,
    /// The answer of a lookup is told though the socket is destroyed (HE-26).
    tells_late_lookup: false | true,
    /// An attempt that the system refuses inside the call is told as failed (CON-10, IPC-10).
    tells_immediate_failure: true | false,
    /// An attempt that `destroy` cancels is told as failed (HE-24).
    tells_cancelled_attempt: false | true,
    /// A connect that waits for a lookup hook holds the loop, and a reply that is dropped is an error
    /// (HE-04).
    watches_lookup_hooks: true | false,
    /// A Unix server whose queue is full is tried again (IPC-10).
    retries_full_queue: true | false,
    /// An accepted socket that connects again is no connection of its server any more (CON-16).
    leaves_server_when_reconnected: true | false,

    // Servers, and properties.
    /// Each call of `close` on a server is another event (CLS-05).
    every_server_close_is_told: false | true,
    /// A server remembers its path after `close` (IPC-02).
    keeps_server_path: false | true,
    /// Addresses are asked for when they are wanted, and are gone after `destroy` (PROP-08, PROP-09, DST-01).
    asks_for_addresses: false | true,
    /// Messages are worded as Node's, IPv6 addresses without brackets (BEHAVIOUR 0.2).
    words_as_node: false | true,
}
