//! Manual pages, made from the command line.

use std::{io, path::Path};

/// Writes the manual pages: that of the program to `out`, or those of the program and all its commands into a folder.
pub fn manual(command: clap::Command, folder: Option<&Path>, out: &mut impl io::Write) -> io::Result<()> {
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)?;
        return clap_mangen::generate_to(command, folder);
    }
    clap_mangen::Man::new(command).render(out)
}
