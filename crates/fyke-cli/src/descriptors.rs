//! The limit on the number of descriptors of this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard limit. The soft limit is low because of programs that use
/// `select` (file-hierarchy(7), systemd.exec(5)); fyke does not use it.
pub(crate) fn allow_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If this fails, the old limit remains.
    let _ = setrlimit(Resource::Nofile, limit);
}
