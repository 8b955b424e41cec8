//! `adit check` of an Easy VPN remote.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::command::adit;

/// A folder with these files, each closed to others, and what `check` says in it of these tunnels.
fn check_beside(files: &[(&str, &str)], text: &str) -> (tempfile::TempDir, Output) {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let path = directory.path().join("adit.toml");
    std::fs::write(&path, text).unwrap();
    let output = adit(&["check", path.to_str().unwrap()]);
    (directory, output)
}

const STRONG: &str = "8c1de0a9f2b34756a1b2c3d4e5f60718";
const EASY: &str = "[tunnel.easy]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nike = { version = 1, easy-vpn = { group = \"unity\", group-key-file = \"unity.key\", user = \"alice\", password-file = \"alice.pw\", connect = \"manual\" } }\n";

#[test]
fn check_shows_an_easy_vpn_remote_and_no_secret_of_it() {
    let files = [("unity.key", STRONG), ("alice.pw", "hunter2\n")];
    let (directory, output) = check_beside(&files, EASY);
    assert!(output.status.success());
    let folder = format!("{}/", directory.path().display());
    let shown = String::from_utf8(output.stdout)
        .unwrap()
        .replace(&folder, "");
    assert!(!shown.contains("hunter2") && !shown.contains(STRONG));
    let names = [
        "ike",
        "identities",
        "psk",
        "easy",
        "proposals",
        "esp",
        "warning",
    ];
    let named = |line: &&str| names.iter().any(|name| line.trim_start().starts_with(name));
    let shown: Vec<_> = shown.lines().filter(named).map(str::trim).collect();
    assert_eq!(
        shown,
        [
            "ike        version 1, tunnel mode, brought up by adit up",
            "identities keyid:unity, to whoever proves it",
            "psk        in unity.key",
            "easy vpn   client mode, user \"alice\", password in alice.pw",
            "proposals  aes256-sha256-modp2048, aes128-sha256-modp2048",
            "esp        aes256gcm16, aes128gcm16, aes256-sha256, aes128-sha256",
        ]
    );
}

#[test]
fn check_warns_of_secrets_of_an_easy_vpn_that_are_weak_open_or_not_there() {
    let warnings = |files: &[(&str, &str)], open: &str| {
        let (directory, _) = check_beside(files, EASY);
        if !open.is_empty() {
            let open = directory.path().join(open);
            std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        let output = adit(&[
            "check",
            directory.path().join("adit.toml").to_str().unwrap(),
        ]);
        let folder = format!("{}/", directory.path().display());
        let shown = String::from_utf8(output.stdout)
            .unwrap()
            .replace(&folder, "");
        let lines = shown
            .lines()
            .filter_map(|line| line.trim().strip_prefix("warning"));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        warnings(&[("unity.key", "unity"), ("alice.pw", "")], ""),
        [
            "group-key-file unity.key: may be found by trying; adit keygen psk FILE makes a strong one",
            "password-file alice.pw: no password in it",
        ]
    );
    let both = [("unity.key", STRONG), ("alice.pw", "hunter2")];
    for (file, key) in [
        ("unity.key", "group-key-file"),
        ("alice.pw", "password-file"),
    ] {
        assert_eq!(
            warnings(&both, file),
            [format!(
                "{key} {file}: mode 0644 lets others than its owner in; run `chmod 600 {file}`"
            )]
        );
    }
    assert_eq!(
        warnings(&both[..1], ""),
        ["password-file alice.pw: cannot open it: No such file or directory (os error 2)"]
    );
}

#[test]
fn check_finds_one_key_in_two_versions_though_the_files_differ() {
    let tunnels = format!(
        "{EASY}[tunnel.hq]\nmode = \"esp\"\nremote = \"198.51.100.3\"\nike = {{ psk-file = \"hq.psk\", local-id = \"a.example\" }}\n"
    );
    let found = |psk: &str| {
        let files = [
            ("unity.key", STRONG),
            ("alice.pw", "hunter2"),
            ("hq.psk", psk),
        ];
        let (_directory, output) = check_beside(&files, &tunnels);
        String::from_utf8(output.stdout).unwrap().contains(
            "tunnels easy and hq have the same key in two versions of IKE: whoever guesses it in version 1 has it in both",
        )
    };
    assert!(found(&format!("{STRONG}\n")));
    assert!(!found("71809f5e4d3c2b1a65743b2f9a0ed1c8"));
}
