//! Completion scripts for shells.

use std::io;

use clap_complete::{Shell, generate};

/// Writes the completion script of `command` for `shell`.
pub fn completions(shell: Shell, command: &mut clap::Command, out: &mut impl io::Write) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // By way of a buffer: `generate` panics where a write fails, and a closed pipe is no fault.
    let mut script = Vec::new();
    generate(shell, command, name, &mut script);
    out.write_all(&script)
}
