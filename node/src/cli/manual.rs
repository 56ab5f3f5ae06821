//! What shells and `man` are told of the command line: made from the same definitions that it is read with.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, say};
use crate::error::{self, Result};

/// Prints a shell's completions.
pub(super) fn completions(shell: Shell) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lianxin", &mut text);
    say(&String::from_utf8_lossy(&text))?;
    Ok(0)
}

/// Writes a page of the manual for each command into a directory, or prints that of the whole.
pub(super) fn pages(directory: Option<&Path>) -> Result<u8> {
    match directory {
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(error::file(directory))?;
            clap_mangen::generate_to(Cli::command(), directory).map_err(error::file(directory))?;
        }
        None => {
            let mut text = Vec::new();
            let page = clap_mangen::Man::new(Cli::command());
            page.render(&mut text)
                .map_err(error::file(Path::new("-")))?;
            say(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(0)
}
