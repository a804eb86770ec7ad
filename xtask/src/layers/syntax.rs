//! The names in a source. Tests, comments and documentation are skipped.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Attribute, ImplItem, Item, ItemUse, Meta, UseTree, VisRestricted, Visibility};

/// The parts of a path such as `crate::error::Error`.
pub(super) type Path = Vec<String>;

/// The content of one module.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Names of items that are defined here.
    pub(super) items: BTreeSet<String>,
    /// Names that `use` imports, and their paths.
    pub(super) uses: BTreeMap<String, Path>,
    /// Names in the code.
    pub(super) paths: BTreeSet<Path>,
    /// Modules in separate files.
    pub(super) files: Vec<String>,
    /// Modules in braces.
    pub(super) inline: Vec<(String, Self)>,
}

/// All words and paths of a file.
#[derive(Debug, Default)]
pub(super) struct Names {
    words: BTreeSet<String>,
    paths: BTreeSet<Path>,
}

impl Names {
    pub(super) fn extend(&mut self, other: Self) {
        self.words.extend(other.words);
        self.paths.extend(other.paths);
    }

    /// Whether the file contains this word, or a path that ends with it.
    pub(super) fn has(&self, name: &str) -> bool {
        let end: Path = name.split("::").map(str::to_owned).collect();
        match end.as_slice() {
            [word] => self.words.contains(word),
            end => self.paths.iter().any(|path| path.ends_with(end)),
        }
    }

    /// Which names of a crate or module are used.
    pub(super) fn names_of<'a>(&'a self, of: &'a str) -> impl Iterator<Item = &'a String> {
        self.paths.iter().filter(move |path| path[0] == of).filter_map(|path| path.get(1))
    }
}

/// Parses a file: its module, and all names in it.
pub(super) fn read(source: &str) -> syn::Result<(Contents, Names)> {
    let file = syn::parse_file(source)?;
    let mut names = Names::default();
    let contents = module(&file.items, &mut names);
    Ok((contents, names))
}

fn module(items: &[Item], names: &mut Names) -> Contents {
    let mut contents = Contents::default();
    let mut reader = Reader::default();
    for item in items.iter().filter(|item| !is_test(attributes(item))) {
        match item {
            Item::Mod(item) => match &item.content {
                Some((_, items)) => {
                    contents.inline.push((item.ident.to_string(), module(items, names)));
                }
                None => contents.files.push(item.ident.to_string()),
            },
            Item::Use(item) => {
                let passes_on = !matches!(item.vis, Visibility::Inherited);
                for (name, path) in flatten(&item.tree) {
                    reader.names.words.extend(path.iter().cloned());
                    reader.names.paths.insert(path.clone());
                    if !passes_on {
                        contents.paths.insert(path.clone());
                    }
                    if let Some(name) = name {
                        contents.uses.insert(name, path);
                    }
                }
            }
            item => {
                contents.items.extend(name(item));
                reader.visit_item(item);
            }
        }
    }
    contents.paths.extend(reader.code);
    names.extend(reader.names);
    contents
}

/// The names that a `use` imports, `None` for `*` and `_`, and their paths.
fn flatten(tree: &UseTree) -> Vec<(Option<String>, Path)> {
    fn walk(tree: &UseTree, before: &Path, into: &mut Vec<(Option<String>, Path)>) {
        let with = |name: &syn::Ident| {
            let mut path = before.clone();
            // `use crate::server::{self}` is the module itself.
            if name != "self" || path.is_empty() {
                path.push(name.to_string());
            }
            path
        };
        match tree {
            UseTree::Path(part) => walk(&part.tree, &with(&part.ident), into),
            UseTree::Name(part) => {
                let path = with(&part.ident);
                into.push((path.last().cloned(), path));
            }
            UseTree::Rename(part) => {
                let name = part.rename.to_string();
                into.push(((name != "_").then_some(name), with(&part.ident)));
            }
            UseTree::Glob(_) => into.push((None, before.clone())),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| walk(tree, before, into));
            }
        }
    }
    let mut found = Vec::new();
    walk(tree, &Path::new(), &mut found);
    found
}

/// `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`, but not `#[cfg(not(test))]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let mut names = Names::default();
            read_tokens(list.tokens.clone(), &mut BTreeSet::new(), &mut names);
            names.words.contains("test") && !names.words.contains("not")
        }
        meta => meta.path().is_ident("test"),
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Parses the code of a module.
#[derive(Default)]
struct Reader {
    /// Paths that form an edge.
    code: BTreeSet<Path>,
    names: Names,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let test = match item {
            ImplItem::Fn(item) => is_test(&item.attrs),
            ImplItem::Const(item) => is_test(&item.attrs),
            _ => false,
        };
        if !test {
            syn::visit::visit_impl_item(self, item);
        }
    }

    /// Inside a function.
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for (_, path) in flatten(&item.tree) {
            self.names.words.extend(path.iter().cloned());
            self.names.paths.insert(path.clone());
            self.code.insert(path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Path = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.names.paths.insert(parts.clone());
        self.code.insert(parts);
        syn::visit::visit_path(self, path);
    }

    /// `pub(super)` names no item.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.names.words.insert(ident.to_string());
    }

    /// Also the body of a `macro_rules!`.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        read_tokens(call.tokens.clone(), &mut self.code, &mut self.names);
        syn::visit::visit_macro(self, call);
    }
}

/// Paths in tokens that are not parsed: words with `::` between them.
fn read_tokens(tokens: TokenStream, code: &mut BTreeSet<Path>, names: &mut Names) {
    let mut path = Path::new();
    let mut colons = 0;
    let mut finish = |path: &mut Path, names: &mut Names| {
        let path = std::mem::take(path);
        // `pub(super)` names no item.
        let keyword = |word: &String| matches!(word.as_str(), "crate" | "self" | "super");
        if !path.iter().all(keyword) {
            names.paths.insert(path.clone());
            code.insert(path);
        }
    };
    let mut groups = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                if colons != 2 {
                    finish(&mut path, names);
                }
                colons = 0;
                names.words.insert(word.to_string());
                path.push(word.to_string());
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            other => {
                finish(&mut path, names);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    groups.push(group.stream());
                }
            }
        }
    }
    finish(&mut path, names);
    for group in groups {
        read_tokens(group, code, names);
    }
}
