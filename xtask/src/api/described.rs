//! A crate as rustdoc describes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use public_api::PublicItem;
use serde_json::Value;

/// The format of rustdoc's JSON that `public-api` 0.52.1 reads. Rust 1.93 to 1.97 write it.
const FORMAT: u64 = 57;

pub(super) struct Described {
    document: Value,
    pub(super) items: Vec<PublicItem>,
}

/// An item that a crate re-exports.
pub(super) struct Reexport {
    /// Where it is defined: `["fyke_driver", "address", "Address"]`.
    pub(super) definition: Vec<String>,
    /// Its name in this crate.
    pub(super) name: String,
}

impl Described {
    /// Makes rustdoc describe a package of the workspace with all features.
    pub(super) fn new(root: &Path, package: &str) -> Result<Self, String> {
        let path = run_rustdoc(root, package)?;
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let document: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let format = document["format_version"].as_u64();
        if format != Some(FORMAT) {
            return Err(format!(
                "the compiler writes rustdoc's JSON in format {}, but public-api reads {FORMAT}",
                document["format_version"]
            ));
        }
        let api = public_api::Builder::from_rustdoc_json(path)
            .include_function_parameter_names(true)
            .omit_blanket_impls(true)
            .build();
        Ok(Self { document, items: api.map_err(|e| e.to_string())?.into_items().collect() })
    }

    fn item(&self, item: &PublicItem) -> &Value {
        &self.document["index"][item.id().0.to_string()]
    }

    pub(super) fn docs(&self, item: &PublicItem) -> &str {
        self.item(item)["docs"].as_str().unwrap_or_default()
    }

    pub(super) fn is_function(&self, item: &PublicItem) -> bool {
        self.item(item)["inner"]["function"].is_object()
    }

    /// Whether the item is a function of `impl Trait for Type`.
    pub(super) fn is_in_trait_impl(&self, item: &PublicItem) -> bool {
        let Some(parent) = item.parent_id() else { return false };
        self.document["index"][parent.0.to_string()]["inner"]["impl"]["trait"].is_object()
    }

    /// Whether the item is `impl Type`, which says nothing by itself.
    pub(super) fn is_inherent_impl(&self, item: &PublicItem) -> bool {
        let inner = &self.item(item)["inner"]["impl"];
        inner.is_object() && inner["trait"].is_null()
    }

    /// The name of the automatic trait if the item is its implementation.
    pub(super) fn auto_trait(&self, item: &PublicItem) -> Option<&str> {
        let inner = &self.item(item)["inner"]["impl"];
        inner["is_synthetic"].as_bool().filter(|synthetic| *synthetic)?;
        inner["trait"]["path"].as_str()?.rsplit("::").next()
    }

    /// The items of other crates that the root of this crate re-exports.
    pub(super) fn reexports(&self) -> impl Iterator<Item = Reexport> {
        let index = &self.document["index"];
        let root = &index[self.document["root"].to_string()];
        let items = root["inner"]["module"]["items"].as_array().into_iter().flatten();
        items.filter_map(|id| {
            let used = &index[id.to_string()]["inner"]["use"];
            let place = &self.document["paths"][used["id"].to_string()];
            let path = place["path"].as_array().filter(|_| place["crate_id"] != 0)?;
            let definition = path.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            Some(Reexport { definition, name: used["name"].as_str()?.to_owned() })
        })
    }

    /// The id of the item of this crate that is defined at `path`.
    pub(super) fn id_of(&self, path: &[String]) -> Option<u32> {
        let places = self.document["paths"].as_object()?;
        let is_here = |place: &Value| {
            let here = place["path"].as_array()?.iter().map(Value::as_str);
            Some(place["crate_id"] == 0 && here.eq(path.iter().map(|name| Some(name.as_str()))))
        };
        places.iter().find(|(_, place)| is_here(place) == Some(true))?.0.parse().ok()
    }
}

/// Returns the path of the description.
fn run_rustdoc(root: &Path, package: &str) -> Result<PathBuf, String> {
    // A folder of its own: many build scripts look at `RUSTC_BOOTSTRAP` and would run again.
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let target = root.join(target).join("api");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(["rustdoc", "--quiet", "--lib", "--all-features", "--package", package])
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        // The format is not stable, so a stable compiler writes it only with this.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .map_err(|error| format!("cargo rustdoc: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let error =
            text.lines().find(|line| line.starts_with("error")).unwrap_or("without a reason");
        return Err(format!("cargo rustdoc fails: {error}"));
    }
    Ok(target.join("doc").join(format!("{}.json", package.replace('-', "_"))))
}
