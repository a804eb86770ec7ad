//! Which behaviours a test's name refers to: `end_03_end_04_both_sides_…`.

use std::collections::BTreeSet;

/// The ids at the beginning of a test's name, empty for other tests. A letter may follow the number,
/// for one part of a behaviour: `wr_08b_…` refers to WR-08.
///
/// Text that looks like an id of an unknown area counts as an id too, so that a typing error is
/// reported.
pub(crate) fn ids_in(name: &str, areas: &BTreeSet<&str>) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let mut ids = Vec::new();
    for pair in words.chunks_exact(2) {
        let Some(id) = id_of(pair[0], pair[1]) else { break };
        let known = id.split('-').next().is_some_and(|area| areas.contains(area));
        if !known && !ids.is_empty() {
            break;
        }
        ids.push(id);
    }
    ids
}

fn id_of(area: &str, number: &str) -> Option<String> {
    let letters = area.bytes().all(|byte| byte.is_ascii_lowercase());
    let digits = number.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(number);
    let number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    ((2..=4).contains(&area.len()) && letters && number)
        .then(|| format!("{}-{digits}", area.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(name: &str) -> Vec<String> {
        ids_in(name, &BTreeSet::from(["WR", "END", "ISIP"]))
    }

    #[test]
    fn one_or_several_ids_stand_at_the_beginning() {
        assert_eq!(ids("wr_08_callbacks_run_in_order"), ["WR-08"]);
        assert_eq!(ids("end_03_end_04_wr_01_all_of_it"), ["END-03", "END-04", "WR-01"]);
        assert_eq!(ids("isip_01"), ["ISIP-01"]);
    }

    #[test]
    fn a_letter_names_a_part() {
        assert_eq!(ids("wr_08b_wr_09c_parts"), ["WR-08", "WR-09"]);
    }

    #[test]
    fn ids_after_the_beginning_do_not_count() {
        assert!(ids("after_wr_08_nothing_happens").is_empty());
        assert_eq!(ids("wr_08_and_wr_09_too"), ["WR-08"]);
    }

    #[test]
    fn contracts_counts_and_words_are_not_ids() {
        assert!(ids("c8_nothing_is_lost").is_empty());
        assert!(ids("wr_8_is_too_short").is_empty());
        assert!(ids("wr_008_is_too_long").is_empty());
        assert!(ids("write_08_is_no_area").is_empty());
        assert_eq!(ids("wr_08_in_10_turns"), ["WR-08"]);
    }

    #[test]
    fn an_unknown_area_at_the_beginning_is_reported() {
        assert_eq!(ids("rw_08_letters_swapped"), ["RW-08"]);
        assert_eq!(ids("wr_99_no_such_number"), ["WR-99"]);
    }
}
