//! The configuration file: every key, every bound, every message, and the documents that speak of them.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod checks;
mod command;
mod documents;
mod easy_vpn;
mod esp;
mod hostile;
mod ike;
mod keys;
mod messages;
mod v1;

use std::path::Path;

use adit::config::{Config, Report};

/// A tunnel that is valid and has keepalives, so that it gives no warning.
const TUNNEL: &str = "[tunnel.a]\nmode = \"gre\"\nremote = \"198.51.100.2\"\nkeepalive = true\n";

fn parse(text: &str) -> Result<Config, Report> {
    Config::parse(Path::new("adit.toml"), text)
}

fn valid(text: &str) -> Config {
    parse(text).unwrap_or_else(|report| panic!("{text}\n{report}"))
}

/// The problems of a file that is refused, as `LINE:COLUMN: MESSAGE`, with ` | HELP` where there is help.
fn problems(text: &str) -> Vec<String> {
    let report = parse(text).expect_err(text);
    shown(&report)
}

/// The warnings of a file that is accepted.
fn warnings(text: &str) -> Vec<String> {
    shown(&valid(text).warnings)
}

fn shown(report: &Report) -> Vec<String> {
    let line = |problem: &adit::config::Problem| {
        let (line, column) = report.position(problem).unwrap_or((0, 0));
        let help = problem
            .help
            .as_ref()
            .map_or(String::new(), |help| format!(" | {help}"));
        format!("{line}:{column}: {}{help}", problem.message)
    };
    report.problems().iter().map(line).collect()
}
