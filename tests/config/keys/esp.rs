//! The keys of ESP and of UDP around it.

use adit::config::{Config, Section, StaticSas};

use super::Row;

const OUT: &str = "out = { spi = 0x1001, key-file = \"o.key\" }";
const IN: &str = "in = { spi = 0x1002, key-file = \"i.key\" }";
/// Mode `esp` with what it needs but the SAs.
const ESP: &str = "mode = \"esp\"\naddresses = [\"10.9.0.1/30\"]\n";
/// Mode `esp` with what it needs.
const ESP_SA: &str = "mode = \"esp\"\naddresses = [\"10.9.0.1/30\"]\nsa = { out = { spi = 0x1001, key-file = \"o.key\" }, in = { spi = 0x1002, key-file = \"i.key\" } }\n";
const GRE_ESP: &str = "mode = \"gre-esp\"\nsa = { out = { spi = 0x1001, key-file = \"o.key\" }, in = { spi = 0x1002, key-file = \"i.key\" } }\n";

/// `sa` with one key given and the other filled in.
pub(super) fn pair(key: &str, entry: &str) -> String {
    format!(
        "sa = {{ {entry}, {} }}",
        if key == "out" { IN } else { OUT }
    )
}

/// `sa` with one key of one direction given and the others filled in.
pub(super) fn one(section: Section, key: &str, entry: &str) -> String {
    let filled = match key {
        "spi" => "key-file = \"k.key\"",
        "key-file" => "spi = 0x1003",
        _ => "spi = 0x1003, key-file = \"k.key\"",
    };
    let (name, other) = if section == Section::SaOut {
        ("out", IN)
    } else {
        ("in", OUT)
    };
    format!("sa = {{ {name} = {{ {entry}, {filled} }}, {other} }}")
}

/// `sa` with one hard limit of the outbound SA.
pub(super) fn limits(entry: &str) -> String {
    one(Section::SaOut, "hard", &format!("hard = {{ {entry} }}"))
}

/// `warm` with one key given and what it needs filled in.
pub(super) fn warm(key: &str, entry: &str) -> String {
    let filled = if key == "interval" {
        ""
    } else {
        ", interval = \"10s\""
    };
    format!("warm = {{ {entry}{filled} }}")
}

fn sa(config: &Config) -> StaticSas {
    config.tunnels[0].sa.clone().unwrap()
}

fn shown(prefixes: &[adit::config::Prefix]) -> Vec<String> {
    prefixes.iter().map(ToString::to_string).collect()
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(Top, "busy-poll", "", |c| c.busy_poll, [("\"0us\"", "0ns"), ("\"50us\"", "50µs"), ("\"10ms\"", "10ms")], [
        ("\"10001us\"", "busy-poll 10001us above maximum 10ms"),
        ("\"50µs\"", "busy-poll \"50µs\" has an unknown unit | write \"50us\""),
        ("true", "busy-poll is a boolean, expected a time \"0s\"..=\"10ms\""),
    ]),
    row!(Tunnel, "udp", "", |c| c.tunnels[0].udp.map(|u| (u.port, u.remote_port, u.nat, u.nat_keepalive)), [
        ("false", "None"),
        ("true", "Some((4754, 4754, None, 20s))"),
        ("{}", "Some((4754, 4754, None, 20s))"),
    ], [
        ("4500", "tunnel \"a\": udp is an integer, expected true or false, or a table with port, remote-port, nat, nat-keepalive"),
    ]),
    row!(Udp, "port", "", |c| c.tunnels[0].udp.map(|u| (u.port, u.remote_port)), [("1", "Some((1, 4754))"), ("65535", "Some((65535, 4754))")], [
        ("0", "tunnel \"a\": udp.port 0 below minimum 1"),
        ("65536", "tunnel \"a\": udp.port 65536 above maximum 65535"),
    ]),
    row!(Udp, "remote-port", ESP_SA, |c| c.tunnels[0].udp.map(|u| (u.port, u.remote_port)), [("4501", "Some((4500, 4501))")], [
        ("0", "tunnel \"a\": udp.remote-port 0 below minimum 1"),
    ]),
    row!(Udp, "nat", ESP_SA, |c| c.tunnels[0].udp.map(|u| (u.nat, u.nat.is_local(), u.nat.is_peer())), [
        ("\"none\"", "Some((None, false, false))"),
        ("\"local\"", "Some((Local, true, false))"),
        ("\"peer\"", "Some((Peer, false, true))"),
        ("\"both\"", "Some((Both, true, true))"),
    ], [
        ("\"me\"", "tunnel \"a\": udp.nat \"me\" unknown, expected \"none\", \"local\", \"peer\" or \"both\""),
        ("true", "tunnel \"a\": udp.nat is a boolean, expected \"none\", \"local\", \"peer\" or \"both\""),
    ]),
    row!(Udp, "nat-keepalive", ESP_SA, |c| c.tunnels[0].udp.map(|u| u.nat_keepalive), [("\"1s\"", "Some(1s)"), ("\"1h\"", "Some(3600s)")], [
        ("\"0s\"", "tunnel \"a\": udp.nat-keepalive 0s below minimum 1s"),
        ("20", "tunnel \"a\": udp.nat-keepalive 20 has no unit | write \"20s\""),
    ]),
    row!(Tunnel, "sa", ESP, |c| (sa(c).out.spi, sa(c).inbound.replay_window), [
        ("{ out = { spi = 256, key-file = \"/k/o\" }, in = { spi = 0xffffffff, key-file = \"i\" } }", "(256, 4096)"),
    ], [
        ("{ out = { spi = 0x1001, key-file = \"o.key\" } }", "tunnel \"a\": sa.in missing | add in = { spi = 0x1002, key-file = \"in.key\" }"),
        ("true", "tunnel \"a\": sa is a boolean, expected a table with out, in"),
    ]),
    row!(Sa, "out", ESP, |c| sa(c).out, [
        ("{ spi = 0x1001, key-file = \"k/o.key\" }", "OutSa { spi: 4097, key_file: \"k/o.key\", esn: true, soft: Limits { packets: None, octets: None, time: None }, hard: Limits { packets: None, octets: None, time: None } }"),
    ], [
        ("{ spi = 0x1001 }", "tunnel \"a\": sa.out.key-file missing | add key-file = \"out.key\""),
        ("{ key-file = \"o.key\" }", "tunnel \"a\": sa.out.spi missing | add spi = 0x1001"),
        ("{ spi = 0x1001, key-file = \"o.key\", replay-window = 64 }", "tunnel \"a\": unknown key \"sa.out.replay-window\" | \"replay-window\" is a key of [tunnel.NAME.sa.in]"),
    ]),
    row!(Sa, "in", ESP, |c| sa(c).inbound, [
        ("{ spi = 0x1002, key-file = \"i.key\" }", "InSa { spi: 4098, key_file: \"i.key\", esn: true, replay_window: 4096, hard: Limits { packets: None, octets: None, time: None } }"),
    ], [
        ("{ spi = 0x1002 }", "tunnel \"a\": sa.in.key-file missing | add key-file = \"in.key\""),
        ("0x1002", "tunnel \"a\": sa.in is an integer, expected a table with spi, key-file, esn, replay-window, hard"),
    ]),
    row!(SaOut, "spi", ESP, |c| sa(c).out.spi, [("256", "256"), ("0xffff_ffff", "4294967295")], [
        ("255", "tunnel \"a\": sa.out.spi 255 below minimum 256"),
        ("0", "tunnel \"a\": sa.out.spi 0 below minimum 256"),
        ("0x1_0000_0000", "tunnel \"a\": sa.out.spi 0x1_0000_0000 above maximum 4294967295"),
        ("\"0x1001\"", "tunnel \"a\": sa.out.spi is a string, expected an integer 256..=4294967295"),
    ]),
    row!(SaOut, "key-file", ESP, |c| sa(c).out.key_file, [("\"/etc/adit/o.key\"", "\"/etc/adit/o.key\""), ("\"o.key\"", "\"o.key\"")], [
        ("\"\"", "tunnel \"a\": sa.out.key-file \"\" is not the path of a file"),
        ("\"keys/\"", "tunnel \"a\": sa.out.key-file \"keys/\" is not the path of a file"),
        ("\"a\\u0000\"", "tunnel \"a\": sa.out.key-file \"a\\0\" holds a zero octet"),
        ("0x1234", "tunnel \"a\": sa.out.key-file is an integer, expected the path of a file"),
    ]),
    row!(SaOut, "esn", ESP, |c| sa(c).out.esn, [("false", "false"), ("true", "true")], [
        ("32", "tunnel \"a\": sa.out.esn is an integer, expected true or false"),
    ]),
    row!(SaOut, "soft", ESP, |c| sa(c).out.soft, [
        ("{ packets = 1, octets = 2, time = \"3s\" }", "Limits { packets: Some(1), octets: Some(2), time: Some(3s) }"),
    ], [
        ("5", "tunnel \"a\": sa.out.soft is an integer, expected a table with packets, octets, time"),
    ]),
    row!(SaOut, "hard", ESP, |c| sa(c).out.hard.packets, [("{ packets = 1 }", "Some(1)"), ("{}", "None")], [
        ("{ packet = 1 }", "tunnel \"a\": unknown key \"sa.out.hard.packet\" | did you mean \"packets\"?"),
    ]),
    row!(SaIn, "spi", ESP, |c| sa(c).inbound.spi, [("256", "256")], [
        ("255", "tunnel \"a\": sa.in.spi 255 below minimum 256"),
    ]),
    row!(SaIn, "key-file", ESP, |c| sa(c).inbound.key_file, [("\"../i.key\"", "\"../i.key\"")], [
        ("false", "tunnel \"a\": sa.in.key-file is a boolean, expected the path of a file"),
    ]),
    row!(SaIn, "esn", ESP, |c| sa(c).inbound.esn, [("false", "false")], [
        ("0", "tunnel \"a\": sa.in.esn is an integer, expected true or false"),
    ]),
    row!(SaIn, "replay-window", ESP, |c| sa(c).inbound.replay_window, [("64", "64"), ("65536", "65536")], [
        ("63", "tunnel \"a\": sa.in.replay-window 63 below minimum 64"),
        ("65537", "tunnel \"a\": sa.in.replay-window 65537 above maximum 65536"),
        ("0", "tunnel \"a\": sa.in.replay-window 0 below minimum 64"),
    ]),
    row!(SaIn, "hard", ESP, |c| sa(c).inbound.hard.time, [("{ time = \"1h\" }", "Some(3600s)")], [
        ("{ time = \"0s\" }", "tunnel \"a\": sa.in.hard.time 0s below minimum 1s"),
    ]),
    row!(Limits, "packets", ESP, |c| sa(c).out.hard.packets, [("9223372036854775807", "Some(9223372036854775807)")], [
        ("0", "tunnel \"a\": sa.out.hard.packets 0 below minimum 1"),
    ]),
    row!(Limits, "octets", ESP, |c| sa(c).out.hard.octets, [("1_000_000", "Some(1000000)")], [
        ("\"1G\"", "tunnel \"a\": sa.out.hard.octets is a string, expected an integer 1..=9223372036854775807"),
    ]),
    row!(Limits, "time", ESP, |c| sa(c).out.hard.time, [("\"8760h\"", "Some(31536000s)")], [
        ("\"8761h\"", "tunnel \"a\": sa.out.hard.time 8761h above maximum 8760h"),
    ]),
    row!(Tunnel, "local-ts", ESP_SA, |c| shown(&c.tunnels[0].local_ts), [("[\"10.0.0.0/8\", \"::/0\"]", "[\"10.0.0.0/8\", \"::/0\"]")], [
        ("[]", "tunnel \"a\": local-ts of 0 elements below minimum 1"),
        ("[\"10.0.0.1/8\"]", "tunnel \"a\": local-ts \"10.0.0.1/8\" has host bits set | write \"10.0.0.0/8\""),
    ]),
    row!(Tunnel, "remote-ts", ESP_SA, |c| shown(&c.tunnels[0].remote_ts), [("[\"10.9.0.2/32\"]", "[\"10.9.0.2/32\"]")], [
        ("\"10.0.0.0/8\"", "tunnel \"a\": remote-ts is a string, expected an array of 1..=64, each a network with a prefix length | write [\"10.0.0.0/8\"]"),
    ]),
    row!(Tunnel, "leak-guard", "", |c| c.tunnels[0].leak_guard, [("true", "true"), ("false", "false")], [
        ("\"on\"", "tunnel \"a\": leak-guard is a string, expected true or false"),
    ]),
    row!(Tunnel, "warm", ESP_SA, |c| c.tunnels[0].warm, [
        ("{ interval = \"10s\" }", "Some(Warm { interval: 10s, kind: Udp9, source: 10.9.0.1, destination: 10.9.0.2 })"),
        ("{ interval = \"0s\" }", "None"),
    ], [
        ("{}", "tunnel \"a\": warm.interval missing | add interval = \"10s\""),
        ("\"10s\"", "tunnel \"a\": warm is a string, expected a table with interval, kind, source, destination"),
    ]),
    row!(Warm, "interval", ESP_SA, |c| c.tunnels[0].warm.map(|w| w.interval), [("\"24h\"", "Some(86400s)")], [
        ("10", "tunnel \"a\": warm.interval 10 has no unit | write \"10s\""),
        ("\"25h\"", "tunnel \"a\": warm.interval 25h above maximum 24h"),
    ]),
    row!(Warm, "kind", ESP_SA, |c| c.tunnels[0].warm.map(|w| (w.kind, w.destination)), [
        ("\"udp9\"", "Some((Udp9, 10.9.0.2))"),
        ("\"icmp\"", "Some((Icmp, 10.9.0.2))"),
        ("\"dummy59\"", "Some((Dummy59, 0.0.0.0))"),
    ], [
        ("\"udp\"", "tunnel \"a\": warm.kind \"udp\" unknown, expected \"udp9\", \"icmp\" or \"dummy59\" | did you mean \"udp9\"?"),
    ]),
    row!(Warm, "source", ESP_SA, |c| c.tunnels[0].warm.map(|w| (w.source, w.destination)), [("\"10.1.0.1\"", "Some((10.1.0.1, 10.9.0.2))")], [
        ("\"10.1.0\"", "tunnel \"a\": warm.source \"10.1.0\" is not an IP address"),
        ("\"fd00::1\"", "tunnel \"a\": warm.destination missing: no /30, /31, /126 or /127 of addresses tells the peer's address | add destination = \"ADDRESS\", an address of the peer inside the tunnel"),
    ]),
    row!(Warm, "destination", ESP_SA, |c| c.tunnels[0].warm.map(|w| (w.source, w.destination)), [("\"10.2.0.1\"", "Some((10.9.0.1, 10.2.0.1))")], [
        ("\"10.9.0.1\"", "tunnel \"a\": warm.destination 10.9.0.1 is an address of the interface"),
        ("\"fd00::1\"", "tunnel \"a\": warm.destination fd00::1 is IPv6, but addresses has no IPv6 address"),
    ]),
    row!(Tunnel, "tfc", ESP_SA, |c| c.tunnels[0].tfc, [
        ("{ pad = 512, dummies = \"100ms\" }", "Some(Tfc { pad: Octets(512), dummies: Some(100ms) })"),
    ], [
        ("{}", "tunnel \"a\": tfc has neither pad nor dummies"),
        ("true", "tunnel \"a\": tfc is a boolean, expected a table with pad, dummies"),
    ]),
    row!(Tfc, "pad", ESP_SA, |c| c.tunnels[0].tfc, [
        ("\"mtu\"", "Some(Tfc { pad: Mtu, dummies: None })"),
        ("64", "Some(Tfc { pad: Octets(64), dummies: None })"),
    ], [
        ("63", "tunnel \"a\": tfc.pad 63 below minimum 64"),
        ("\"max\"", "tunnel \"a\": tfc.pad \"max\" unknown, expected \"mtu\", or an integer 64..=65511"),
    ]),
    row!(Tfc, "dummies", ESP_SA, |c| c.tunnels[0].tfc, [("\"1ms\"", "Some(Tfc { pad: None, dummies: Some(1ms) })")], [
        ("\"999us\"", "tunnel \"a\": tfc.dummies 999us below minimum 1ms"),
    ]),
    row!(Keepalive, "target", ESP_SA, |c| c.tunnels[0].keepalive.as_ref().map(|k| k.target), [("\"10.20.0.1\"", "Some(Some(10.20.0.1))")], [
        ("\"10.9.0.1\"", "tunnel \"a\": keepalive.target 10.9.0.1 is an address of the interface"),
        ("\"fd00::2\"", "tunnel \"a\": keepalive.target fd00::2 is IPv6, but addresses has no IPv6 address"),
        ("\"gw\"", "tunnel \"a\": keepalive.target \"gw\" is not an IP address"),
    ]),
    row!(Keepalive, "accept-clear", GRE_ESP, |c| c.tunnels[0].keepalive.as_ref().map(|k| k.accept_clear), [("true", "Some(true)")], [
        ("1", "tunnel \"a\": keepalive.accept-clear is an integer, expected true or false"),
    ]),
    row!(Offload, "udp-segmentation", "udp = true", |c| c.tunnels[0].offload.udp_segmentation, [("\"auto\"", "Auto"), ("\"on\"", "On"), ("\"off\"", "Off")], [
        ("true", "tunnel \"a\": offload.udp-segmentation is a boolean, expected \"auto\", \"on\" or \"off\""),
    ]),
];
