//! Completions and manual pages.

use clap::CommandFactory;
use clap_complete::aot::{self, Generator};

use crate::arguments::{self, Arguments, Shell};
use crate::failure::Failure;
use crate::output::print;

// The build script generates `PAGES`: the name of each command and its page.
include!(concat!(env!("OUT_DIR"), "/pages.rs"));

pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    // Omit `help` as a subcommand, because it would list every command twice.
    command = command.disable_help_subcommand(true);
    command.set_bin_name("fyke");
    command.build();
    match shell {
        Shell::Bash => aot::Bash.generate(&command, &mut text),
        Shell::Elvish => aot::Elvish.generate(&command, &mut text),
        Shell::Fish => aot::Fish.generate(&command, &mut text),
        Shell::Powershell => aot::PowerShell.generate(&command, &mut text),
        Shell::Zsh => aot::Zsh.generate(&command, &mut text),
    }
    print(&text)
}

pub(crate) fn page(command: Option<&str>) -> Result<(), Failure> {
    let page = PAGES.iter().find(|(name, _)| *name == command.unwrap_or(""));
    let Some((_, text)) = page else {
        let names: Vec<_> = arguments::names().collect();
        let text = format!("the command does not exist; the commands are {}", names.join(", "));
        return Err(Failure::Usage(text));
    };
    print(text.as_bytes())
}
