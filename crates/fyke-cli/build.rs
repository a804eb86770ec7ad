//! Writes the manual pages, from the same text as `--help`.

#![allow(missing_docs, reason = "a build script has no users")]

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

use clap::CommandFactory;

#[path = "src/arguments/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "only the commands are looked at here, not what they become"
)]
mod arguments;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src/arguments");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    let folder = Path::new(&folder);
    let command = arguments::Arguments::command().disable_help_subcommand(true);
    let mut pages = String::from("const PAGES: &[(&str, &str)] = &[\n");
    let mut page = |name: &str, file: &str, command: clap::Command| -> io::Result<()> {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text)?;
        fs::write(folder.join(file), text)?;
        let line = writeln!(pages, "    ({name:?}, include_str!(\"{file}\")),");
        line.map_err(|_| io::ErrorKind::Other.into())
    };
    page("", "fyke.1", command.clone())?;
    for part in command.get_subcommands() {
        let name = part.get_name();
        // A page has to be named by one word; the text calls it what is typed.
        let full: &'static str = format!("fyke-{name}").leak();
        let typed: &'static str = format!("fyke {name}").leak();
        let part = part.clone().name(full).bin_name(typed).version(env!("CARGO_PKG_VERSION"));
        page(name, &format!("{full}.1"), part)?;
    }
    pages += "];\n";
    fs::write(folder.join("pages.rs"), pages)
}
