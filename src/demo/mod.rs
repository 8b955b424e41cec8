//! `adit demo`: two sites in network namespaces, a tunnel, traffic, a dead peer, recovery; each thing is measured from outside and held
//! against what is promised.

mod endpoint;
mod error;
mod measure;
mod ping;
mod plan;
mod print;
mod sites;
mod story;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use self::error::DemoError;
use self::measure::Measurements;
use self::print::Teller;
use crate::cli::units;
use crate::control::report::millis;

/// How to run the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Leave the sites up at the end.
    pub keep: bool,
    /// Print one JSON object with all measurements instead of the story.
    pub json: bool,
    /// How long TCP runs through the tunnel, in seconds.
    pub seconds: u64,
    /// The output is a terminal, on which progress is shown.
    pub terminal: bool,
}

/// Runs the demo and tells its story to `out`, errors to stderr. The process must have one thread. The code is 0 when each promise was
/// kept, 1 when not or when something failed, and that of a shell for a signal.
pub fn run(options: &Options, out: &mut dyn Write) -> ExitCode {
    let mut found = Measurements::default();
    let mut teller = Teller::new(out, options.json, options.terminal && !options.json);
    let told =
        story::tell(options, &mut teller, &mut found).and_then(|()| conclude(&mut teller, &found));
    found.took_ms = millis(teller.elapsed());
    found.error = told.as_ref().err().map(ToString::to_string);
    found.ok = told.is_ok() && found.broken.is_empty();
    if options.json
        && let Err(error) = print_json(&found, out)
    {
        return fail(&DemoError::Output(error));
    }
    match told {
        Ok(()) if found.ok => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn conclude(teller: &mut Teller<'_>, found: &Measurements) -> Result<(), DemoError> {
    if found.broken.is_empty() {
        teller.say("every promise was kept")?;
    } else {
        teller.say(format!(
            "{} broken:",
            units::count(found.broken.len() as u64, "promise")
        ))?;
        found
            .broken
            .iter()
            .try_for_each(|promise| teller.detail(promise))?;
    }
    if let Some(kept) = &found.kept {
        teller.kept(kept)?;
    }
    Ok(())
}

fn print_json(found: &Measurements, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, found)?;
    writeln!(out)?;
    out.flush()
}

fn fail(error: &DemoError) -> ExitCode {
    // Nobody is left to tell if stderr is gone too.
    let _ = writeln!(io::stderr(), "\nadit demo: {error}");
    match error.signal() {
        Some("SIGHUP") => ExitCode::from(129),
        Some("SIGINT") => ExitCode::from(130),
        Some(_) => ExitCode::from(143),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests;
