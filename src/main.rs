//! The `adit` command.

use std::io::{self, Write};
use std::process::ExitCode;

use adit::cli::{self, Args};
use clap::Parser;

fn main() -> ExitCode {
    let args = Args::parse();
    match cli::run(&args) {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to report to if stderr is gone too.
            let _ = writeln!(io::stderr(), "adit: {error}");
            ExitCode::FAILURE
        }
    }
}
