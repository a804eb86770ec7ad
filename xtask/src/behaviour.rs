//! Reads `docs/BEHAVIOUR.md`: the behaviours, and the decision about each.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

/// fyke's decision about a behaviour of Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Same,
    Adapted,
    Skip,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Adapted => "adapted",
            Self::Skip => "skip",
        })
    }
}

/// A numbered behaviour.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `WR-08`.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) decision: Decision,
    /// The reason or the explanation; may be empty.
    pub(crate) reason: String,
}

/// The entries below one heading.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(crate) struct Behaviour {
    /// In the order of the document; areas without an entry are omitted.
    pub(crate) sections: Vec<Section>,
}

impl Behaviour {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut sections: Vec<Section> = Vec::new();
        // The entry whose decision was not read yet.
        let mut open: Option<(&str, &str)> = None;
        for line in text.lines() {
            if line.starts_with("## ") || line.starts_with("### ") {
                if let Some((id, _)) = open {
                    return Err(format!("{id} has no line that begins with `fyke:`"));
                }
            }
            if let Some(title) = line.strip_prefix("## ") {
                sections.push(Section { title: title.to_owned(), entries: Vec::new() });
            } else if let Some(heading) = line.strip_prefix("### ") {
                open = heading.split_once(' ').filter(|(id, _)| is_id(id));
            } else if let Some(decided) = line.strip_prefix("fyke:") {
                let (id, title) = open.take().ok_or(format!("no behaviour above: {line}"))?;
                let (decision, reason) =
                    decision(decided).ok_or_else(|| format!("{id}: what is `{}`?", decided))?;
                let section = sections.last_mut().ok_or(format!("{id} is in no section"))?;
                section.entries.push(Entry {
                    id: id.to_owned(),
                    title: title.to_owned(),
                    decision,
                    reason,
                });
            }
        }
        if let Some((id, _)) = open {
            return Err(format!("{id} has no line that begins with `fyke:`"));
        }
        sections.retain(|section| !section.entries.is_empty());
        let behaviour = Self { sections };
        let mut seen = HashSet::new();
        let twice = behaviour.entries().find(|entry| !seen.insert(&entry.id));
        let twice = twice.map(|entry| format!("{} is defined twice", entry.id));
        twice.map_or(Ok(behaviour), Err)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.sections.iter().flat_map(|section| &section.entries)
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.entries().any(|entry| entry.id == id)
    }

    /// The letters that ids start with.
    pub(crate) fn areas(&self) -> BTreeSet<&str> {
        self.entries().filter_map(|entry| entry.id.split('-').next()).collect()
    }
}

/// Two to four capitals, a hyphen, two digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(area, number)| {
        (2..=4).contains(&area.len())
            && area.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.len() == 2
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Reads `adapted: the reason` or `same (a remark)`.
pub(crate) fn decision(text: &str) -> Option<(Decision, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let (word, reason) = text.split_at(end);
    let decision = match word {
        "same" => Decision::Same,
        "adapted" => Decision::Adapted,
        "skip" => Decision::Skip,
        _ => return None,
    };
    let reason = reason.trim_start_matches(':').trim();
    let inner = reason.strip_prefix('(').and_then(|reason| reason.strip_suffix(')'));
    let inner = inner.filter(|inner| !inner.contains(['(', ')']));
    Some((decision, inner.unwrap_or(reason).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "\
## 0. How to read
### 0.1 Words
fine
## 1. WR — writing
### WR-01 `write` answers
Facts.
fyke: same (fact 1c)

### WR-02 Callbacks
fyke: adapted: later, `Err`
";

    #[test]
    fn entries_have_a_title_a_decision_and_a_reason() {
        let behaviour = Behaviour::parse(TWO).unwrap();
        assert_eq!(behaviour.sections.len(), 1);
        assert_eq!(behaviour.sections[0].title, "1. WR — writing");
        let entries: Vec<&Entry> = behaviour.entries().collect();
        assert_eq!((&*entries[0].id, &*entries[0].title), ("WR-01", "`write` answers"));
        assert_eq!((entries[0].decision, &*entries[0].reason), (Decision::Same, "fact 1c"));
        assert_eq!((entries[1].decision, &*entries[1].reason), (Decision::Adapted, "later, `Err`"));
        assert_eq!(behaviour.areas().into_iter().collect::<Vec<_>>(), ["WR"]);
        assert!(behaviour.has("WR-02") && !behaviour.has("WR-03"));
    }

    #[test]
    fn an_entry_without_a_decision_is_an_error() {
        let text = TWO.replace("fyke: same (fact 1c)\n", "");
        assert!(Behaviour::parse(&text).unwrap_err().starts_with("WR-01"));
        let text = TWO.replace("fyke: adapted: later, `Err`\n", "");
        assert!(Behaviour::parse(&text).unwrap_err().starts_with("WR-02"));
    }

    #[test]
    fn duplicate_decisions_duplicate_ids_and_unknown_words_are_errors() {
        assert!(Behaviour::parse(&TWO.replace("Facts.", "fyke: same")).is_err());
        assert!(Behaviour::parse(&TWO.replace("WR-02", "WR-01")).unwrap_err().contains("twice"));
        assert!(Behaviour::parse(&TWO.replace("adapted", "adopted")).is_err());
    }

    #[test]
    fn remarks_lose_their_parentheses_only_if_these_enclose_everything() {
        assert_eq!(decision("same").unwrap().1, "");
        assert_eq!(decision(" same (`a`)").unwrap().1, "`a`");
        assert_eq!(decision("same (a) and (b)").unwrap().1, "(a) and (b)");
        assert!(decision("samely").is_none());
    }

    #[test]
    fn ids_are_capitals_and_two_digits() {
        assert!(is_id("WR-08") && is_id("PROC-18"));
        assert!(!is_id("0.1") && !is_id("WR-8") && !is_id("wr-08") && !is_id("C-08"));
    }
}
