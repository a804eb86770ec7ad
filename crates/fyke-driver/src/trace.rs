//! One `tracing` event per system call that makes, joins, tunes or ends something, so that one can
//! watch the steps underneath (`fyke demo --explain`). Receiving and sending are left out: they
//! are the hot path, and the library reports them itself.

/// Emits a step at level TRACE under the target `fyke::step`. Costs nothing without the feature.
macro_rules! step {
    ($call:literal, $($field:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::trace!(target: "fyke::step", call = $call, $($field)*);
    };
}

pub(crate) use step;
