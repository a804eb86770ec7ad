//! Collects the tests of the project by the behaviours in their names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::behaviour::Behaviour;
use crate::names::ids_in;
use crate::source::{Kind, functions};

/// A test, by its file and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    /// The path from the root of the project, with `/`.
    pub(crate) file: String,
    pub(crate) name: String,
}

#[derive(Debug, Default)]
pub(crate) struct TestsById {
    by_id: BTreeMap<String, Vec<Test>>,
    /// Wrong names.
    complaints: Vec<String>,
}

impl TestsById {
    /// Reads all sources in these folders of `root`.
    pub(crate) fn find(
        root: &Path,
        folders: &[&str],
        behaviour: &Behaviour,
    ) -> Result<Self, String> {
        let mut files = Vec::new();
        for folder in folders {
            files.extend(rust_files(root, folder)?);
        }
        // By path components: a folder sorts before longer names.
        files.sort_by(|a, b| Path::new(a).cmp(Path::new(b)));
        let mut found = Self::default();
        for file in files {
            found.add(&file, &crate::read(root, &file)?, behaviour);
        }
        Ok(found)
    }

    /// Adds the tests of one source.
    pub(crate) fn add(&mut self, file: &str, source: &str, behaviour: &Behaviour) {
        let areas = behaviour.areas();
        for function in functions(source) {
            let name = function.name;
            for id in ids_in(&name, &areas) {
                let complaint = match function.kind {
                    Kind::Test if behaviour.has(&id) => {
                        let tests = self.by_id.entry(id).or_default();
                        let test = Test { file: file.to_owned(), name: name.clone() };
                        if !tests.contains(&test) {
                            tests.push(test);
                        }
                        continue;
                    }
                    Kind::Test => format!("there is no {id}"),
                    Kind::Ignored => format!("an ignored test does not prove {id}"),
                    Kind::Other => format!("names {id} but is not a test"),
                };
                self.complaints.push(format!("{file}: {name}: {complaint}"));
            }
        }
    }

    pub(crate) fn of(&self, id: &str) -> &[Test] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }
}

/// The Rust files below a folder of `root`, by their paths from `root` with `/`. Build output is
/// skipped.
pub(crate) fn rust_files(root: &Path, folder: &str) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    sources(&root.join(folder), &mut files).map_err(|error| format!("{folder}: {error}"))?;
    let name = |file: &PathBuf| {
        let name = file.strip_prefix(root).unwrap_or(file);
        name.to_string_lossy().replace('\\', "/")
    };
    Ok(files.iter().map(name).collect())
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, into)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour() -> Behaviour {
        let text = "## 1. WR\n### WR-01 a\nfyke: same\n### WR-02 b\nfyke: same\n";
        Behaviour::parse(text).unwrap()
    }

    #[test]
    fn a_test_with_two_ids_counts_for_both() {
        let mut tests = TestsById::default();
        tests.add("a.rs", "#[test] fn wr_01_wr_02b_x() {}", &behaviour());
        let test = Test { file: "a.rs".into(), name: "wr_01_wr_02b_x".into() };
        assert_eq!(tests.of("WR-01"), std::slice::from_ref(&test));
        assert_eq!(tests.of("WR-02"), std::slice::from_ref(&test));
        assert!(tests.of("WR-03").is_empty() && tests.complaints().is_empty());
    }

    #[test]
    fn two_parts_of_one_id_in_a_name_count_as_one_test() {
        let mut tests = TestsById::default();
        tests.add("a.rs", "#[test] fn wr_01a_wr_01b_x() {}", &behaviour());
        assert_eq!(tests.of("WR-01").len(), 1);
    }

    #[test]
    fn unknown_ids_and_functions_that_are_never_run_are_reported() {
        let mut tests = TestsById::default();
        let source = "#[test] fn wr_03_x() {} #[test] fn rw_01_x() {} fn wr_01_x() {} \
                      #[test] #[ignore] fn wr_02_x() {} fn helper() {}";
        tests.add("a.rs", source, &behaviour());
        assert_eq!(
            tests.complaints(),
            [
                "a.rs: wr_03_x: there is no WR-03",
                "a.rs: rw_01_x: there is no RW-01",
                "a.rs: wr_01_x: names WR-01 but is not a test",
                "a.rs: wr_02_x: an ignored test does not prove WR-02",
            ]
        );
        assert!(tests.of("WR-01").is_empty() && tests.of("WR-02").is_empty());
    }

    #[test]
    fn sources_are_found_in_folders_but_not_in_build_output() {
        let root = std::env::temp_dir().join(format!("xtask-test-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a/target")).unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/c.rs"), "#[test] fn wr_01_x() {}").unwrap();
        std::fs::write(root.join("a/target/d.rs"), "#[test] fn wr_02_x() {}").unwrap();
        std::fs::write(root.join("a/e.md"), "#[test] fn wr_02_x() {}").unwrap();
        let tests = TestsById::find(&root, &["a"], &behaviour());
        std::fs::remove_dir_all(&root).unwrap();
        let tests = tests.unwrap();
        assert_eq!(tests.of("WR-01")[0].file, "a/b/c.rs");
        assert!(tests.of("WR-02").is_empty());
        assert!(TestsById::find(&root, &["nowhere"], &behaviour()).is_err());
    }
}
