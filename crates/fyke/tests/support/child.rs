//! A process of its own for a test: this test program again, with one of its ignored tests.

use std::process::{Child, Command, Stdio};

/// Says which test is meant, so that nobody runs it by hand who asks for the ignored ones.
const CHILD: &str = "FYKE_TEST_CHILD";

/// The arguments and the environment that make `command`, which runs this program, that test.
pub(crate) fn that_runs<'a>(command: &'a mut Command, test: &str) -> &'a mut Command {
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(CHILD, test)
}

/// This program, to run that test.
pub(crate) fn to_run(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    that_runs(&mut command, test).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether this process was made for that test.
pub(crate) fn is_for(test: &str) -> bool {
    std::env::var_os(CHILD).is_some_and(|child| child == test)
}

/// Waits for the end of a child, whose test has passed.
pub(crate) fn passes(child: Child) {
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
