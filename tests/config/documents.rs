//! docs/config.md and packaging/adit.example.toml against the table of keys.

use std::path::{Path, PathBuf};

use adit::config::{Absent, Config, KEYS, document};

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_reference_is_what_the_table_of_keys_says() {
    let path = in_package("docs/config.md");
    if std::env::var_os("ADIT_BLESS").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        written,
        document(),
        "ADIT_BLESS=1 cargo test --test config writes docs/config.md anew"
    );
}

#[test]
fn the_example_is_valid_and_gives_no_warning() {
    let config = Config::load(&in_package("packaging/adit.example.toml")).unwrap();
    assert_eq!(config.tunnels.len(), 2);
    assert!(config.warnings.is_empty(), "{}", config.warnings);
}

#[test]
fn the_example_has_every_key() {
    let text = std::fs::read_to_string(in_package("packaging/adit.example.toml")).unwrap();
    for key in KEYS.iter().filter(|key| key.name != "tunnel") {
        let written = text.lines().any(|line| {
            let code = line.split('#').next().unwrap();
            let name = |word: &str| word.trim_matches(['{', ',', ' ']) == key.name;
            code.split('=')
                .any(|part| part.split_whitespace().last().is_some_and(name))
                || code.trim() == format!("[tunnel.branch.{}]", key.name)
        });
        assert!(written, "{} is missing from the example", key.name);
    }
}

#[test]
fn the_defaults_of_the_table_are_what_a_file_without_the_keys_gives() {
    let minimal = "[tunnel.a]\nmode = \"gre\"\nremote = \"198.51.100.2\"\n";
    let mut explicit = String::from(minimal);
    for key in KEYS
        .iter()
        .filter(|key| key.section == adit::config::Section::Tunnel)
    {
        if let Absent::Value(value) = key.default {
            // Written out, on-dead and initial are refused or warned of where there is no keepalive; their values stay the same.
            explicit.push_str(&format!("{} = {value}\n", key.name));
        }
    }
    let explicit = explicit.replace("hook-timeout = \"10s\"\n", "");
    assert_eq!(
        crate::valid(minimal).tunnels,
        crate::valid(&explicit).tunnels
    );
}
