//! The lines of the public API, and its functions.

use std::collections::{HashMap, HashSet};

use public_api::PublicItem;

use super::described::{Described, Reexport};

/// The crates whose types are part of the API only where `fyke` re-exports them.
const INNER_CRATES: [&str; 2] = ["fyke_driver", "fyke_machine"];

pub(super) struct Listing {
    pub(super) lines: Vec<String>,
    pub(super) functions: Vec<Function>,
    seen: HashSet<String>,
}

pub(super) struct Function {
    pub(super) line: String,
    pub(super) docs: String,
}

impl Listing {
    /// Lists the crate, and what it re-exports from `parts`, under the names that its users write.
    pub(super) fn new(krate: &Described, parts: &[Described]) -> Self {
        let reexports: Vec<Reexport> = krate.reexports().collect();
        let mut listing = Self { lines: Vec::new(), functions: Vec::new(), seen: HashSet::new() };
        let every: HashSet<u32> = krate.items.iter().map(|item| item.id().0).collect();
        listing.add(krate, &every, &reexports);
        for part in parts {
            let ids = reexports.iter().filter_map(|reexport| part.id_of(&reexport.definition));
            listing.add(part, &within(part, ids.collect()), &reexports);
        }
        listing
    }

    fn add(&mut self, krate: &Described, wanted: &HashSet<u32>, reexports: &[Reexport]) {
        for item in krate.items.iter().filter(|item| wanted.contains(&item.id().0)) {
            let minor =
                krate.auto_trait(item).is_some_and(|name| !["Send", "Sync"].contains(&name));
            let is_function = krate.is_function(item);
            if minor || krate.is_inherent_impl(item) || is_function && krate.is_in_trait_impl(item)
            {
                continue;
            }
            let line = shortened(&renamed(item.to_string(), reexports));
            let is_expanded = reexports.iter().any(|reexport| reexport.is_listed_as(&line));
            let is_inner = line.starts_with("impl") && names_inner_crate(&line);
            // Several implementations may have an equal associated type, and a crate may know an item under
            // two paths.
            if is_expanded || is_inner || !self.seen.insert(line.clone()) {
                continue;
            }
            if is_function {
                let docs = krate.docs(item).to_owned();
                self.functions.push(Function { line: line.clone(), docs });
            }
            self.lines.push(line);
        }
    }

    /// Types of the inner crates that are in the API and not re-exported.
    pub(super) fn complaints(&self) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| names_inner_crate(line));
        lines.map(|line| format!("a type that fyke does not re-export: {line}")).collect()
    }
}

impl Reexport {
    /// Whether the line is the re-export of an item whose definition is listed in its place.
    fn is_listed_as(&self, line: &str) -> bool {
        INNER_CRATES.contains(&self.definition[0].as_str())
            && line == format!("pub use fyke::{}", self.name)
    }
}

fn names_inner_crate(line: &str) -> bool {
    INNER_CRATES.iter().any(|name| line.contains(&format!("{name}::")))
}

/// The ids of these items and of everything in them.
fn within(krate: &Described, roots: HashSet<u32>) -> HashSet<u32> {
    let parent_of = |item: &PublicItem| Some((item.id().0, item.parent_id()?.0));
    let parents: HashMap<u32, u32> = krate.items.iter().filter_map(parent_of).collect();
    let is_within = |id: &u32| {
        let mut ancestors = std::iter::successors(Some(*id), |id| parents.get(id).copied());
        ancestors.any(|id| roots.contains(&id))
    };
    krate.items.iter().map(|item| item.id().0).filter(is_within).collect()
}

/// Replaces the paths of re-exported items by the names that users of `fyke` write.
fn renamed(mut line: String, reexports: &[Reexport]) -> String {
    for Reexport { definition, name } in reexports {
        let ours = format!("fyke::{name}");
        // Its modules may be private, so it may also be known without the last ones of them.
        let Some((last, modules)) = definition.split_last() else { continue };
        for count in (1..=modules.len()).rev() {
            line = replaced(&line, &format!("{}::{last}", modules[..count].join("::")), &ours);
        }
    }
    line
}

/// Replaces a path where it is not a part of a longer one.
fn replaced(line: &str, path: &str, by: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(path) {
        let (before, after) = (&rest[..at], &rest[at + path.len()..]);
        let continues = after.starts_with(is_word);
        out.push_str(before);
        let begun = out.ends_with(|c| is_word(c) || c == ':');
        out.push_str(if begun || continues { path } else { by });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Leaves out the modules of the standard library's items, except where the name alone is unclear.
fn shortened(line: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_path) {
        let (before, from) = rest.split_at(start);
        let (path, after) = from.split_at(from.find(|c| !is_path(c)).unwrap_or(from.len()));
        out.push_str(before);
        out.push_str(&match path.split("::").collect::<Vec<_>>().as_slice() {
            ["core" | "alloc" | "std", module, .., "Error"] => format!("{module}::Error"),
            ["core" | "alloc" | "std", .., name] => (*name).to_owned(),
            _ => path.to_owned(),
        });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::{Reexport, renamed, shortened};

    #[test]
    fn items_of_the_standard_library_are_listed_without_their_modules() {
        let line = "pub fn fyke::f(x: core::option::Option<&'a std::io::error::Error>) -> fyke::Result<()>";
        let expected = "pub fn fyke::f(x: Option<&'a io::Error>) -> fyke::Result<()>";
        assert_eq!(shortened(line), expected);
        let line = "impl core::fmt::Debug for fyke::Payload<'a>: core::marker::Send + 'static";
        assert_eq!(shortened(line), "impl Debug for fyke::Payload<'a>: Send + 'static");
    }

    #[test]
    fn a_reexported_item_has_the_name_that_users_write() {
        let reexport = |definition: &[&str], name: &str| Reexport {
            definition: definition.iter().map(|&part| part.to_owned()).collect(),
            name: name.to_owned(),
        };
        let reexports = [
            reexport(&["fyke_driver", "address", "Address"], "Address"),
            reexport(&["fyke_driver", "sim"], "sim"),
            reexport(&["bytes", "bytes", "Bytes"], "Bytes"),
        ];
        let line = "pub fn fyke_driver::Address::f(a: fyke_driver::address::Address) -> fyke_driver::sim::X";
        let expected = "pub fn fyke::Address::f(a: fyke::Address) -> fyke::sim::X";
        assert_eq!(renamed(line.to_owned(), &reexports), expected);
        let line = "impl From<bytes::bytes::Bytes> for bytes::Bytes";
        let expected = "impl From<fyke::Bytes> for fyke::Bytes";
        assert_eq!(renamed(line.to_owned(), &reexports), expected);
        let other = "pub struct fyke_driver::AddressBook";
        assert_eq!(renamed(other.to_owned(), &reexports), other);
    }
}
