//! The public API of `fyke` as text (`docs/api.txt`), and how much of it has running examples.
//!
//! Both are read from rustdoc's JSON. Items that `fyke` re-exports from `fyke-driver` and `fyke-machine`
//! count as `fyke`'s.

mod described;
mod examples;
mod listing;

use std::collections::BTreeSet;
use std::path::Path;

use described::Described;
use listing::Listing;

const API: &str = "docs/api.txt";

const HEADER: &str = "\
# The public API of the crate fyke with all features on Linux, one item per line. Methods of trait
# implementations, and automatic traits other than Send and Sync, are left out.
# Written by `cargo xtask api`; `cargo xtask api --check` compares it with the source.
";

pub(crate) fn write(root: &Path) -> Result<Vec<String>, String> {
    let listing = list(root)?;
    std::fs::write(root.join(API), print(&listing)).map_err(|error| format!("{API}: {error}"))?;
    Ok(listing.complaints())
}

pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let listing = match list(root) {
        Ok(listing) => listing,
        Err(reason) => {
            println!("SKIPPED: {API} and the share of examples were not checked: {reason}");
            return Ok(Vec::new());
        }
    };
    let before = crate::read(root, API)?;
    let mut complaints = listing.complaints();
    complaints.extend(difference(&before, &print(&listing)));
    complaints.extend(examples::check(&listing.functions));
    Ok(complaints)
}

/// The error says why there is no description, for example because of another version of the compiler.
fn list(root: &Path) -> Result<Listing, String> {
    let describe = |package| Described::new(root, package);
    Ok(Listing::new(&describe("fyke")?, &[describe("fyke-driver")?, describe("fyke-machine")?]))
}

fn print(listing: &Listing) -> String {
    let mut text = String::from(HEADER);
    for line in &listing.lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Describes the lines that only one of the texts has.
fn difference(before: &str, now: &str) -> Option<String> {
    if before == now {
        return None;
    }
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.lines().collect(), now.lines().collect());
    let mut complaint = format!("{API} is not the public API; review, and run cargo xtask api:");
    let removed = old.difference(&new).map(|line| format!("\n- {line}"));
    let added = new.difference(&old).map(|line| format!("\n+ {line}"));
    complaint.extend(removed.chain(added));
    Some(complaint)
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_names_the_lines_that_were_removed_and_added() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let complaint = difference("a\nb\n", "b\nc\n").unwrap();
        let lines: Vec<_> = complaint.lines().skip(1).collect();
        assert_eq!(lines, ["- a", "+ c"]);
    }

    #[test]
    fn another_order_of_the_same_lines_is_a_difference() {
        assert!(difference("a\nb\n", "b\na\n").is_some());
    }
}
