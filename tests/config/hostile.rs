//! Files that are damaged, huge or built to do harm.

use std::path::Path;
use std::time::{Duration, Instant};

use adit::config::{Config, FILE_OCTETS_MAX};
use proptest::prelude::*;

use crate::{TUNNEL, parse, problems};

/// Far above what a debug build on a busy machine needs; a hang is what is looked for.
const PATIENCE: Duration = Duration::from_secs(60);

fn refused_in_time(text: &str) {
    let start = Instant::now();
    let report = parse(text).unwrap_err();
    assert!(!report.render(true).is_empty());
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
}

#[test]
fn deeply_nested_arrays_are_refused() {
    refused_in_time(&format!(
        "a = {}{}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    ));
    refused_in_time(&format!("a = {}", "[".repeat(500_000)));
}

#[test]
fn deeply_nested_inline_tables_of_dotted_keys_do_not_overflow_the_stack() {
    let path = vec!["a"; 79].join(".");
    let nested = format!("{}1{}", format!("{{{path} = ").repeat(79), "}".repeat(79));
    refused_in_time(&format!("[{path}]\n{path} = {nested}\n"));
    // The second value is a duplicate, which the parser itself drops.
    refused_in_time(&format!("b = 1\nb = {nested}\n"));
}

#[test]
fn a_file_of_unknown_keys_is_refused_and_the_report_stays_readable() {
    let text: String = (0..60_000)
        .map(|number| format!("key-{number} = 1\n"))
        .collect();
    let report = parse(&text).unwrap_err();
    assert_eq!(report.problems().len(), 60_001);
    let rendered = report.render(false);
    assert!(
        rendered.contains("59801 more problems are not shown"),
        "{}",
        rendered.len()
    );
    assert!(
        report
            .to_string()
            .ends_with("adit.toml: 59801 more problems")
    );
    assert_eq!(report.to_string().lines().count(), 201);
}

#[test]
fn one_very_long_line_is_refused_in_time() {
    refused_in_time(&format!("a = [{}]", "1,".repeat(400_000)));
    refused_in_time(&"=".repeat(200_000));
    refused_in_time(&format!("{} = 1", "k".repeat(900_000)));
}

#[test]
fn a_file_above_the_limit_is_refused_by_its_size() {
    let text = format!("{TUNNEL}#{}", "x".repeat(FILE_OCTETS_MAX));
    assert_eq!(
        parse(&text).unwrap_err().to_string(),
        "adit.toml: the file has more than 1048576 octets"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("adit.toml");
    std::fs::write(&path, text).unwrap();
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .ends_with("the file has more than 1048576 octets")
    );
    // A device without an end is read no further.
    assert!(Config::load(Path::new("/dev/zero")).is_err());
}

#[test]
fn a_file_that_is_not_utf8_is_refused_with_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("adit.toml");
    std::fs::write(&path, b"workers = 1\npin = \"\xff\"\n").unwrap();
    let report = Config::load(&path).unwrap_err();
    assert_eq!(
        report.to_string(),
        format!("{}:2:8: not UTF-8", path.display())
    );
    assert!(report.render(false).contains("pin = \""));
}

#[test]
fn a_file_that_cannot_be_opened_or_read_is_refused_with_the_reason() {
    let report = Config::load(Path::new("/nonexistent/adit.toml")).unwrap_err();
    assert_eq!(
        report.to_string(),
        "/nonexistent/adit.toml: cannot open the file: No such file or directory (os error 2)"
    );
    let report = Config::load(Path::new("/")).unwrap_err();
    assert_eq!(
        report.to_string(),
        "/: cannot read the file: Is a directory (os error 21)"
    );
}

#[test]
fn control_characters_of_a_value_never_reach_the_terminal() {
    let text = TUNNEL.replace("198.51.100.2", "\\u001b[31m\\u202e\\u0007");
    let text = format!("{text}mtu = \"\u{1b}[2J\"\n\"k\\u001b\" = 1\n");
    let report = parse(&text).unwrap_err();
    for rendered in [report.render(false), report.to_string()] {
        assert!(
            !rendered.contains(['\u{1b}', '\u{202e}', '\u{7}']),
            "{rendered:?}"
        );
    }
}

#[test]
fn an_empty_file_has_no_tunnel() {
    assert_eq!(problems(""), ["1:1: no tunnel | add a table [tunnel.NAME]"]);
    assert_eq!(
        problems("[tunnel]\n"),
        ["1:1: no tunnel | add a table [tunnel.NAME]"]
    );
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_a_report(text in "\\PC{0,200}") {
        if let Err(report) = parse(&text) {
            prop_assert!(!report.is_empty());
            prop_assert!(!report.render(true).is_empty());
        }
    }

    #[test]
    fn any_damage_to_a_valid_file_is_accepted_or_reported(at in 0usize..2000, octets in proptest::collection::vec(any::<char>(), 0..4)) {
        let example = include_str!("../../packaging/adit.example.toml");
        let at = example.floor_char_boundary(at);
        let damage: String = octets.into_iter().collect();
        let text = format!("{}{damage}{}", &example[..at], &example[at..]);
        if let Err(report) = parse(&text) {
            prop_assert!(!report.render(false).is_empty());
            prop_assert!(!report.to_string().is_empty());
        }
    }
}
