//! docs/config.md and packaging/adit.example.toml against the table of keys.

use std::path::{Path, PathBuf};

use adit::config::{Absent, Config, KEYS, Section, document};

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
fn the_example_is_valid_and_warns_of_nothing_but_static_keys_and_version_1() {
    let config = Config::load(&in_package("packaging/adit.example.toml")).unwrap();
    assert_eq!(config.tunnels.len(), 8);
    let warnings = config.warnings.problems().iter();
    let begins: Vec<_> = warnings
        .map(|problem| problem.message.split(": ").take(2).collect::<Vec<_>>())
        .map(|words| words.join(": "))
        .collect();
    let (keys, old) = (
        "static keys are never renewed",
        "ike.version 1 is deprecated by RFC 9395",
    );
    let allowed = |word: &str| format!("tunnel \"legacy\": ike.allow-insecure {word:?}");
    assert_eq!(
        begins,
        [
            format!("tunnel \"bench\": {keys}"),
            format!("tunnel \"cloud\": {keys}"),
            format!("tunnel \"legacy\": {old}"),
            allowed("3des"),
            allowed("sha1"),
            allowed("modp1024"),
            format!("tunnel \"easy\": {old}"),
        ]
    );
}

#[test]
fn every_example_of_the_page_about_routers_is_valid() {
    let page = std::fs::read_to_string(in_package("docs/cisco.md")).unwrap();
    let examples: Vec<_> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let config = crate::valid(example);
        assert!(config.tunnels[0].ike.as_ref().unwrap().v1().is_some());
    }
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
                || code.trim().starts_with("[tunnel.")
                    && code.trim().ends_with(&format!(".{}]", key.name))
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
        .filter(|key| key.section == Section::Tunnel && !key.name.ends_with("-ts"))
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

#[test]
fn the_defaults_of_esp_are_what_a_file_without_the_keys_gives() {
    let out = "spi = 0x1001, key-file = \"o.key\"";
    let inbound = "spi = 0x1002, key-file = \"i.key\"";
    let minimal = |udp: &str, out: &str, inbound: &str| {
        format!(
            "[tunnel.a]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nudp = {udp}\nsa = {{ out = {{ {out} }}, in = {{ {inbound} }} }}\n"
        )
    };
    let defaults = |section| {
        let given = KEYS.iter().filter(|key| key.section == section);
        given
            .filter_map(|key| match key.default {
                Absent::Value(value) => Some(format!("{} = {value}", key.name)),
                Absent::Required(_) | Absent::Words(_) => None,
            })
            .collect::<Vec<_>>()
    };
    let with = |section, given: &str| format!("{}, {given}", defaults(section).join(", "));
    let explicit = minimal(
        &format!("{{ {} }}", defaults(Section::Udp).join(", ")),
        &with(Section::SaOut, out),
        &with(Section::SaIn, inbound),
    );
    let selectors = defaults(Section::Tunnel)
        .into_iter()
        .filter(|line| line.contains("-ts = "));
    let selectors: String = selectors.map(|line| line + "\n").collect();
    assert_eq!(selectors.lines().count(), 2);
    assert_eq!(
        crate::valid(&minimal("true", out, inbound)).tunnels,
        crate::valid(&(explicit + &selectors)).tunnels
    );
}

#[test]
fn the_defaults_of_ike_are_what_a_file_without_the_keys_gives() {
    let defaults = |section: Section| {
        section.keys().filter_map(|key| match key.default {
            Absent::Value(value) => Some(format!("{} = {value}", key.name)),
            Absent::Required(_) | Absent::Words(_) => None,
        })
    };
    let with = |ike: &str, dpd: &str| {
        format!(
            "[tunnel.a]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nike = {{ psk-file = \"a.psk\", local-id = \"a.example\"{ike} }}\ndpd = {{ interval = \"10s\"{dpd} }}\n"
        )
    };
    let listed = |section| {
        defaults(section)
            .map(|entry| format!(", {entry}"))
            .collect::<String>()
    };
    let retransmit = listed(Section::Retransmit);
    let ike = listed(Section::Ike).replace(
        "retransmit = {}",
        &format!("retransmit = {{ {} }}", retransmit.trim_start_matches(", ")),
    );
    let endpoint = listed(Section::IkeEndpoint);
    let top = format!("ike = {{ {} }}\n", endpoint.trim_start_matches(", "));
    let (minimal, explicit) = (
        crate::valid(&with("", "")),
        crate::valid(&(top + &with(&ike, &listed(Section::Dpd)))),
    );
    assert_eq!(minimal.tunnels, explicit.tunnels);
    assert_eq!(minimal.ike, explicit.ike);
}
