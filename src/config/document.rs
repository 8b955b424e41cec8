//! docs/config.md, written from the table of keys.

use std::fmt::Write;

use super::keys::{Absent, Section};

const INTRODUCTION: &str = "\
# Configuration

<!-- Written from the table in src/config/keys/table.rs: ADIT_BLESS=1 cargo test --test config -->

`adit run -c FILE` and `adit check FILE` read one TOML file. Keys are strict: an unknown key, a wrong type or a value out of
range is an error, every error of the file is shown at once, and nothing is touched when there is one.

* A time is a string of a whole number and a unit, `us`, `ms`, `s`, `m` or `h`: `\"500ms\"`, `\"5s\"`.
* A prefix is an address with a length: `\"10.9.0.1/30\"`, `\"fd00:9::1/64\"`.
* A range includes both ends.

packaging/adit.example.toml is a file with every key.
";

/// The text of docs/config.md.
pub fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in Section::ALL {
        text.push_str(&part(section));
    }
    text
}

fn part(section: Section) -> String {
    let mut text = match section.heading() {
        "" => "\n## Top of the file\n".to_owned(),
        heading if section == Section::IkeV1 => {
            format!("\n## `[{heading}]` with `version = 1`\n")
        }
        heading => format!("\n## `[{heading}]`\n"),
    };
    for key in section.keys().filter(|key| key.section == section) {
        let default = match key.default {
            Absent::Required(_) => "required".to_owned(),
            Absent::Value(value) => format!("default `{value}`"),
            Absent::Words(words) => format!("default: {words}"),
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n### `{}`\n\n{}; {default}.\n\n{}\n",
            key.name,
            capitalised(&key.kind.describe()),
            key.doc
        );
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
