//! The keys of IKEv1 and of an Easy VPN remote.

use adit::config::{ClientMode, Config, EasyVpn, IkeV1, IkeVersion, Section};

use super::Row;

/// Mode `esp` with what it needs but IKE.
const ESP: &str = "mode = \"esp\"\nkeepalive = false\n";
/// The same for a network that is announced.
const ANNOUNCED: &str = "mode = \"esp\"\nkeepalive = false\nlocal-ts = [\"10.1.0.0/16\"]\n";

/// `ike` of version 1 with one key given and what it needs filled in.
pub(super) fn table(key: &str, entry: &str) -> String {
    let psk = match key {
        "easy-vpn" => "",
        _ => ", psk-file = \"a.psk\", local-id = \"a.example\"",
    };
    format!("ike = {{ version = 1, {entry}{psk} }}")
}

/// `ike.easy-vpn` with one key given and what it needs filled in.
pub(super) fn easy_vpn(key: &str, entry: &str) -> String {
    let filled: String = [
        ("group", "\"unity\""),
        ("group-key-file", "\"unity.key\""),
        ("user", "\"alice\""),
        ("password-file", "\"alice.pw\""),
    ]
    .iter()
    .filter(|(name, _)| *name != key)
    .map(|(name, value)| format!(", {name} = {value}"))
    .collect();
    table("easy-vpn", &format!("easy-vpn = {{ {entry}{filled} }}"))
}

fn v1(config: &Config) -> IkeV1 {
    match config.tunnels[0].ike.clone().unwrap().version {
        IkeVersion::V1(v1) => v1,
        IkeVersion::V2(v2) => panic!("version 2: {v2:?}"),
    }
}

fn easy(config: &Config) -> EasyVpn {
    v1(config).easy_vpn.unwrap()
}

fn shown(proposals: &[impl ToString]) -> String {
    let shown: Vec<_> = proposals.iter().map(ToString::to_string).collect();
    shown.join(" ")
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(IkeV1, "proposals", ESP, |c| shown(&v1(c).proposals), [
        ("[\"aes256-sha256-modp2048\"]", "\"aes256-sha256-modp2048\""),
        ("[\"aes128-sha512-curve25519\", \"aes128-sha384-modp4096\"]", "\"aes128-sha512-x25519 aes128-sha384-modp4096\""),
    ], [
        ("[]", "tunnel \"a\": ike.proposals of 0 elements below minimum 1"),
        ("[\"aes256gcm16-sha256-modp2048\"]", "tunnel \"a\": ike.proposals \"aes256gcm16-sha256-modp2048\": \"aes256gcm16\" is not available as a cipher of version 1; there is aes128, aes256, 3des"),
        ("[\"aes256-prfsha256-modp2048\"]", "tunnel \"a\": ike.proposals \"aes256-prfsha256-modp2048\": \"prfsha256\" is not available as a hash of version 1; there is md5, sha1, sha256, sha384, sha512"),
        ("[\"aes256-sha256\"]", "tunnel \"a\": ike.proposals \"aes256-sha256\": a group is missing; there is modp1024, modp2048, modp3072, modp4096, ecp256, ecp384, x25519"),
        ("[\"aes256-sha256-modp1536\"]", "tunnel \"a\": ike.proposals \"aes256-sha256-modp1536\": \"modp1536\" is not available as a group of version 1; there is modp1024, modp2048, modp3072, modp4096, ecp256, ecp384, x25519"),
        ("[\"aes256-sha256-modp2048-modp4096\"]", "tunnel \"a\": ike.proposals \"aes256-sha256-modp2048-modp4096\": \"modp4096\" is one word too many: a proposal of version 1 has one algorithm of each kind"),
        ("[\"aes256-sha256-modp2048\", \"aes256-sha256-modp2048\"]", "tunnel \"a\": ike.proposals has \"aes256-sha256-modp2048\" twice"),
        ("[\"3des-sha256-modp2048\"]", "tunnel \"a\": ike.proposals \"3des-sha256-modp2048\": 3des is insecure, and allow-insecure does not allow it | leave the proposal out unless the peer has nothing else, or write allow-insecure = [\"3des\"]"),
        ("[\"3des-sha1-modp1024\"]", "tunnel \"a\": ike.proposals \"3des-sha1-modp1024\": 3des and sha1 and modp1024 are insecure, and allow-insecure does not allow them | leave the proposal out unless the peer has nothing else, or write allow-insecure = [\"3des\", \"sha1\", \"modp1024\"]"),
    ]),
    row!(IkeV1, "esp-proposals", ESP, |c| shown(&v1(c).esp_proposals), [
        ("[\"aes256-sha256-modp2048\", \"aes128gcm16-modp2048\"]", "\"aes256-sha256-modp2048 aes128gcm16-modp2048\""),
        ("[\"aes256gcm16\", \"aes256-sha384\"]", "\"aes256gcm16 aes256-sha384\""),
    ], [
        ("[\"aes256\"]", "tunnel \"a\": ike.esp-proposals \"aes256\": \"aes256\" is not available as an algorithm of version 1; there is aes128gcm16, aes256gcm16, aes128-sha256, aes256-sha256, aes256-sha384, aes128-sha1, aes256-sha1, 3des-sha1, 3des-md5"),
        ("[\"chacha20poly1305\"]", "tunnel \"a\": ike.esp-proposals \"chacha20poly1305\": \"chacha20poly1305\" is not available as an algorithm of version 1; there is aes128gcm16, aes256gcm16, aes128-sha256, aes256-sha256, aes256-sha384, aes128-sha1, aes256-sha1, 3des-sha1, 3des-md5"),
        ("[\"aes128gcm16-esn\"]", "tunnel \"a\": ike.esp-proposals \"aes128gcm16-esn\": \"esn\" is not available as a group of version 1; there is modp1024, modp2048, modp3072, modp4096, ecp256, ecp384, x25519"),
        ("[\"aes256-sha256-modp2048-noesn\"]", "tunnel \"a\": ike.esp-proposals \"aes256-sha256-modp2048-noesn\": \"noesn\" is one word too many: a proposal of version 1 has one algorithm of each kind"),
        ("[\"aes256-sha256-modp2048\", \"aes256-sha256\"]", "tunnel \"a\": ike.esp-proposals has the groups modp2048 and none, but quick mode has one for all its proposals | give all of them the same group"),
        ("[\"3des-md5-modp1024\"]", "tunnel \"a\": ike.esp-proposals \"3des-md5-modp1024\": 3des and md5 and modp1024 are insecure, and allow-insecure does not allow them | leave the proposal out unless the peer has nothing else, or write allow-insecure = [\"3des\", \"md5\", \"modp1024\"]"),
    ]),
    row!(IkeV1, "allow-insecure", ESP, |c| c.warnings.problems().len(), [("[\"3des\"]", "2"), ("[\"3des\", \"sha1\", \"md5\", \"modp1024\"]", "5")], [
        ("[]", "tunnel \"a\": ike.allow-insecure of 0 elements below minimum 1"),
        ("[\"des\"]", "tunnel \"a\": ike.allow-insecure \"des\" unknown, expected \"3des\", \"sha1\", \"md5\" or \"modp1024\" | did you mean \"3des\"?"),
        ("[\"sha1\", \"sha1\"]", "tunnel \"a\": ike.allow-insecure has \"sha1\" twice"),
        ("true", "tunnel \"a\": ike.allow-insecure is a boolean, expected an array of 1..=4, each \"3des\", \"sha1\", \"md5\" or \"modp1024\""),
    ]),
    row!(IkeV1, "child-kilobytes", ESP, |c| v1(c).child_kilobytes, [
        ("2560", "Some(2560)"),
        ("4294967295", "Some(4294967295)"),
    ], [
        ("2559", "tunnel \"a\": ike.child-kilobytes 2559 below minimum 2560"),
        ("4294967296", "tunnel \"a\": ike.child-kilobytes 4294967296 above maximum 4294967295"),
    ]),
    row!(IkeV1, "easy-vpn", ESP, |c| v1(c).easy_vpn, [
        ("{ group = \"unity\", group-key-file = \"unity.key\", user = \"alice\", password-file = \"alice.pw\" }", "Some(EasyVpn { user: \"alice\", password_file: \"alice.pw\", client_mode: Client })"),
    ], [
        ("true", "tunnel \"a\": ike.easy-vpn is a boolean, expected a table with group, group-key-file, user, password-file, client-mode, connect"),
        ("{ group = \"unity\", group-key-file = \"unity.key\", user = \"alice\" }", "tunnel \"a\": ike.easy-vpn.password-file missing | add password-file = \"alice.pw\""),
    ]),
    row!(EasyVpn, "group", ESP, |c| c.tunnels[0].ike.clone().unwrap().local_id.unwrap().to_string(), [("\"unity\"", "\"keyid:unity\"")], [
        ("\"\"", "tunnel \"a\": ike.easy-vpn.group \"\" of 0 octets below minimum 1"),
        ("\"a\\u0000\"", "tunnel \"a\": ike.easy-vpn.group \"a\\0\" holds a zero octet"),
        ("1", "tunnel \"a\": ike.easy-vpn.group is an integer, expected a string of 1..=253 octets"),
    ]),
    row!(EasyVpn, "group-key-file", ESP, |c| c.tunnels[0].ike.clone().unwrap().credentials, [("\"./unity.key\"", "Psk(\"unity.key\")")], [
        ("\"\"", "tunnel \"a\": ike.easy-vpn.group-key-file \"\" is not the path of a file"),
    ]),
    row!(EasyVpn, "user", ESP, |c| easy(c).user, [("\"alice@example.net\"", "\"alice@example.net\"")], [
        ("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "tunnel \"a\": ike.easy-vpn.user \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"… of 254 octets above maximum 253"),
    ]),
    row!(EasyVpn, "password-file", ESP, |c| easy(c).password_file, [("\"/etc/adit/alice.pw\"", "\"/etc/adit/alice.pw\"")], [
        ("\"pw/\"", "tunnel \"a\": ike.easy-vpn.password-file \"pw/\" is not the path of a file"),
    ]),
    row!(EasyVpn, "client-mode", ANNOUNCED, |c| easy(c).client_mode == ClientMode::NetworkExtension, [("\"network-extension\"", "true")], [
        ("\"client\"", "tunnel \"a\": local-ts stands beside ike.easy-vpn in client mode, where the server assigns our address | leave it out, or add client-mode = \"network-extension\""),
        ("\"network\"", "tunnel \"a\": ike.easy-vpn.client-mode \"network\" unknown, expected \"client\" or \"network-extension\""),
    ]),
    row!(EasyVpn, "connect", ESP, |c| c.tunnels[0].start, [("\"auto\"", "Auto"), ("\"manual\"", "Manual")], [
        ("\"on-traffic\"", "tunnel \"a\": ike.easy-vpn.connect \"on-traffic\" unknown, expected \"auto\" or \"manual\""),
    ]),
];
