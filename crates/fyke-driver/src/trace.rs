//! One `tracing` event for each system call that opens, connects, configures or closes something, so
//! that the underlying steps can be watched (`fyke demo --explain`). Receiving and sending are omitted:
//! they are the hot path, and the library reports them itself.

/// Emits a step at level TRACE under the target `fyke::step`. Costs nothing without the feature.
macro_rules! step {
    ($call:literal, $($field:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::trace!(target: "fyke::step", call = $call, $($field)*);
    };
}

pub(crate) use step;
