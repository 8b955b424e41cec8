//! Any text is a configuration or a report that can be shown; nothing panics.

use std::path::Path;

use adit::config::Config;

/// Replays one input: text of a configuration file.
pub fn run(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    match Config::parse(Path::new("fuzz.toml"), text) {
        Ok(config) => assert!(!config.tunnels.is_empty()),
        Err(report) => {
            assert!(!report.is_empty());
            assert!(!report.render(true).is_empty());
            assert!(!report.to_string().is_empty());
        }
    }
}
