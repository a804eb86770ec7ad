//! Finds the functions of a Rust source, and which of them are tests.
//!
//! This is not a parser: comments and literals are blanked out, then words and braces are read. It
//! supports what the project's tests use.

/// A function, and whether the test harness runs it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// After `#[test]`, or directly in `on_every_driver! { … }` or another macro named `on_…`.
    Test,
    /// A test with `#[ignore]`, which is not run.
    Ignored,
    Other,
}

/// All named functions of a source, in order.
pub(crate) fn functions(source: &str) -> Vec<Function> {
    let text = blank_literals(source);
    let tokens = tokens(&text);
    let mut found = Vec::new();
    let mut attributes: Vec<String> = Vec::new();
    // For each open brace: whether the functions directly in it are tests.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match (tokens[at], tokens.get(at + 1).copied()) {
            ("#", Some("[")) => {
                let end = closing_bracket(&tokens, at + 1);
                attributes.push(tokens[at + 2..end].concat());
                at = end;
            }
            ("fn", Some(name)) if is_word(name) => {
                let has = |wanted: &str| {
                    attributes.iter().any(|a| a == wanted || a.starts_with(&format!("{wanted}=")))
                };
                let test = has("test") || braces.last() == Some(&true);
                let kind = match (test, has("ignore")) {
                    (true, false) => Kind::Test,
                    (true, true) => Kind::Ignored,
                    (false, _) => Kind::Other,
                };
                found.push(Function { name: name.to_owned(), kind });
                attributes.clear();
                at += 1;
            }
            ("{", _) => {
                let called = at >= 2 && tokens[at - 1] == "!" && tokens[at - 2].starts_with("on_");
                braces.push(called);
                attributes.clear();
            }
            ("}", _) => {
                braces.pop();
                attributes.clear();
            }
            (";", _) => attributes.clear(),
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, and all other characters one by one.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let len = if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(len);
        if !first.is_whitespace() {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

fn closing_bracket(tokens: &[&str], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "[" => depth += 1,
            "]" if depth == 1 => return at,
            "]" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The source without the content of comments, strings and character literals.
fn blank_literals(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let in_word = text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest)
        } else if in_word {
            0
        } else {
            raw_string(rest)
        };
        if skipped > 0 {
            text.push(' ');
            rest = &rest[skipped..];
        } else {
            text.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    text
}

/// The length of the comment at the start of `text`. Comments may be nested.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// `'x'` and `'\n'` are literals, `'static` is not.
fn character(text: &str) -> usize {
    let mut inner = text[1..].char_indices();
    match inner.next() {
        Some((_, '\\')) => {
            // The escaped character may be the quote.
            let after = 3.min(text.len());
            text.get(after..).and_then(|rest| rest.find('\'')).map_or(0, |end| after + end + 1)
        }
        Some(_) => match inner.next() {
            Some((at, '\'')) => at + 2,
            _ => 0,
        },
        None => 0,
    }
}

/// `r"…"`, `r#"…"#`, and the same after a `b` or a `c`.
fn raw_string(text: &str) -> usize {
    let after = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let Some(after) = after.strip_prefix('r') else { return 0 };
    let inner = after.trim_start_matches('#');
    if !inner.starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(after.len() - inner.len()));
    let begin = text.len() - inner.len() + 1;
    text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str, kind: Kind) -> Vec<String> {
        let found = functions(source).into_iter().filter(|function| function.kind == kind);
        found.map(|function| function.name).collect()
    }

    #[test]
    fn a_test_is_the_function_after_the_attribute() {
        let source =
            "fn a() {} #[test] fn b() {} fn c() {}\n#[test]\n/// Why.\n#[cfg(unix)]\npub fn d() {}";
        assert_eq!(names(source, Kind::Test), ["b", "d"]);
        assert_eq!(names(source, Kind::Other), ["a", "c"]);
    }

    #[test]
    fn functions_directly_in_on_every_driver_are_tests() {
        let source = "crate::on_every_driver! { fn a(net) { fn inner() {} if x { y() } }\n#[cfg(x)] fn b(net) {} } fn c() {}";
        assert_eq!(names(source, Kind::Test), ["a", "b"]);
        assert_eq!(names(source, Kind::Other), ["inner", "c"]);
    }

    #[test]
    fn the_macro_itself_and_other_macros_define_no_tests() {
        let source = "macro_rules! on_every_driver { ($n:ident) => { #[test] fn $n() {} fn x() {} } } codes! { fn y() {} }";
        assert_eq!(names(source, Kind::Test), [""; 0]);
        assert_eq!(names(source, Kind::Other), ["x", "y"]);
    }

    #[test]
    fn properties_are_tests() {
        let source = "proptest! { #![config(x)] #[test] fn a(b in 0..3, c in \"}\") {} }";
        assert_eq!(names(source, Kind::Test), ["a"]);
    }

    #[test]
    fn an_ignored_test_does_not_count() {
        let source =
            "#[test] #[ignore = \"slow\"] fn a() {} #[ignore] #[test] fn b() {} #[test] fn c() {}";
        assert_eq!(names(source, Kind::Ignored), ["a", "b"]);
        assert_eq!(names(source, Kind::Test), ["c"]);
    }

    #[test]
    fn an_attribute_belongs_to_the_next_item_only() {
        assert_eq!(names("#[test] const X: u8 = 1; fn a() {}", Kind::Test), [""; 0]);
        assert_eq!(names("#[test] mod x { fn a() {} }", Kind::Test), [""; 0]);
    }

    #[test]
    fn comments_and_literals_are_not_read() {
        let source = r##"
            // #[test] fn a() {}
            /* #[test] /* fn */ fn b() {} */
            const C: &str = "#[test] fn c() {} \" } {";
            const D: &str = r#"#[test] fn d() " {} } }"#;
            const E: [char; 4] = ['{', '\'', '"', '\u{7d}'];
            const F: &[u8] = br"\";
            fn lives<'a>(x: &'a str) -> &'a str { x }
            #[test] fn g() {}
        "##;
        assert_eq!(names(source, Kind::Test), ["g"]);
        assert_eq!(names(source, Kind::Other), ["lives"]);
    }

    #[test]
    fn an_unterminated_literal_extends_to_the_end() {
        for source in ["\"x", "/* x", "r#\"x\"", "'\\", "'", "br\"", "#[test", "fn"] {
            assert_eq!(functions(source), [], "{source}");
        }
    }
}
