//! Lines of JSON, with their fields in the order in which they were added.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::visible;

/// One JSON object, printed as one line.
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    /// Starts a line with the event and its time.
    pub(crate) fn event(event: &str) -> Self {
        Self::new().with("time", crate::clock::now()).with("event", event)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.name(name);
        self.0 += &visible::of_json(value.into().to_string());
        self
    }

    /// Adds bytes: as `text` if they are UTF-8, otherwise as `base64`.
    pub(crate) fn with_bytes(self, bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.with("text", text),
            Err(_) => self.with("base64", STANDARD.encode(bytes)),
        }
    }

    /// Adds another object as a field.
    pub(crate) fn with_line(mut self, name: &str, line: Self) -> Self {
        self.name(name);
        self.0 += &line.finish();
        self
    }

    /// Escapes field names too, because some of them contain error messages.
    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0 += &visible::of_json(Value::from(name).to_string());
        self.0.push(':');
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Reads the bytes that [`Line::with_bytes`] has written.
pub(crate) fn bytes(object: &Value) -> Option<Vec<u8>> {
    match (object["text"].as_str(), object["base64"].as_str()) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(base64)) => STANDARD.decode(base64).ok(),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_and_keeps_the_order_of_its_fields() {
        let inner = Line::new().with("x", 1.5);
        let line = Line::new().with("b", 1).with("a", "\"\n").with_line("c", inner).finish();
        assert_eq!(line, r#"{"b":1,"a":"\"\n","c":{"x":1.5}}"#);
        assert_eq!(Line::new().finish(), "{}");
        let line = Line::new().with("\"\x1b\u{202e}", "\u{9b}").finish();
        assert_eq!(line, r#"{"\"\u001b\u202e":"\u009b"}"#);
    }

    #[test]
    fn arbitrary_bytes_round_trip_through_json() {
        for sample in [&b"hello"[..], b"\0\r\n\"", b"\xff\xfe", "\u{1F41F}".as_bytes(), b""] {
            let line = Line::new().with_bytes(sample).finish();
            let value: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(bytes(&value).unwrap(), sample);
        }
        assert_eq!(bytes(&serde_json::json!({ "base64": "?" })), None);
        assert_eq!(bytes(&serde_json::json!({})), None);
    }
}
