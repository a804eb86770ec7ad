//! Runs an ignored test of this program in a separate process.

use std::process::{Child, Command, Stdio};

/// Names the test, so that running all ignored tests by hand does not run it.
const CHILD: &str = "FYKE_TEST_CHILD";

/// The arguments and the environment with which `command`, which runs this program, runs that test.
pub(crate) fn that_runs<'a>(command: &'a mut Command, test: &str) -> &'a mut Command {
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(CHILD, test)
}

/// This program, to run that test.
pub(crate) fn to_run(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    that_runs(&mut command, test).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns whether this process was started for that test.
pub(crate) fn is_for(test: &str) -> bool {
    std::env::var_os(CHILD).is_some_and(|child| child == test)
}

/// Waits for a child, whose test must have passed.
pub(crate) fn passes(child: Child) {
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
