//! Each key: the values that it takes and what they become, and the values that it refuses and with which words.

use adit::config::{Config, KEYS, Section};

use crate::{problems, valid};

/// A key, the lines that it needs beside it, what is looked at, values with what they become, and values with the words of the refusal.
struct Row {
    section: Section,
    key: &'static str,
    with: &'static str,
    look: fn(&Config) -> String,
    takes: &'static [(&'static str, &'static str)],
    refuses: &'static [(&'static str, &'static str)],
}

macro_rules! row {
    ($section:ident, $key:literal, $with:expr, |$config:ident| $look:expr, $takes:expr, $refuses:expr) => {
        Row {
            section: Section::$section,
            key: $key,
            with: $with,
            look: |$config| format!("{:?}", $look),
            takes: &$takes,
            refuses: &$refuses,
        }
    };
}

fn file(row: &Row, value: &str) -> String {
    let Row {
        section, key, with, ..
    } = row;
    let entry = format!("{key} = {value}");
    let (top, tunnel) = match section {
        Section::Top => (entry, String::new()),
        Section::IkeEndpoint => (format!("ike = {{ {entry} }}"), String::new()),
        Section::Tunnel => (String::new(), entry),
        Section::Gre => (String::new(), format!("gre = {{ {entry} }}")),
        Section::GreKey => (String::new(), format!("gre = {{ key = {{ {entry} }} }}")),
        Section::Keepalive => (String::new(), format!("keepalive = {{ {entry} }}")),
        Section::MssClamp => (String::new(), format!("mss-clamp = {{ {entry} }}")),
        Section::Offload => (String::new(), format!("offload = {{ {entry} }}")),
        Section::Udp => (String::new(), format!("udp = {{ {entry} }}")),
        Section::Warm => (String::new(), esp::warm(key, &entry)),
        Section::Tfc => (String::new(), format!("tfc = {{ {entry} }}")),
        Section::Sa => (String::new(), esp::pair(key, &entry)),
        Section::SaOut | Section::SaIn => (String::new(), esp::one(*section, key, &entry)),
        Section::Limits => (String::new(), esp::limits(&entry)),
        Section::Ike => (String::new(), ike::table(key, &entry)),
        Section::Retransmit => (
            String::new(),
            ike::table("retransmit", &format!("retransmit = {{ {entry} }}")),
        ),
        Section::IkeV1 => (String::new(), v1::table(key, &entry)),
        Section::EasyVpn => (String::new(), v1::easy_vpn(key, &entry)),
        Section::Dpd => (String::new(), ike::dpd(key, &entry)),
    };
    let at_top = matches!(section, Section::Top | Section::IkeEndpoint);
    let mut text = if at_top {
        format!("{top}\n{with}\n")
    } else {
        String::new()
    };
    text.push_str("[tunnel.a]\n");
    let lines = if at_top {
        String::new()
    } else {
        format!("{tunnel}\n{with}\n")
    };
    for (key, line) in [
        ("mode", "mode = \"gre\""),
        ("remote", "remote = \"198.51.100.2\""),
        ("keepalive", "keepalive = true"),
    ] {
        if !lines
            .lines()
            .any(|given| given.split(' ').next() == Some(key))
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    text + &lines
}

mod esp;
mod ike;
mod v1;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row!(Top, "workers", "", |c| c.workers, [("1", "1"), ("64", "64"), ("0x10", "16"), ("+1_6", "16")], [
        ("0", "workers 0 below minimum 1"),
        ("65", "workers 65 above maximum 64"),
        ("-3", "workers -3 below minimum 1"),
        ("0x100", "workers 0x100 above maximum 64"),
        ("99999999999999999999999999999999999999999", "workers 99999999999999999999999999999999999999999 above maximum 64"),
        ("1.5", "workers is a float, expected an integer 1..=64"),
        ("\"2\"", "workers is a string, expected an integer 1..=64 | write 2 without quotes"),
        ("\"many\"", "workers is a string, expected an integer 1..=64"),
    ]),
    row!(Top, "pin", "workers = 2", |c| c.pin, [("\"off\"", "Off"), ("\"auto\"", "Auto"), ("[2, 3]", "Cpus([2, 3])")], [
        ("\"of\"", "pin \"of\" unknown, expected \"off\" or \"auto\", or an array of 1..=64, each an integer 0..=4095 | did you mean \"off\"?"),
        ("[2, 4096]", "pin 4096 above maximum 4095"),
        ("[2, 2]", "pin has 2 twice"),
        ("[]", "pin of 0 elements below minimum 1"),
        ("[1]", "pin names 1 CPUs, workers is 2"),
        ("3", "pin is an integer, expected \"off\" or \"auto\", or an array of 1..=64, each an integer 0..=4095 | write [3]"),
    ]),
    row!(Top, "socket", "", |c| c.socket, [("\"/run/a.sock\"", "Some(\"/run/a.sock\")")], [
        ("\"a.sock\"", "socket \"a.sock\" is not an absolute path"),
        ("\"/\\u0000\"", "socket \"/\\0\" holds a zero octet"),
        ("7", "socket is an integer, expected an absolute path"),
    ]),
    row!(Tunnel, "mode", "", |c| c.tunnels[0].mode, [("\"gre\"", "Gre")], [
        ("\"gr\"", "tunnel \"a\": mode \"gr\" unknown, expected \"gre\", \"esp\" or \"gre-esp\" | did you mean \"gre\"?"),
        ("true", "tunnel \"a\": mode is a boolean, expected \"gre\", \"esp\" or \"gre-esp\""),
    ]),
    row!(Tunnel, "interface", "", |c| c.tunnels[0].interface, [("\"gre-tunnel-1234\"", "\"gre-tunnel-1234\"")], [
        ("\"gre-tunnel-12345\"", "tunnel \"a\": interface \"gre-tunnel-12345\" of 16 octets above maximum 15"),
        ("\"\"", "tunnel \"a\": interface \"\" of 0 octets below minimum 1"),
        ("\"a/b\"", "tunnel \"a\": interface \"a/b\" holds '/', which no interface name may"),
        ("\"a b\"", "tunnel \"a\": interface \"a b\" holds ' ', which no interface name may"),
        ("\"a%d\"", "tunnel \"a\": interface \"a%d\" holds '%', which no interface name may"),
        ("\"..\"", "tunnel \"a\": interface \"..\" is reserved by the kernel"),
        ("\"all\"", "tunnel \"a\": interface \"all\" is reserved by the kernel"),
        ("1", "tunnel \"a\": interface is an integer, expected an interface name of 1..=15 octets"),
    ]),
    row!(Tunnel, "local", "", |c| c.tunnels[0].local, [("\"192.0.2.1\"", "Some(192.0.2.1)")], [
        ("\"192.0.2.1/24\"", "tunnel \"a\": local \"192.0.2.1/24\" is not an IP address | write \"192.0.2.1\""),
        ("\"192.0.2.256\"", "tunnel \"a\": local \"192.0.2.256\" is not an IP address"),
        ("\"0.0.0.0\"", "tunnel \"a\": local 0.0.0.0 is the unspecified address"),
        ("\"ff02::1\"", "tunnel \"a\": local ff02::1 is a multicast address"),
        ("\"255.255.255.255\"", "tunnel \"a\": local 255.255.255.255 is the broadcast address"),
        ("\"fe80::1\"", "tunnel \"a\": local fe80::1 is link-local, which is reached only through a named interface"),
        ("\"::ffff:192.0.2.1\"", "tunnel \"a\": local \"::ffff:192.0.2.1\" is an IPv4 address in IPv6 form | write \"192.0.2.1\""),
        ("\"fe80::1%eth0\"", "tunnel \"a\": local \"fe80::1%eth0\" is not an IP address | addresses with a scope are not supported"),
        ("[]", "tunnel \"a\": local is an array, expected an IP address"),
    ]),
    row!(Tunnel, "remote", "", |c| c.tunnels[0].remotes, [
        ("\"2001:db8::2\"", "[Address(2001:db8::2)]"),
        ("\"GW.Example.net.\"", "[Name(\"gw.example.net\")]"),
        ("[\"198.51.100.2\", \"gw_2\"]", "[Address(198.51.100.2), Name(\"gw_2\")]"),
    ], [
        ("[]", "tunnel \"a\": remote of 0 elements below minimum 1"),
        ("[\"gw\", \"GW\"]", "tunnel \"a\": remote has \"GW\" twice"),
        ("\"\"", "tunnel \"a\": remote \"\" is not an IP address"),
        ("\"198.51.100\"", "tunnel \"a\": remote \"198.51.100\" is not an IP address"),
        ("\"198.51.100.2:47\"", "tunnel \"a\": remote \"198.51.100.2:47\" is not an IP address"),
        ("\"[2001:db8::2]\"", "tunnel \"a\": remote \"[2001:db8::2]\" is not an IP address | write \"2001:db8::2\""),
        ("\"gw..net\"", "tunnel \"a\": remote \"gw..net\" is neither an address nor a host name"),
        ("\"-gw\"", "tunnel \"a\": remote \"-gw\" is neither an address nor a host name"),
        ("\"höst\"", "tunnel \"a\": remote \"höst\" is neither an address nor a host name"),
        ("5", "tunnel \"a\": remote is an integer, expected an IP address or a host name, or an array of 1..=16, each an IP address or a host name"),
    ]),
    row!(Tunnel, "addresses", "", |c| c.tunnels[0].addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), [
        ("[]", "[]"),
        ("[\"10.9.0.1/30\", \"fd00:9::1/64\"]", "[\"10.9.0.1/30\", \"fd00:9::1/64\"]"),
    ], [
        ("[\"10.9.0.1/33\"]", "tunnel \"a\": addresses \"10.9.0.1/33\" has prefix length 33 above maximum 32"),
        ("[\"fd00::1/129\"]", "tunnel \"a\": addresses \"fd00::1/129\" has prefix length 129 above maximum 128"),
        ("[\"10.9.0.1\"]", "tunnel \"a\": addresses \"10.9.0.1\" has no prefix length | write \"10.9.0.1/32\" for this one address"),
        ("[\"10.9.0.1/+4\"]", "tunnel \"a\": addresses \"10.9.0.1/+4\" has a prefix length that is not a number"),
        ("[\"10.9.0/24\"]", "tunnel \"a\": addresses \"10.9.0/24\" is not an address with a prefix length"),
        ("[\"0.0.0.0/0\"]", "tunnel \"a\": addresses \"0.0.0.0/0\" is the unspecified address"),
        ("[\"::ffff:10.0.0.1/128\"]", "tunnel \"a\": addresses \"::ffff:10.0.0.1\" is an IPv4 address in IPv6 form | write \"10.0.0.1\""),
        ("[1]", "tunnel \"a\": addresses is an integer, expected an address with a prefix length"),
        ("\"10.9.0.1/30\"", "tunnel \"a\": addresses is a string, expected an array of 0..=64, each an address with a prefix length | write [\"10.9.0.1/30\"]"),
    ]),
    row!(Tunnel, "routes", "", |c| c.tunnels[0].routes.iter().map(ToString::to_string).collect::<Vec<_>>(), [
        ("[\"10.20.0.0/16\", \"fd00:20::/48\"]", "[\"10.20.0.0/16\", \"fd00:20::/48\"]"),
    ], [
        ("[\"10.20.0.1/16\"]", "tunnel \"a\": routes \"10.20.0.1/16\" has host bits set | write \"10.20.0.0/16\""),
        ("[\"fd00::1/64\"]", "tunnel \"a\": routes \"fd00::1/64\" has host bits set | write \"fd00::/64\""),
        ("[\"224.0.0.0/4\"]", "tunnel \"a\": routes \"224.0.0.0/4\" is a multicast network"),
        ("[\"10.0.0.0/8\", \"10.0.0.0/8\"]", "tunnel \"a\": routes has \"10.0.0.0/8\" twice"),
        ("false", "tunnel \"a\": routes is a boolean, expected an array of 0..=1024, each a network with a prefix length"),
    ]),
    row!(Tunnel, "netns", "", |c| c.tunnels[0].netns, [("\"blue\"", "Named(\"blue\")"), ("\"/proc/1/ns/net\"", "Path(\"/proc/1/ns/net\")")], [
        ("\"a/b\"", "tunnel \"a\": netns \"a/b\" is neither the name of a namespace nor an absolute path"),
        ("\"..\"", "tunnel \"a\": netns \"..\" is neither the name of a namespace nor an absolute path"),
        ("1", "tunnel \"a\": netns is an integer, expected a name under /run/netns or an absolute path"),
    ]),
    row!(Tunnel, "outer-netns", "", |c| c.tunnels[0].outer_netns, [("\"red\"", "Named(\"red\")")], [
        ("\"\"", "tunnel \"a\": outer-netns \"\" is neither the name of a namespace nor an absolute path"),
        ("true", "tunnel \"a\": outer-netns is a boolean, expected a name under /run/netns or an absolute path"),
    ]),
    row!(Tunnel, "mtu", "", |c| c.tunnels[0].mtu, [("\"auto\"", "Auto"), ("1280", "Fixed(1280)"), ("65_511", "Fixed(65511)")], [
        ("900", "tunnel \"a\": mtu 900 below minimum 1280"),
        ("1279", "tunnel \"a\": mtu 1279 below minimum 1280"),
        ("65512", "tunnel \"a\": mtu 65512 above maximum 65511"),
        ("\"1400\"", "tunnel \"a\": mtu \"1400\" unknown, expected \"auto\", or an integer 1280..=65511 | write 1400 without quotes"),
        ("true", "tunnel \"a\": mtu is a boolean, expected \"auto\", or an integer 1280..=65511"),
    ]),
    row!(Tunnel, "ttl", "", |c| c.tunnels[0].ttl, [("\"inherit\"", "Inherit"), ("1", "Fixed(1)"), ("255", "Fixed(255)")], [
        ("0", "tunnel \"a\": ttl 0 below minimum 1"),
        ("256", "tunnel \"a\": ttl 256 above maximum 255"),
        ("\"inherti\"", "tunnel \"a\": ttl \"inherti\" unknown, expected \"inherit\", or an integer 1..=255 | did you mean \"inherit\"?"),
        ("[64]", "tunnel \"a\": ttl is an array, expected \"inherit\", or an integer 1..=255"),
    ]),
    row!(Tunnel, "dscp", "", |c| c.tunnels[0].dscp, [("\"inherit\"", "Inherit"), ("0", "Fixed(0)"), ("63", "Fixed(63)")], [
        ("64", "tunnel \"a\": dscp 64 above maximum 63"),
        ("false", "tunnel \"a\": dscp is a boolean, expected \"inherit\", or an integer 0..=63"),
    ]),
    row!(Tunnel, "dscp-decap", "", |c| c.tunnels[0].dscp_decap, [("\"keep\"", "Keep"), ("\"copy\"", "Copy")], [
        ("\"kep\"", "tunnel \"a\": dscp-decap \"kep\" unknown, expected \"keep\" or \"copy\" | did you mean \"keep\"?"),
        ("1", "tunnel \"a\": dscp-decap is an integer, expected \"keep\" or \"copy\""),
    ]),
    row!(Tunnel, "ecn", "", |c| c.tunnels[0].ecn, [("\"normal\"", "Normal"), ("\"compatibility\"", "Compatibility")], [
        ("\"off\"", "tunnel \"a\": ecn \"off\" unknown, expected \"normal\" or \"compatibility\""),
        ("1", "tunnel \"a\": ecn is an integer, expected \"normal\" or \"compatibility\""),
    ]),
    row!(Tunnel, "df", "", |c| c.tunnels[0].df, [("\"set\"", "Set"), ("\"clear\"", "Clear"), ("\"copy\"", "Copy")], [
        ("\"SET\"", "tunnel \"a\": df \"SET\" unknown, expected \"set\", \"clear\" or \"copy\" | did you mean \"set\"?"),
        ("true", "tunnel \"a\": df is a boolean, expected \"set\", \"clear\" or \"copy\""),
    ]),
    row!(Tunnel, "mss-clamp", "", |c| c.tunnels[0].mss_clamp, [
        ("false", "Off"),
        ("\"auto\"", "Auto"),
        ("536", "Fixed(MssClamp { v4: Some(536), v6: Some(1220) })"),
        ("1400", "Fixed(MssClamp { v4: Some(1400), v6: Some(1400) })"),
    ], [
        ("535", "tunnel \"a\": mss-clamp 535 below minimum 536"),
        ("65496", "tunnel \"a\": mss-clamp 65496 above maximum 65495"),
        ("true", "tunnel \"a\": mss-clamp is a boolean, expected false, or \"auto\", or an integer 536..=65495, or a table with ipv4, ipv6"),
        ("{}", "tunnel \"a\": mss-clamp has neither ipv4 nor ipv6"),
    ]),
    row!(Tunnel, "gre", "", |c| c.tunnels[0].gre.checksum, [("{}", "false"), ("{ checksum = true }", "true")], [
        ("42", "tunnel \"a\": gre is an integer, expected a table with key, checksum, sequence"),
        ("{ chcksum = true }", "tunnel \"a\": unknown key \"gre.chcksum\" | did you mean \"checksum\"?"),
    ]),
    row!(Tunnel, "keepalive", "", |c| c.tunnels[0].keepalive.as_ref().map(|k| (k.period, k.retries, k.payload)), [
        ("false", "None"),
        ("true", "Some((5s, 3, true))"),
        ("{}", "Some((5s, 3, true))"),
    ], [
        ("5", "tunnel \"a\": keepalive is an integer, expected true or false, or a table with profile, period, retries, payload, accept-inner, target, accept-clear"),
        ("\"true\"", "tunnel \"a\": keepalive is a string, expected true or false, or a table with profile, period, retries, payload, accept-inner, target, accept-clear | write true without quotes"),
    ]),
    row!(Tunnel, "answer-keepalives", "", |c| c.tunnels[0].answer_keepalives, [("true", "true"), ("false", "false")], [
        ("1", "tunnel \"a\": answer-keepalives is an integer, expected true or false"),
    ]),
    row!(Tunnel, "on-dead", "", |c| { let on = c.tunnels[0].on_dead; (on.carrier, on.withdraw_routes, on.admin_down, on.delete) }, [
        ("[\"carrier\"]", "(true, false, false, false)"),
        ("[\"withdraw-routes\"]", "(false, true, false, false)"),
        ("[\"admin-down\", \"delete\"]", "(false, false, true, true)"),
    ], [
        ("[]", "tunnel \"a\": on-dead of 0 elements below minimum 1"),
        ("[\"withdraw_routes\"]", "tunnel \"a\": on-dead \"withdraw_routes\" unknown, expected \"carrier\", \"withdraw-routes\", \"admin-down\", \"delete\" or \"hook\" | did you mean \"withdraw-routes\"?"),
        ("[\"carrier\", \"carrier\"]", "tunnel \"a\": on-dead has \"carrier\" twice"),
    ]),
    row!(Tunnel, "hook", "on-dead = [\"hook\"]", |c| c.tunnels[0].hook.as_ref().map(|h| (h.program.clone(), h.arguments.clone(), h.timeout)), [
        ("[\"/bin/true\"]", "Some((\"/bin/true\", [], 10s))"),
        ("[\"/bin/true\", \"a\", \"a\"]", "Some((\"/bin/true\", [\"a\", \"a\"], 10s))"),
    ], [
        ("[]", "tunnel \"a\": hook of 0 elements below minimum 1"),
        ("[\"true\"]", "tunnel \"a\": hook \"true\" is not an absolute path"),
        ("[\"/bin/true\", \"\\u0000\"]", "tunnel \"a\": hook \"\\0\" holds a zero octet"),
        ("\"/bin/true\"", "tunnel \"a\": hook is a string, expected an array of 1..=64, each a string | write [\"/bin/true\"]"),
    ]),
    row!(Tunnel, "hook-timeout", "on-dead = [\"hook\"]\nhook = [\"/bin/true\"]", |c| c.tunnels[0].hook.as_ref().map(|h| h.timeout), [
        ("\"100ms\"", "Some(100ms)"),
        ("\"1h\"", "Some(3600s)"),
    ], [
        ("\"99ms\"", "tunnel \"a\": hook-timeout 99ms below minimum 100ms"),
        ("\"61m\"", "tunnel \"a\": hook-timeout 61m above maximum 1h"),
        ("10", "tunnel \"a\": hook-timeout 10 has no unit | write \"10s\""),
    ]),
    row!(Tunnel, "failback", "remote = [\"198.51.100.2\", \"198.51.100.3\"]", |c| c.tunnels[0].failback, [("\"30s\"", "Some(30s)"), ("\"1m\"", "Some(60s)")], [
        ("\"999ms\"", "tunnel \"a\": failback 999ms below minimum 1s"),
        ("\"25h\"", "tunnel \"a\": failback 25h above maximum 24h"),
        ("30", "tunnel \"a\": failback 30 has no unit | write \"30s\""),
        ("true", "tunnel \"a\": failback is a boolean, expected a time \"1s\"..=\"24h\""),
    ]),
    row!(Tunnel, "damping", "", |c| c.tunnels[0].damping, [("true", "true"), ("false", "false")], [
        ("\"true\"", "tunnel \"a\": damping is a string, expected true or false | write true without quotes"),
    ]),
    row!(Tunnel, "initial", "", |c| c.tunnels[0].initial, [("\"probing\"", "Probing"), ("\"up\"", "Up")], [
        ("\"down\"", "tunnel \"a\": initial \"down\" unknown, expected \"probing\" or \"up\""),
        ("true", "tunnel \"a\": initial is a boolean, expected \"probing\" or \"up\""),
    ]),
    row!(Tunnel, "offload", "", |c| c.tunnels[0].offload.tso, [("true", "true"), ("false", "false"), ("{ uso = false }", "true")], [
        ("\"on\"", "tunnel \"a\": offload is a string, expected true or false, or a table with tso, uso, tcp-coalesce, udp-coalesce, udp-segmentation"),
    ]),
    row!(Gre, "key", "", |c| (c.tunnels[0].gre.key_in.map(|k| k.0), c.tunnels[0].gre.key_out.map(|k| k.0)), [
        ("0", "(Some(0), Some(0))"),
        ("4294967295", "(Some(4294967295), Some(4294967295))"),
        ("0x2a", "(Some(42), Some(42))"),
        ("{ in = 1, out = 2 }", "(Some(1), Some(2))"),
    ], [
        ("-1", "tunnel \"a\": gre.key -1 below minimum 0"),
        ("4294967296", "tunnel \"a\": gre.key 4294967296 above maximum 4294967295"),
        ("\"42\"", "tunnel \"a\": gre.key is a string, expected an integer 0..=4294967295, or a table with in, out | write 42 without quotes"),
        ("{}", "tunnel \"a\": gre.key has neither in nor out"),
    ]),
    row!(Gre, "checksum", "", |c| c.tunnels[0].gre.checksum, [("true", "true"), ("false", "false")], [
        ("1", "tunnel \"a\": gre.checksum is an integer, expected true or false"),
    ]),
    row!(Gre, "sequence", "", |c| c.tunnels[0].gre.sequence, [("true", "true"), ("false", "false")], [
        ("\"no\"", "tunnel \"a\": gre.sequence is a string, expected true or false"),
    ]),
    row!(GreKey, "in", "", |c| (c.tunnels[0].gre.key_in.map(|k| k.0), c.tunnels[0].gre.key_out.map(|k| k.0)), [("7", "(Some(7), None)")], [
        ("4294967296", "tunnel \"a\": gre.key.in 4294967296 above maximum 4294967295"),
        ("true", "tunnel \"a\": gre.key.in is a boolean, expected an integer 0..=4294967295"),
    ]),
    row!(GreKey, "out", "", |c| (c.tunnels[0].gre.key_in.map(|k| k.0), c.tunnels[0].gre.key_out.map(|k| k.0)), [("8", "(None, Some(8))")], [
        ("-8", "tunnel \"a\": gre.key.out -8 below minimum 0"),
    ]),
    row!(Keepalive, "profile", "", |c| c.tunnels[0].keepalive.as_ref().map(|k| (k.profile, k.period)), [
        ("\"huawei\"", "Some((Huawei, 5s))"),
        ("\"cisco\"", "Some((Cisco, 10s))"),
    ], [
        ("\"juniper\"", "tunnel \"a\": keepalive.profile \"juniper\" unknown, expected \"huawei\" or \"cisco\""),
        ("5", "tunnel \"a\": keepalive.profile is an integer, expected \"huawei\" or \"cisco\""),
    ]),
    row!(Keepalive, "period", "", |c| c.tunnels[0].keepalive.as_ref().map(|k| k.period), [
        ("\"100ms\"", "Some(100ms)"),
        ("\"32767s\"", "Some(32767s)"),
        ("\"9h\"", "Some(32400s)"),
    ], [
        ("\"99ms\"", "tunnel \"a\": keepalive.period 99ms below minimum 100ms"),
        ("\"32768s\"", "tunnel \"a\": keepalive.period 32768s above maximum 32767s"),
        ("\"99999999999999999999h\"", "tunnel \"a\": keepalive.period 99999999999999999999h above maximum 32767s"),
        ("5", "tunnel \"a\": keepalive.period 5 has no unit | write \"5s\""),
        ("\"5\"", "tunnel \"a\": keepalive.period \"5\" has no unit | write \"5s\""),
        ("\"5 Seconds\"", "tunnel \"a\": keepalive.period \"5 Seconds\" has an unknown unit | write \"5s\""),
        ("\"2min\"", "tunnel \"a\": keepalive.period \"2min\" has an unknown unit | write \"2m\""),
        ("\"1.5s\"", "tunnel \"a\": keepalive.period \"1.5s\" has an unknown unit | write a whole number and us, ms, s, m or h: \"5s\", \"500ms\""),
        ("\"-5s\"", "tunnel \"a\": keepalive.period \"-5s\" is not a time | write a whole number and us, ms, s, m or h: \"5s\", \"500ms\""),
        ("5.5", "tunnel \"a\": keepalive.period is a float, expected a time \"100ms\"..=\"32767s\""),
    ]),
    row!(Keepalive, "retries", "", |c| c.tunnels[0].keepalive.as_ref().map(|k| k.retries), [("1", "Some(1)"), ("255", "Some(255)")], [
        ("0", "tunnel \"a\": keepalive.retries 0 below minimum 1"),
        ("256", "tunnel \"a\": keepalive.retries 256 above maximum 255"),
        ("\"3\"", "tunnel \"a\": keepalive.retries is a string, expected an integer 1..=255 | write 3 without quotes"),
    ]),
    row!(Keepalive, "payload", "", |c| c.tunnels[0].keepalive.as_ref().map(|k| k.payload), [("false", "Some(false)")], [
        ("16", "tunnel \"a\": keepalive.payload is an integer, expected true or false"),
    ]),
    row!(Keepalive, "accept-inner", "", |c| c.tunnels[0].keepalive.as_ref().map(|k| k.accept_inner.clone()), [("[\"10.0.0.7\"]", "Some([10.0.0.7])")], [
        ("[\"10.0.0\"]", "tunnel \"a\": keepalive.accept-inner \"10.0.0\" is not an IP address"),
        ("\"10.0.0.7\"", "tunnel \"a\": keepalive.accept-inner is a string, expected an array of 0..=16, each an IP address | write [\"10.0.0.7\"]"),
    ]),
    row!(MssClamp, "ipv4", "", |c| c.tunnels[0].mss_clamp, [("536", "Fixed(MssClamp { v4: Some(536), v6: None })")], [
        ("535", "tunnel \"a\": mss-clamp.ipv4 535 below minimum 536"),
        ("65496", "tunnel \"a\": mss-clamp.ipv4 65496 above maximum 65495"),
    ]),
    row!(MssClamp, "ipv6", "", |c| c.tunnels[0].mss_clamp, [("1220", "Fixed(MssClamp { v4: None, v6: Some(1220) })")], [
        ("1219", "tunnel \"a\": mss-clamp.ipv6 1219 below minimum 1220"),
        ("\"x\"", "tunnel \"a\": mss-clamp.ipv6 is a string, expected an integer 1220..=65475"),
    ]),
    row!(Offload, "tso", "", |c| c.tunnels[0].offload, [("false", "Offload { tso: false, uso: true, tcp_coalesce: true, udp_coalesce: true, udp_segmentation: Auto }")], [
        ("1", "tunnel \"a\": offload.tso is an integer, expected true or false"),
    ]),
    row!(Offload, "uso", "", |c| c.tunnels[0].offload, [("false", "Offload { tso: true, uso: false, tcp_coalesce: true, udp_coalesce: true, udp_segmentation: Auto }")], [
        ("1", "tunnel \"a\": offload.uso is an integer, expected true or false"),
    ]),
    row!(Offload, "tcp-coalesce", "", |c| c.tunnels[0].offload, [("false", "Offload { tso: true, uso: true, tcp_coalesce: false, udp_coalesce: true, udp_segmentation: Auto }")], [
        ("1", "tunnel \"a\": offload.tcp-coalesce is an integer, expected true or false"),
    ]),
    row!(Offload, "udp-coalesce", "", |c| c.tunnels[0].offload, [("false", "Offload { tso: true, uso: true, tcp_coalesce: true, udp_coalesce: false, udp_segmentation: Auto }")], [
        ("1", "tunnel \"a\": offload.udp-coalesce is an integer, expected true or false"),
    ]),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .chain(esp::ROWS)
        .chain(ike::ROWS)
        .chain(v1::ROWS)
}

#[test]
fn every_key_takes_its_values() {
    for row in rows() {
        for (value, becomes) in row.takes {
            let config = valid(&file(row, value));
            assert_eq!(&(row.look)(&config), becomes, "{} = {value}", row.key);
        }
    }
}

#[test]
fn every_key_refuses_other_values_with_one_message_that_says_value_and_bound() {
    for row in rows() {
        for (value, message) in row.refuses {
            let mut problems = problems(&file(row, value));
            let expected = ["static keys are never renewed", "deprecated by RFC 9395"];
            problems.retain(|problem| !expected.iter().any(|words| problem.contains(words)));
            let [problem] = &problems[..] else {
                panic!("{} = {value}: {problems:#?}", row.key)
            };
            assert_eq!(
                problem.split_once(": ").map(|(_, message)| message),
                Some(*message),
                "{} = {value}",
                row.key
            );
        }
    }
}

#[test]
fn every_key_of_the_table_is_tested_with_values_of_both_sorts() {
    for key in KEYS.iter().filter(|key| key.name != "tunnel") {
        let tested = |row: &&Row| row.section == key.section && row.key == key.name;
        let row = rows()
            .find(tested)
            .unwrap_or_else(|| panic!("{:?} {} is not tested", key.section, key.name));
        assert!(
            !row.takes.is_empty() && !row.refuses.is_empty(),
            "{}",
            key.name
        );
    }
}
