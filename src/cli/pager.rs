//! The pager of lists on a terminal.

use std::{
    io::{self, Write},
    process::{Command, ExitStatus, Stdio},
};

use tokio::signal::unix::SignalKind;

use super::held_signals::HeldSignal;

/// `less`, if it is installed.
const DEFAULT: &str = "if command -v less >/dev/null; then exec less; else exec cat; fi";
/// The exit code of a shell that did not find or could not run the command.
const NOT_RUN: [i32; 2] = [126, 127];

/// The command line of the pager; `None` if the environment asks for none.
pub fn pager() -> Option<String> {
    let command = variable("SHAREWARDEN_PAGER").or_else(|| variable("PAGER").filter(|pager| !pager.is_empty()));
    let command = command.unwrap_or_else(|| DEFAULT.to_owned());
    let dumb = variable("TERM").is_none_or(|terminal| terminal == "dumb");
    Some(command.trim().to_owned()).filter(|command| !dumb && !matches!(command.as_str(), "" | "cat"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pager is a property of the terminal, like its width; it is not configuration"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Shows a text in the pager until the user quits it. False if the pager could not be started, and nothing was shown.
pub(super) fn show(command: &str, text: &str) -> io::Result<bool> {
    // Ctrl-C belongs to the pager. Without it, this program would end, and leave the terminal to a pager without a parent.
    let _interrupts = HeldSignal::new(SignalKind::interrupt());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::piped());
    // Quit if the text fits the screen, keep colours, leave the text on the screen: as git does.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if variable(name).is_none() {
            shell.env(name, value);
        }
    }
    let mut child = shell.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A user who quits before the end closes the pipe.
        let _ = input.write_all(text.as_bytes());
    }
    Ok(child.wait().is_ok_and(was_run))
}

fn was_run(status: ExitStatus) -> bool {
    !status.code().is_some_and(|code| NOT_RUN.contains(&code))
}
