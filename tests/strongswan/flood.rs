//! Echo requests that go on while something happens to the tunnel.

use std::io::Read;
use std::process::Child;

use crate::common::Namespace;

/// Milliseconds from one request to the next.
const PACE_MS: u32 = 4;

/// Requests that are being sent.
#[derive(Debug)]
pub(crate) struct Flood {
    ping: Child,
}

impl Flood {
    /// Begins to send for that long.
    pub(crate) fn start(site: &Namespace, from: &str, to: &str, seconds: u32) -> Self {
        let count = (seconds * 1000 / PACE_MS).to_string();
        let pace = format!("0.{PACE_MS:03}");
        let arguments = [
            "-q", "-c", &count, "-i", &pace, "-W", "2", "-s", "200", "-I", from, to,
        ];
        Self {
            ping: site.spawn("ping", &arguments),
        }
    }

    /// Whether it still sends: what happened up to here happened under it.
    pub(crate) fn goes_on(&mut self) -> bool {
        self.ping.try_wait().unwrap().is_none()
    }

    /// Waits for its end and gives how many requests were sent and how many were answered.
    pub(crate) fn finish(mut self) -> (u32, u32) {
        let mut text = String::new();
        let mut stdout = self.ping.stdout.take().unwrap();
        stdout.read_to_string(&mut text).unwrap();
        self.ping.wait().unwrap();
        counts(&text).unwrap_or_else(|| panic!("ping says {text:?}"))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.ping.kill();
        let _ = self.ping.wait();
    }
}

/// `2000 packets transmitted, 2000 received, …`
fn counts(text: &str) -> Option<(u32, u32)> {
    let line = text.lines().find(|line| line.contains("transmitted"))?;
    let mut numbers = line.split(',').map(|part| {
        let word = part.split_whitespace().next()?;
        word.parse().ok()
    });
    Some((numbers.next()??, numbers.next()??))
}
