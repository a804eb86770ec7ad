//! Checks which module names which, against the layers in `docs/layers.txt`.
//!
//! A name in a lower layer that refers to a higher one is an error, and so is a circle among the files
//! of one crate. Tests are skipped.

mod graph;
mod plan;
mod syntax;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use graph::{Edge, Graph};
use plan::{Limit, Plan};

/// The layers, the other rules, and the exceptions from both.
const PLAN: &str = "docs/layers.txt";

/// Reads the plan and the sources of its crates. Returns the errors.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let plan = Plan::parse(&crate::read(root, PLAN)?)?;
    let mut sources = BTreeMap::new();
    for name in plan.crates() {
        let folder = format!("crates/{name}/src");
        if !root.join(&folder).is_dir() {
            continue;
        }
        for file in crate::tests_by_id::rust_files(root, &folder)? {
            let source = crate::read(root, &file)?;
            sources.insert(file, source);
        }
    }
    let graph = Graph::read(&plan.crates(), &sources)?;
    let complaints = complaints(&plan, &graph);
    if complaints.is_empty() {
        let exceptions = plan.excepted_edges.len() + plan.excepted_names.len();
        println!("layers: {} files, {exceptions} exceptions", graph.files.len());
    }
    Ok(complaints)
}

fn complaints(plan: &Plan, graph: &Graph) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in graph.files.keys().filter(|file| plan.layer(file).is_none()) {
        complaints.push(format!("{file} is in no layer of {PLAN}"));
    }
    let excepted = needed_exceptions(plan, graph, &mut complaints);
    for (edge, names) in &graph.edges {
        if plan.is_upward(edge) && !excepted.contains(edge) {
            let (from, to) = (plan.layer(&edge.from), plan.layer(&edge.to));
            let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
            complaints.push(format!("upward, from {from} to {to}: {edge} ({})", list(names)));
        }
    }
    for circle in graph.circles(&excepted) {
        complaints.push(format!("a circle of {} files:", circle.len()));
        let inside =
            |edge: &Edge| circle.contains(edge.from.as_str()) && circle.contains(edge.to.as_str());
        for (edge, names) in &graph.edges {
            if inside(edge) && !excepted.contains(edge) {
                complaints.push(format!("  {edge} ({})", list(names)));
            }
        }
    }
    complaints.extend(wrong_names(plan, graph));
    for (name, file) in &plan.excepted_names {
        let known = plan.limits.iter().any(|limit| &limit.name == name);
        let used = graph.files.get(file).is_some_and(|found| found.has(name));
        if !known || !used {
            complaints.push(format!("no longer needed: except {name} in {file}"));
        }
    }
    complaints
}

/// The exceptions that are needed. They are tried one after the other, so of two that break the same
/// circle only one is needed.
fn needed_exceptions(plan: &Plan, graph: &Graph, complaints: &mut Vec<String>) -> BTreeSet<Edge> {
    let mut excepted: BTreeSet<Edge> = plan.excepted_edges.iter().cloned().collect();
    for edge in &plan.excepted_edges {
        let mut others = excepted.clone();
        others.remove(edge);
        let exists = graph.edges.contains_key(edge);
        if !exists || !plan.is_upward(edge) && !graph.closes_circle(edge, &others) {
            complaints.push(format!("no longer needed: except {edge}"));
            excepted = others;
        }
    }
    excepted
}

fn wrong_names(plan: &Plan, graph: &Graph) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, found) in &graph.files {
        let excepted = |name: &str| {
            plan.excepted_names.iter().any(|(known, place)| known == name && place == file)
        };
        for Limit { name, files } in &plan.limits {
            if found.has(name) && !files.contains(file) && !excepted(name) {
                complaints.push(format!("{file} names {name}"));
            }
        }
        for (of, folder, names) in &plan.imports {
            let wrong = found.names_of(of).filter(|name| !names.contains(*name));
            for name in wrong.filter(|_| file.starts_with(folder)) {
                complaints.push(format!("{file} names {of}::{name}"));
            }
        }
    }
    complaints
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
