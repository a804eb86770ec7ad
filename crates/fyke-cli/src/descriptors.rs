//! How many descriptors this process may have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. The soft one is low for the sake of programs that use
/// `select` (file-hierarchy(7), systemd.exec(5)), which this is not.
pub(crate) fn allow_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it cannot be had, what was there before has to do.
    let _ = setrlimit(Resource::Nofile, limit);
}
