//! The conditions of gates and clients.

use super::fields::Complaint;

/// Once true, a condition stays true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The actor has had this event this many times.
    Event { actor: String, event: String, times: u64 },
    /// The actor has received this many bytes.
    Received { actor: String, bytes: u64 },
    /// The operation `mark` was performed with this name.
    Mark(String),
}

impl Condition {
    /// `A:EVENT`, `A:EVENT#n`, `A:received>=N` or `mark:NAME`.
    pub(crate) fn parse(text: &str) -> Result<Self, Complaint> {
        let bad = || Complaint::new(format!("bad condition {text:?}"));
        let (actor, rest) = text.split_once(':').ok_or_else(bad)?;
        if actor == "mark" {
            return Ok(Self::Mark(rest.to_owned()));
        }
        let actor = actor.to_owned();
        if let Some(bytes) = rest.strip_prefix("received>=") {
            return Ok(Self::Received { actor, bytes: bytes.parse().map_err(|_| bad())? });
        }
        let (event, times) = match rest.split_once('#') {
            Some((event, times)) => (event, times.parse().map_err(|_| bad())?),
            None => (rest, 1),
        };
        let is_name =
            !event.is_empty() && event.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        if actor.is_empty() || !is_name {
            return Err(bad());
        }
        Ok(Self::Event { actor, event: event.to_owned(), times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed() {
        let event = |times| Condition::Event {
            actor: String::from("S0.1"),
            event: String::from("write-cb"),
            times,
        };
        assert_eq!(Condition::parse("S0.1:write-cb").unwrap(), event(1));
        assert_eq!(Condition::parse("S0.1:write-cb#3").unwrap(), event(3));
        let received = Condition::Received { actor: String::from("C0"), bytes: 7 };
        assert_eq!(Condition::parse("C0:received>=7").unwrap(), received);
        assert_eq!(Condition::parse("mark:a b").unwrap(), Condition::Mark(String::from("a b")));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "C0", "C0:", ":end", "C0:end#x", "C0:received>=x", "C0:e1"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
