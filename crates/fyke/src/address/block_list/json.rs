//! Block lists as JSON: an array of rules, as in Node's `toJSON` and `fromJSON`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::BlockList;
use crate::{Error, ErrorCode, Result};

/// # JSON (feature `serde`)
impl BlockList {
    /// Returns the rules as JSON text: an array of strings. Node: `JSON.stringify(blockList)`.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_address("192.0.2.1")?;
    /// assert_eq!(list.to_json(), r#"["Address: IPv4 192.0.2.1"]"#);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "stringify")]
    pub fn to_json(&self) -> String {
        serde_json::Value::from(self.rules()).to_string()
    }

    /// Adds the rules of a JSON text in the form of [`to_json`](Self::to_json), in the order described at
    /// [`add_rules`](Self::add_rules). If one of them is not valid, none is added. Node: `fromJSON` with a
    /// text.
    ///
    /// ```
    /// let list = fyke::BlockList::new();
    /// list.add_json(r#"["Subnet: IPv4 10.0.0.0/8"]"#)?;
    /// assert!(list.check([10, 1, 2, 3]));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `ERR_INVALID_ARG_VALUE` if the text is not JSON.
    /// - `ERR_INVALID_ARG_TYPE` if the JSON value is not an array of strings.
    /// - The errors of [`add_rules`](Self::add_rules).
    #[doc(alias = "fromJSON")]
    pub fn add_json(&self, json: &str) -> Result<()> {
        // Parsed in two steps, to distinguish the two kinds of error as Node does (BLK-19).
        let parsed: serde_json::Value = serde_json::from_str(json).map_err(|error| {
            Error::new(
                ErrorCode::ERR_INVALID_ARG_VALUE,
                format!("the text is not valid JSON: {error}"),
            )
        })?;
        let texts = Vec::<String>::deserialize(parsed).map_err(|error| {
            let message =
                format!("the rules of a block list must be a JSON array of strings: {error}");
            Error::new(ErrorCode::ERR_INVALID_ARG_TYPE, message)
        })?;
        self.add_rules(texts)
    }
}

/// Serializes the list of its [`rules`](BlockList::rules).
impl Serialize for BlockList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rules())
    }
}

/// Deserializes a list of rules with [`from_rules`](BlockList::from_rules).
impl<'de> Deserialize<'de> for BlockList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Self::from_rules(texts).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> BlockList {
        let list = BlockList::new();
        list.add_address("1.2.3.4").unwrap();
        list.add_cidrs(BlockList::PRIVATE_RANGES).unwrap();
        list.add_range("8.0.0.1", "8.0.0.9").unwrap();
        list
    }

    fn sorted(list: &BlockList) -> Vec<String> {
        let mut rules = list.rules();
        rules.sort();
        rules
    }

    #[test]
    fn blk_18_a_list_round_trips_through_json() {
        let list = listed();
        let json = list.to_json();
        assert!(json.starts_with(r#"["Address: IPv4 1.2.3.4","Subnet: IPv6 fc00::/7","#), "{json}");
        assert_eq!(serde_json::to_string(&list).unwrap(), json);
        let copy = BlockList::new();
        copy.add_json(&json).unwrap();
        assert_eq!(sorted(&copy), sorted(&list));
        let copy: BlockList = serde_json::from_str(&json).unwrap();
        assert_eq!(sorted(&copy), sorted(&list));
    }

    #[test]
    fn blk_18_a_json_text_adds_to_the_rules() {
        let list = listed();
        let rules = list.len();
        list.add_json(r#" [ "Address: IPv4 1.2.3.4", "Subnet: \u0049Pv4 9.0.0.0/8" ] "#).unwrap();
        assert_eq!(list.len(), rules + 1);
        list.add_json("[]").unwrap();
        assert_eq!(list.len(), rules + 1);
    }

    #[test]
    fn blk_19_text_that_is_not_a_json_array_of_strings_is_refused() {
        let bad = [
            ("", ErrorCode::ERR_INVALID_ARG_VALUE),
            ("Address: IPv4 1.2.3.4", ErrorCode::ERR_INVALID_ARG_VALUE),
            ("[1, x]", ErrorCode::ERR_INVALID_ARG_VALUE),
            (r#"["a",]"#, ErrorCode::ERR_INVALID_ARG_VALUE),
            ("123", ErrorCode::ERR_INVALID_ARG_TYPE),
            ("null", ErrorCode::ERR_INVALID_ARG_TYPE),
            ("{}", ErrorCode::ERR_INVALID_ARG_TYPE),
            (r#""Address: IPv4 1.2.3.4""#, ErrorCode::ERR_INVALID_ARG_TYPE),
            (r#"["Address: IPv4 1.2.3.4", 1]"#, ErrorCode::ERR_INVALID_ARG_TYPE),
            (
                r#"["Address: IPv4 1.2.3.4", "Subnet: IPv4 1.2.3.4/33"]"#,
                ErrorCode::ERR_OUT_OF_RANGE,
            ),
        ];
        for (json, code) in bad {
            let list = BlockList::new();
            assert_eq!(list.add_json(json).unwrap_err().code(), code, "{json}");
            assert!(list.is_empty(), "{json}");
        }
        let error =
            serde_json::from_str::<BlockList>(r#"["Address: IPv4 999.1.1.1"]"#).unwrap_err();
        assert!(error.to_string().contains("ERR_INVALID_ADDRESS"), "{error}");
    }
}
