//! `adit keygen`: new key files for static security associations.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::keys::KeyFile;

use super::args::Keygen;

const ADVICE: &str = "
Each direction needs a key of its own, and no two tunnels share one. Copy both files of a tunnel to the peer
over a way that nobody reads; what is `out` here is `in` there. Then keep each copy where it is: its state lies
beside it. Static keys are never renewed: they are for benchmarks and tests.
";

/// Makes each file; what was made is printed, a key never.
pub(super) fn run(command: &Keygen) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    for path in &command.files {
        let key = KeyFile::random(command.suite).map_err(io::Error::other)?;
        key.create(path)
            .map_err(|error| io::Error::other(error.to_string()))?;
        writeln!(
            out,
            "{}: {}, {} octets of key and salt, mode 0600",
            path.display(),
            key.suite(),
            key.keymat().len()
        )?;
    }
    out.write_all(ADVICE.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
