//! `adit completions` and `adit man`: what packages install beside the binary.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use super::args::{Args, Completions, Man};

/// Prints the completions of a shell.
pub(super) fn shell(command: &Completions) -> io::Result<ExitCode> {
    // Generated into memory first: the generator panics where a pipe is closed.
    let mut octets = Vec::new();
    clap_complete::generate(command.shell, &mut Args::command(), "adit", &mut octets);
    io::stdout().write_all(&octets)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints adit(1), or writes adit.1 and a page for each command into a directory.
pub(super) fn man(command: &Man) -> io::Result<ExitCode> {
    match &command.dir {
        Some(dir) => clap_mangen::generate_to(Args::command(), dir)?,
        None => {
            let mut octets = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut octets)?;
            io::stdout().write_all(&octets)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
