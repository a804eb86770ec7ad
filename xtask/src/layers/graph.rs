//! Which file names items of which other file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::syntax::{Contents, Names, Path, read};

/// A file names an item that another file defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
}

impl Edge {
    pub(super) fn new(from: &str, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned() }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)
    }
}

/// A module: a file, or a part of one.
struct Module {
    file: String,
    /// `None` for the root of a crate.
    parent: Option<usize>,
    root: usize,
    names: BTreeMap<String, Name>,
    /// The names in the module's code, including `use`; re-exports only where their names are used.
    paths: BTreeSet<Path>,
}

/// What a name of a module refers to.
enum Name {
    Module(usize),
    /// Defined here.
    Item,
    /// Defined elsewhere.
    Use(Path),
}

/// The files of all crates, and which names which.
#[derive(Default)]
pub(super) struct Graph {
    modules: Vec<Module>,
    /// By the names that code uses, such as `fyke_driver`.
    roots: BTreeMap<String, usize>,
    pub(super) files: BTreeMap<String, Names>,
    /// With the names.
    pub(super) edges: BTreeMap<Edge, BTreeSet<String>>,
}

/// The maximum length of a chain of `use`. No code has longer ones.
const DEPTH_MAX: usize = 16;

impl Graph {
    /// Reads the crates with these folders from the sources, whose paths start at the root of the
    /// project. A crate without a source is omitted.
    pub(super) fn read(
        crates: &BTreeSet<String>,
        sources: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let mut graph = Self::default();
        for name in crates {
            let folder = format!("crates/{name}/src");
            let root = format!("{folder}/lib.rs");
            if sources.contains_key(&root) {
                let module = graph.add_file(sources, &root, &folder, None)?;
                graph.roots.insert(name.replace('-', "_"), module);
            }
        }
        graph.find_edges();
        Ok(graph)
    }

    fn add_file(
        &mut self,
        sources: &BTreeMap<String, String>,
        file: &str,
        folder: &str,
        parent: Option<usize>,
    ) -> Result<usize, String> {
        let source = sources.get(file).ok_or_else(|| format!("{file} is missing"))?;
        let (contents, names) = read(source).map_err(|error| format!("{file}: {error}"))?;
        self.files.entry(file.to_owned()).or_default().extend(names);
        self.add_module(sources, file, folder, parent, contents)
    }

    fn add_module(
        &mut self,
        sources: &BTreeMap<String, String>,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        contents: Contents,
    ) -> Result<usize, String> {
        let id = self.modules.len();
        let root = parent.map_or(id, |parent| self.modules[parent].root);
        let Contents { items, uses, paths, files, inline } = contents;
        let mut names: BTreeMap<String, Name> =
            uses.into_iter().map(|(name, path)| (name, Name::Use(path))).collect();
        names.extend(items.into_iter().map(|name| (name, Name::Item)));
        self.modules.push(Module { file: file.to_owned(), parent, root, names, paths });
        // Modules take precedence: `mod connect;` next to `pub use connect::connect;`.
        for name in files {
            let inner = format!("{folder}/{name}");
            let candidates = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
            let found = candidates.iter().find(|file| sources.contains_key(*file));
            let found = found.ok_or_else(|| format!("{file}: there is no file for mod {name}"))?;
            let child = self.add_file(sources, found, &inner, Some(id))?;
            self.modules[id].names.insert(name, Name::Module(child));
        }
        for (name, contents) in inline {
            let inner = format!("{folder}/{name}");
            let child = self.add_module(sources, file, &inner, Some(id), contents)?;
            self.modules[id].names.insert(name, Name::Module(child));
        }
        Ok(id)
    }

    fn find_edges(&mut self) {
        let mut edges: BTreeMap<Edge, BTreeSet<String>> = BTreeMap::new();
        for (id, module) in self.modules.iter().enumerate() {
            for path in &module.paths {
                let Some(to) = self.resolve(id, path, 0) else { continue };
                if to != module.file {
                    let names = edges.entry(Edge::new(&module.file, to)).or_default();
                    names.insert(path.join("::"));
                }
            }
        }
        self.edges = edges;
    }

    /// The file that defines the item of a path; `None` for a path outside these crates.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<&str> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut at = from;
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (self.modules[at].root, &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    (at, rest) = (self.modules[at].parent?, &rest[1..]);
                }
            }
            first if self.modules[at].names.contains_key(first) => {
                // A variable with the same name as a module.
                let alone = path.len() == 1;
                if alone && matches!(self.modules[at].names[first], Name::Module(_)) {
                    return None;
                }
            }
            first => (at, rest) = (*self.roots.get(first)?, &path[1..]),
        }
        while let Some((name, after)) = rest.split_first() {
            match self.modules[at].names.get(name) {
                Some(Name::Module(child)) => (at, rest) = (*child, after),
                Some(Name::Use(path)) => {
                    let path: Vec<String> = path.iter().chain(after).cloned().collect();
                    return self.resolve(at, &path, depth + 1);
                }
                // A macro, a variant, or an item imported by `use …::*`.
                Some(Name::Item) | None => break,
            }
        }
        Some(&self.modules[at].file)
    }

    /// The files that can be reached from one file, without these edges.
    fn reachable(&self, from: &str, without: &BTreeSet<Edge>) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            let edges = self.edges.keys().filter(|edge| edge.from == file);
            for edge in edges.filter(|edge| !without.contains(edge)) {
                if found.insert(edge.to.as_str()) {
                    open.push(&edge.to);
                }
            }
        }
        found
    }

    /// Whether an edge is part of a circle.
    pub(super) fn closes_circle(&self, edge: &Edge, without: &BTreeSet<Edge>) -> bool {
        self.reachable(&edge.to, without).contains(edge.from.as_str())
    }

    /// Groups of files in which every file leads to all others.
    pub(super) fn circles(&self, without: &BTreeSet<Edge>) -> Vec<BTreeSet<&str>> {
        let reachable: BTreeMap<&str, BTreeSet<&str>> =
            self.files.keys().map(|file| (file.as_str(), self.reachable(file, without))).collect();
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for (file, there) in &reachable {
            let back = there.iter().filter(|other| reachable[*other].contains(file));
            let circle: BTreeSet<&str> = back.copied().collect();
            if !circle.is_empty() && !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }
}
