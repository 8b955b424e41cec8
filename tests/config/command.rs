//! `adit check`, `adit completions` and `adit man`, run as a user runs them.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

pub(super) fn adit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(arguments)
        .output()
        .unwrap()
}

fn check(text: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("adit.toml");
    std::fs::write(&path, text).unwrap();
    adit(&["check", path.to_str().unwrap()])
}

#[test]
fn check_shows_what_each_tunnel_means() {
    let output = check(
        r#"
[tunnel.branch]
mode = "gre"
remote = ["198.51.100.2", "198.51.100.3"]
addresses = ["10.9.0.1/30"]
routes = ["10.20.0.0/16"]
netns = "blue"
gre = { key = 42 }
keepalive = { period = "5s", retries = 3 }
[tunnel.six]
mode = "gre"
remote = "2001:db8::2"
mtu = 1400
on-dead = ["delete"]
gre = { checksum = true, sequence = true, key = { in = 1 } }
keepalive = { profile = "cisco", payload = false }
"#,
    );
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "\
tunnel branch (gre)
  interface  branch in namespace blue
  sockets    in the namespace of adit
  remote     198.51.100.2, 198.51.100.3
  addresses  10.9.0.1/30
  routes     10.20.0.0/16
  overhead   28 octets over IPv4: IPv4 20, GRE 8
  mtu        auto: 1472 on a path of 1500
  keepalive  every 5s, 3 retries, profile huawei, authenticated
  detection  a dead peer is found after 20.01 s at worst
  on dead    carrier off, routes withdrawn
tunnel six (gre)
  interface  six in the namespace of adit
  sockets    in the namespace of adit
  remote     2001:db8::2
  overhead   52 octets over IPv6: IPv6 40, GRE 12
  mtu        1400: needs a path of 1452 for packets without fragments
  keepalive  every 10s, 3 retries, profile cisco, without payload
  detection  a dead peer is found after 40.01 s at worst
  on dead    interface deleted
"
    );
}

#[test]
fn check_shows_sas_ports_and_the_overhead_of_esp_and_no_key() {
    let output = check(
        r#"
[tunnel.hq]
mode = "esp"
remote = "198.51.100.2"
addresses = ["10.9.1.1/30"]
udp = { port = 4501 }
sa = { out = { spi = 0x1001, key-file = "/k/hq-out.key" }, in = { spi = 0x1002, key-file = "/k/hq-in.key" } }
keepalive = true
mtu = 1400
"#,
    );
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "\
tunnel hq (esp)
  interface  hq in the namespace of adit
  sockets    in the namespace of adit
  remote     198.51.100.2
  addresses  10.9.1.1/30
  leak guard routes and networks of addresses are unreachable by any other way
  udp        port 4501, to port 4500
  sa out     SPI 0x1001, key in /k/hq-out.key
  sa in      SPI 0x1002, key in /k/hq-in.key
  overhead   62 octets over IPv4: IPv4 20, UDP 8, ESP 34
  mtu        1400: needs a path of 1464 for packets without fragments
  keepalive  every 5s, 3 retries, echo requests to 10.9.1.2
  detection  a dead peer is found after 20.01 s at worst
  on dead    carrier off, routes withdrawn
"
    );
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(
        warnings.starts_with("warning: tunnel \"hq\": static keys are never renewed"),
        "{warnings}"
    );
}

/// What `check` says of a tunnel with IKE and these lines more, by the words at the beginning of its lines.
fn said(lines: &str, names: &[&str]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let psk = directory.path().join("a.psk");
    let psk = psk.to_str().unwrap();
    assert!(adit(&["keygen", "psk", psk]).status.success());
    let output = check(&format!(
        "[tunnel.a]\nmode = \"esp\"\nremote = \"198.51.100.2\"\naddresses = [\"10.9.0.1/30\"]\nike = {{ psk-file = \"{psk}\", local-id = \"a.example\" }}\n{lines}\n"
    ));
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout)
        .unwrap()
        .replace(psk, "PSK");
    let named = |line: &&str| names.iter().any(|name| line.trim_start().starts_with(name));
    shown
        .lines()
        .filter(named)
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn check_shows_what_ike_agrees_upon_and_renews() {
    let names = [
        "ike",
        "identities",
        "psk",
        "overhead",
        "rekey",
        "dpd",
        "on dead",
        "warning",
    ];
    assert_eq!(
        said("", &names),
        [
            "ike        version 2, tunnel mode, brought up at once",
            "identities a.example, to whoever proves it",
            "psk        in PSK",
            "rekey      after 14400s, child SAs after 3600s, up to 10 % earlier",
            "overhead   54 octets over IPv4: IPv4 20, ESP 34; behind a NAT 8 more",
            "dpd        periodic: after 10s of silence 5 attempts of 2s",
            "on dead    carrier off, routes withdrawn",
        ]
    );
    assert_eq!(
        said("start = \"on-traffic\"\nidle-timeout = \"5m\"\n", &["ike"]),
        [
            "ike        version 2, tunnel mode, brought up by traffic, deleted after 300s without data"
        ]
    );
}

#[test]
fn check_tells_the_worst_case_of_each_mode_of_dpd_and_of_keepalives_beside_it() {
    let detection = |lines: &str| {
        let said = said(lines, &["detection"]);
        said[0].trim_start_matches("detection  ").to_owned()
    };
    assert_eq!(detection(""), "a dead peer is found after 20.01 s at worst");
    assert_eq!(
        detection(
            "dpd = { mode = \"periodic\", interval = \"30s\", retry = \"500ms\", attempts = 3 }"
        ),
        "a dead peer is found after 31.51 s at worst"
    );
    assert_eq!(
        detection("dpd = { interval = \"10s\" }"),
        "a dead peer is found after 20.01 s at worst, and the wait for data to send"
    );
    let often = "keepalive = { period = \"1s\", retries = 3 }\n";
    assert_eq!(
        detection(often),
        "a dead peer is found after 4.01 s at worst"
    );
    assert_eq!(
        detection(&format!(
            "{often}dpd = {{ interval = \"1s\", attempts = 1 }}"
        )),
        "a dead peer is found after 4.01 s at worst"
    );
    assert_eq!(
        detection("keepalive = { period = \"60s\" }"),
        "a dead peer is found after 20.01 s at worst"
    );
    assert_eq!(detection("dpd = false"), "none before the next rekey");
}

#[test]
fn check_warns_of_a_psk_that_is_weak_open_or_not_there_and_does_not_show_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.psk");
    let warning = || {
        let output = check(&format!(
            "[tunnel.a]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nike = {{ psk-file = \"{}\", local-id = \"a.example\" }}\n",
            path.display()
        ));
        assert!(output.status.success());
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(!shown.contains("hunter2"));
        let line = shown.lines().find(|line| line.starts_with("  warning"));
        line.map(|line| line.replace(&path.display().to_string(), "PSK"))
    };
    assert_eq!(
        warning().unwrap(),
        "  warning    psk-file PSK: cannot open it: No such file or directory (os error 2)"
    );
    std::fs::write(&path, "hunter2\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        warning().unwrap(),
        "  warning    psk-file PSK: mode 0644 lets others than its owner in; run `chmod 600 PSK`"
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(
        warning().unwrap(),
        "  warning    psk-file PSK: may be found by trying; adit keygen psk FILE makes a strong one"
    );
}

#[test]
fn check_warns_of_a_certificate_that_is_not_ours_or_not_named_as_we_are() {
    let directory = tempfile::tempdir().unwrap();
    let certs = concat!(env!("CARGO_MANIFEST_DIR"), "/crypto/tests/certs");
    let warning = |key: &str, id: &str| {
        let file = directory.path().join(key);
        std::fs::copy(format!("{certs}/{key}"), &file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = check(&format!(
            "[tunnel.a]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nike = {{ cert-file = \"{certs}/a.pem\", key-file = \"{}\", ca-file = \"{certs}/ca.pem\", local-id = \"{id}\", remote-id = \"b.ik.test\" }}\n",
            file.display()
        ));
        assert!(output.status.success());
        let shown = String::from_utf8(output.stdout).unwrap();
        let line = shown.lines().find(|line| line.starts_with("  warning"));
        line.map(|line| {
            line.replace(&file.display().to_string(), "KEY")
                .replace(certs, "CERTS")
        })
    };
    assert_eq!(
        warning("b.key", "a.ik.test").unwrap(),
        "  warning    KEY: not the private key of the first certificate of CERTS/a.pem"
    );
    assert_eq!(
        warning("a.key", "c.ik.test").unwrap(),
        "  warning    cert-file CERTS/a.pem: the certificate does not hold local-id c.ik.test"
    );
}

#[test]
fn keygen_psk_makes_a_closed_file_of_one_line_and_never_shows_or_replaces_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.psk");
    let file = path.to_str().unwrap();
    let made = adit(&["keygen", "psk", file]);
    assert!(made.status.success());
    let key = std::fs::read_to_string(&path).unwrap();
    assert_eq!((key.len(), key.lines().count()), (65, 1));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(
        said.starts_with(&format!("{file}: pre-shared key of 64 digits, mode 0600\n")),
        "{said}"
    );
    assert!(!said.contains(key.trim()));
    assert_eq!(adit(&["keygen", "psk", file]).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), key);
    for wrong in [&["keygen"][..], &["keygen", "psk"]] {
        assert_eq!(adit(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn check_fails_with_the_report_on_stderr_and_without_color_outside_a_terminal() {
    let output = check("[tunnel.a]\nmode = \"gre\"\nremote = \"198.51.100.2\"\nmtu = 900\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let report = String::from_utf8(output.stderr).unwrap();
    assert!(report.contains("adit.toml:4:7"), "{report}");
    assert!(
        report.contains("error: tunnel \"a\": mtu 900 below minimum 1280"),
        "{report}"
    );
    assert!(!report.contains('\u{1b}'));
}

#[test]
fn check_warns_and_succeeds_without_keepalive_and_with_a_hook_that_cannot_run() {
    let output = check(
        "[tunnel.a]\nmode = \"gre\"\nremote = \"gw.example\"\n\
         [tunnel.b]\nmode = \"gre\"\nremote = \"198.51.100.2\"\nkeepalive = true\non-dead = [\"hook\"]\nhook = [\"/nonexistent/program\"]\n",
    );
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("  overhead   24 octets over IPv4: IPv4 20, GRE 4\n"),
        "{shown}"
    );
    assert!(
        shown.contains("  overhead   44 octets over IPv6: IPv6 40, GRE 4\n"),
        "{shown}"
    );
    assert!(
        shown.contains("  detection  none: the tunnel never drops when the peer dies\n"),
        "{shown}"
    );
    assert!(
        shown.contains("  warning    hook /nonexistent/program is not an executable file\n"),
        "{shown}"
    );
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(
        warnings.starts_with("warning: tunnel \"a\": without keepalive"),
        "{warnings}"
    );
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = adit(&["completions", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for command in ["demo", "run", "status", "counters", "events", "check"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn man_prints_the_page_or_writes_one_for_each_command() {
    let page = String::from_utf8(adit(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH adit 1"), "{page}");
    let directory = tempfile::tempdir().unwrap();
    assert!(
        adit(&["man", directory.path().to_str().unwrap()])
            .status
            .success()
    );
    for page in ["adit.1", "adit-run.1", "adit-check.1", "adit-status.1"] {
        assert!(directory.path().join(page).is_file(), "{page}");
    }
    let failed = adit(&["man", "/nonexistent"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(!failed.stderr.is_empty());
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success());
}

#[test]
fn the_command_line_knows_every_command_and_refuses_what_excludes_each_other() {
    let help = String::from_utf8(adit(&["--help"]).stdout).unwrap();
    for command in [
        "demo",
        "run",
        "up",
        "down",
        "status",
        "counters",
        "events",
        "check",
        "completions",
        "man",
    ] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(command)),
            "{command}: {help}"
        );
    }
    for wrong in [
        &["status", "--json", "--watch"][..],
        &["demo", "--seconds", "0"],
        &["run"],
        &["up"],
        &["check"],
        &["completions", "sh"],
    ] {
        assert_eq!(adit(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
