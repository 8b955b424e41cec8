//! The report as people read it.

use crate::{TUNNEL, parse, problems};

fn rendered(text: &str) -> String {
    parse(text).unwrap_err().render(false)
}

#[test]
fn an_error_shows_file_line_column_text_bound_and_what_to_write() {
    assert_eq!(
        rendered(&format!("{TUNNEL}mtu = 900\n")),
        "\
error: tunnel \"a\": mtu 900 below minimum 1280
 --> adit.toml:5:7
  |
5 | mtu = 900
  |       ^^^ minimum 1280

adit.toml: 1 error, nothing was changed
"
    );
    assert_eq!(
        rendered(&format!("{TUNNEL}[tunnel.a.keep-alive]\nperiod = 5\n")),
        "\
error: tunnel \"a\": unknown key \"keep-alive\"
 --> adit.toml:5:11
  |
5 | [tunnel.a.keep-alive]
  |           ^^^^^^^^^^ unknown key
  |
  = help: did you mean \"keepalive\"?

adit.toml: 1 error, nothing was changed
"
    );
}

#[test]
fn an_error_about_two_places_shows_both() {
    assert_eq!(
        rendered(&format!("{TUNNEL}local = \"2001:db8::1\"\n")),
        "\
error: tunnel \"a\": remote 198.51.100.2 is IPv4, but local 2001:db8::1 is IPv6
 --> adit.toml:3:10
  |
3 | remote = \"198.51.100.2\"
  |          ^^^^^^^^^^^^^^ IPv4
  |
 ::: adit.toml:5:9
  |
5 | local = \"2001:db8::1\"
  |         ------------- IPv6

adit.toml: 1 error, nothing was changed
"
    );
}

#[test]
fn a_value_of_several_lines_is_shown_by_its_first() {
    assert_eq!(
        rendered(&format!("{TUNNEL}mtu = [\n  1,\n  2,\n]\n")),
        "\
error: tunnel \"a\": mtu is an array, expected \"auto\", or an integer 1280..=65511
 --> adit.toml:5:7
  |
5 | mtu = [
  |       ^ an array

adit.toml: 1 error, nothing was changed
"
    );
}

#[test]
fn columns_count_characters_and_windows_line_ends_are_not_shown() {
    let text = format!("{TUNNEL}# é\r\nhook = [\"é\", \"\\u0000\"]\r\n");
    assert_eq!(
        rendered(&text),
        "\
error: tunnel \"a\": hook \"\\0\" holds a zero octet
 --> adit.toml:6:14
  |
6 | hook = [\"é\", \"\\u0000\"]
  |              ^^^^^^^^ zero octet

adit.toml: 1 error, nothing was changed
"
    );
}

#[test]
fn colors_are_only_in_the_report_for_terminals() {
    let report = parse("x = 1\n").unwrap_err();
    assert!(report.render(true).contains('\u{1b}'));
    assert!(!report.render(false).contains('\u{1b}'));
    assert!(!report.to_string().contains('\u{1b}'));
}

#[test]
fn every_error_of_a_file_is_in_one_report_in_the_order_of_the_file() {
    let text = "\
worker = 2
socket = \"adit.sock\"
[tunnel.a]
mode = \"es\"
remote = \"198.51.100.2/32\"
mtu = 900
keepalive = { period = 5, retries = 0 }
[tunnel.b]
mode = \"gre\"
remote = \"gw.example\"
ttl = 256
period = 5
";
    assert_eq!(
        problems(text),
        [
            "1:1: unknown key \"worker\" | did you mean \"workers\"?",
            "2:10: socket \"adit.sock\" is not an absolute path",
            "4:8: tunnel \"a\": mode \"es\" unknown, expected \"gre\", \"esp\" or \"gre-esp\" | did you mean \"esp\"?",
            "5:10: tunnel \"a\": remote \"198.51.100.2/32\" is not an IP address | write \"198.51.100.2\"",
            "6:7: tunnel \"a\": mtu 900 below minimum 1280",
            "7:24: tunnel \"a\": keepalive.period 5 has no unit | write \"5s\"",
            "7:37: tunnel \"a\": keepalive.retries 0 below minimum 1",
            "8:1: tunnel \"b\": without keepalive the tunnel goes up at once and never drops when the peer dies | add keepalive = true",
            "11:7: tunnel \"b\": ttl 256 above maximum 255",
            "12:1: tunnel \"b\": unknown key \"period\" | \"period\" is a key of [tunnel.NAME.keepalive]",
        ]
    );
}

#[test]
fn a_fault_of_syntax_hides_no_other_error_and_invents_none() {
    let text = "\
[tunnel.a]
mode = gre
remote = \"198.51.100.2
mtu = 900
keepalive = { period = 5 }
mtu = 1400
";
    let problems = problems(text);
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| problem.split(':').next().unwrap())
        .collect();
    assert_eq!(lines, ["2", "3", "4", "5", "6"], "{problems:#?}");
    assert!(problems.contains(&"4:7: tunnel \"a\": mtu 900 below minimum 1280".to_owned()));
    assert!(
        problems.contains(&"6:1: duplicate key".to_owned()),
        "{problems:#?}"
    );
}

#[test]
fn an_unknown_key_that_resembles_none_lists_what_there_is() {
    assert_eq!(
        problems(&format!("{TUNNEL}gre = {{ colour = 1 }}\n")),
        [
            "5:9: tunnel \"a\": unknown key \"gre.colour\" | the keys here are key, checksum, sequence"
        ]
    );
    assert_eq!(
        problems(&format!("{TUNNEL}workers = 1\n")),
        ["5:1: tunnel \"a\": unknown key \"workers\" | \"workers\" stands at the top of the file"]
    );
    assert_eq!(
        problems(&format!("tunnels = 1\n{TUNNEL}")),
        ["1:1: unknown key \"tunnels\" | did you mean \"tunnel\"?"]
    );
}
