//! Which public functions have an example that runs.

use super::listing::Function;

/// The required share: `WANTED` of `OF` functions.
const WANTED: usize = 2;
const OF: usize = 3;

/// Prints the share, and complains if it is too small.
pub(super) fn check(functions: &[Function]) -> Option<String> {
    let without: Vec<&str> =
        functions.iter().filter(|f| !has_example(&f.docs)).map(|f| f.line.as_str()).collect();
    let have = functions.len() - without.len();
    println!("{have} of {} public functions have a running example", functions.len());
    if have * OF >= functions.len() * WANTED {
        return None;
    }
    let names = without.join("\n");
    Some(format!("at least {WANTED} of {OF} must have one; these have none:\n{names}"))
}

/// Whether the documentation has a code block that rustdoc compiles and runs.
fn has_example(docs: &str) -> bool {
    let mut open = false;
    docs.lines().any(|line| {
        let Some(words) = line.trim_start().strip_prefix("```") else { return false };
        open = !open;
        open && words.split([',', ' ']).all(|word| ["", "rust", "should_panic"].contains(&word))
    })
}

#[cfg(test)]
mod tests {
    use super::{Function, check, has_example};

    #[test]
    fn an_example_is_a_block_that_runs() {
        assert!(has_example("Text.\n\n```\nassert!(true);\n```"));
        assert!(has_example("```rust,should_panic\npanic!()\n```"));
        assert!(has_example("```text\nno code\n```\n\n```\nassert!(true);\n```"));
        for other in ["no_run", "ignore", "compile_fail", "text", "sh", "rust,no_run"] {
            assert!(!has_example(&format!("```{other}\nx\n```")), "{other}");
        }
        assert!(!has_example("Text with `code`."));
    }

    #[test]
    fn less_than_two_of_three_is_a_complaint_that_names_the_others() {
        let functions = |with: usize, without: usize| {
            let example = |has: bool| Function {
                line: format!("pub fn has_{has}()"),
                docs: if has { "```\nx\n```".into() } else { String::new() },
            };
            let all = std::iter::repeat_n(true, with).chain(std::iter::repeat_n(false, without));
            all.map(example).collect::<Vec<_>>()
        };
        assert_eq!(check(&functions(2, 1)), None);
        assert!(check(&functions(3, 2)).unwrap().contains("pub fn has_false()"));
    }
}
