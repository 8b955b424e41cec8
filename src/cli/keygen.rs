//! `adit keygen`: new key files for static security associations, and pre-shared keys for IKE.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::keys::{self, KeyFile};

use super::args::{Keygen, KeygenSort};

const ADVICE: &str = "
Each direction needs a key of its own, and no two tunnels share one. Copy both files of a tunnel to the peer
over a way that nobody reads; what is `out` here is `in` there. Then keep each copy where it is: its state lies
beside it. Static keys are never renewed: they are for benchmarks and tests.
";
const PSK_ADVICE: &str = "
Copy the file to the peer over a way that nobody reads: both ends name it as psk-file. A peer that is no adit takes
the line as it stands, as text.
";

/// Makes each file; what was made is printed, a key never.
pub(super) fn run(command: &Keygen) -> io::Result<ExitCode> {
    if let Some(KeygenSort::Psk { files }) = &command.sort {
        return pre_shared(files);
    }
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

fn pre_shared(files: &[PathBuf]) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    for path in files {
        let psk = keys::random_psk().map_err(io::Error::other)?;
        keys::create_psk(path, &psk).map_err(|error| io::Error::other(error.to_string()))?;
        let (file, digits) = (path.display(), psk.len());
        writeln!(out, "{file}: pre-shared key of {digits} digits, mode 0600")?;
    }
    out.write_all(PSK_ADVICE.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
