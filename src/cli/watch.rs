//! `adit status --watch`: the state, drawn anew each second, with the rates since the last time.

use std::io::Write;
use std::time::{Duration, Instant};

use super::show::{ShowError, ask_status};
use super::status::{Earlier, print_status};
use crate::control::Client;

const PERIOD: Duration = Duration::from_secs(1);

/// Shows one tunnel, or all, once a second until the process is interrupted or the daemon ends. On a `terminal` each picture is
/// drawn over the last; elsewhere they follow each other with an empty line between.
///
/// # Errors
/// Each [`ShowError`]; a daemon that ends is one.
pub(super) fn watch(
    client: &mut Client,
    tunnel: Option<&str>,
    terminal: bool,
    out: &mut dyn Write,
) -> Result<(), ShowError> {
    let mut due = Instant::now();
    let mut last: Option<(Instant, Earlier)> = None;
    loop {
        let status = ask_status(client, tunnel)?;
        let asked = Instant::now();
        if let Some((before, earlier)) = &mut last {
            earlier.age = asked.saturating_duration_since(*before);
        }
        let mut picture = Vec::new();
        let earlier = last.as_ref().map(|(_, earlier)| earlier);
        print_status(&status, tunnel.is_some(), earlier, &mut picture)?;
        draw(&picture, terminal, out)?;
        last = Some((
            asked,
            Earlier {
                age: Duration::ZERO,
                tunnels: status.tunnels,
            },
        ));
        due += PERIOD;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Line by line over the old picture and then the rest away, so that a terminal does not flicker.
fn draw(picture: &[u8], terminal: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if terminal {
        let text = String::from_utf8_lossy(picture).replace('\n', "\x1b[K\n");
        write!(out, "\x1b[H{text}\x1b[J")?;
    } else {
        out.write_all(picture)?;
        writeln!(out)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_each_line_cleared_and_a_file_gets_no_control_characters() {
        let mut out = Vec::new();
        draw(b"a\nb\n", true, &mut out).unwrap();
        assert_eq!(out, b"\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        out.clear();
        draw(b"a\n", false, &mut out).unwrap();
        assert_eq!(out, b"a\n\n");
    }
}
