//! The memory that a closed connection keeps.

mod bench;

use bench::{pair, run};
use fyke_machine::connection::Phase;
use fyke_machine::policy;

/// A closed socket may be kept for long, and its queue has 250 bytes.
#[test]
fn closed_connection_releases_its_queue_even_if_it_is_corked_or_owes_a_drain() {
    let (mut corked, mut b) = pair(policy::DEFAULT);
    corked.step(|machine, _, fx| machine.cork(fx));
    corked.write(b"held back", Some(1));
    corked.destroy(None);
    assert!(corked.machine.write.has_queue());
    run(&mut corked, &mut b);
    assert_eq!(corked.machine.phase, Phase::Closed);
    assert!(!corked.machine.write.has_queue());

    let (mut full, mut b) = pair(policy::DEFAULT);
    full.window_bytes = 0;
    assert!(!full.write(&[7; 100], None));
    full.destroy(None);
    assert!(full.machine.write.has_queue());
    run(&mut full, &mut b);
    assert_eq!(full.machine.phase, Phase::Closed);
    assert!(!full.machine.write.has_queue());
}
