//! Reads `docs/layers.txt`.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Edge;

/// The content of the file.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// From top to bottom.
    layers: Vec<String>,
    /// The layer of each file or folder, as an index into the list.
    places: BTreeMap<String, usize>,
    pub(super) limits: Vec<Limit>,
    /// A crate, the folder that may name only some of its items, and those items.
    pub(super) imports: Vec<(String, String, BTreeSet<String>)>,
    pub(super) excepted_edges: Vec<Edge>,
    /// A name, and a file that may use it nevertheless.
    pub(super) excepted_names: BTreeSet<(String, String)>,
}

/// A name that only some files may use.
#[derive(Debug)]
pub(super) struct Limit {
    /// A word, or the end of a path.
    pub(super) name: String,
    pub(super) files: BTreeSet<String>,
}

impl Plan {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let result = match words.as_slice() {
                [] => Ok(()),
                ["layer", name] => {
                    plan.layers.push((*name).to_owned());
                    Ok(())
                }
                [place] if line.starts_with(' ') => plan.add_place(place),
                ["name", name, "only", "in", files @ ..] => {
                    let files = files.iter().map(|file| (*file).to_owned()).collect();
                    plan.limits.push(Limit { name: (*name).to_owned(), files });
                    Ok(())
                }
                ["name", name, "nowhere"] => {
                    plan.limits.push(Limit { name: (*name).to_owned(), files: BTreeSet::new() });
                    Ok(())
                }
                ["of", of, "in", folder, "only", names @ ..] => {
                    let names = names.iter().map(|name| (*name).to_owned()).collect();
                    plan.imports.push(((*of).to_owned(), (*folder).to_owned(), names));
                    Ok(())
                }
                ["except", from, "->", to] => {
                    plan.excepted_edges.push(Edge::new(from, to));
                    Ok(())
                }
                ["except", name, "in", file] => {
                    plan.excepted_names.insert(((*name).to_owned(), (*file).to_owned()));
                    Ok(())
                }
                _ => Err("not a rule"),
            };
            result.map_err(|complaint| format!("{}: {complaint}: {line}", super::PLAN))?;
        }
        Ok(plan)
    }

    fn add_place(&mut self, place: &str) -> Result<(), &'static str> {
        let layer = self.layers.len().checked_sub(1).ok_or("no layer above")?;
        match self.places.insert(place.to_owned(), layer) {
            None => Ok(()),
            Some(_) => Err("twice"),
        }
    }

    /// The crates that have a layer, by the names of their folders.
    pub(super) fn crates(&self) -> BTreeSet<String> {
        let names = self.places.keys().filter_map(|place| place.strip_prefix("crates/"));
        names.filter_map(|place| place.split('/').next()).map(str::to_owned).collect()
    }

    /// The longest folder that contains the file decides.
    fn level(&self, file: &str) -> Option<usize> {
        let is_in = |place: &str| file == place || place.ends_with('/') && file.starts_with(place);
        let places = self.places.iter().filter(|(place, _)| is_in(place));
        places.max_by_key(|(place, _)| place.len()).map(|(_, layer)| *layer)
    }

    pub(super) fn layer(&self, file: &str) -> Option<&str> {
        self.level(file).map(|level| self.layers[level].as_str())
    }

    pub(super) fn is_upward(&self, edge: &Edge) -> bool {
        let levels = self.level(&edge.from).zip(self.level(&edge.to));
        levels.is_some_and(|(from, to)| to < from)
    }
}
