//! `adit run`: the daemon in the foreground.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use super::args::Run;
use super::check::print_report;
use crate::config::Config;
use crate::daemon;

/// Runs the daemon until SIGTERM or SIGINT; the log goes to stderr.
pub(super) fn run(command: &Run, socket: Option<PathBuf>) -> io::Result<ExitCode> {
    let filter = EnvFilter::try_new(&command.log)
        .map_err(|error| io::Error::other(format!("--log {}: {error}", command.log)))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(super::stderr_takes_color())
        .init();
    let config = match Config::load(&command.config) {
        Ok(config) => config,
        Err(report) => {
            print_report(&report)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    print_report(&config.warnings)?;
    match daemon::run(config, socket) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
