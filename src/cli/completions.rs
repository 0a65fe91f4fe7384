//! Completion scripts for shells.

use std::io;

use clap_complete::{Shell, generate};

/// Writes the completion script of `command` for `shell`.
pub fn completions(shell: Shell, command: &mut clap::Command, out: &mut impl io::Write) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // Into a buffer, because `generate` panics if a write fails, and a closed pipe is not an error.
    let mut script = Vec::new();
    generate(shell, command, name, &mut script);
    out.write_all(&script)
}
