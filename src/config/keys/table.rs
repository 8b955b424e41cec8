//! The keys, section by section.

use std::time::Duration;

use adit_proto::liveness::Pace;

use super::Absent::{Required, Value, Words};
use super::Kind::{Any, Flag, Integer, Table, Time, Word};
use super::{Absent, Key, Kind, List, Section};

/// The socket of the daemon when neither the file nor the command line names one.
pub const DEFAULT_SOCKET: &str = "/run/adit.sock";

/// The longest `busy-poll`.
pub const BUSY_POLL_MAX: Duration = Duration::from_millis(10);
/// The longest path that a Unix socket's address holds with its final zero octet (unix(7)), in octets.
const SOCKET_PATH_OCTETS: usize = 107;
/// The least MTU that IPv6 allows on a link (RFC 8200 §5), in octets.
const MTU_MIN: u64 = 1280;
/// The largest IPv4 packet minus an IPv4 header and a GRE header without options, in octets.
const MTU_MAX: u64 = 65_535 - 20 - 4;
/// The shortest keepalive period.
const PERIOD_MIN: Duration = Pace::PERIOD_MIN;
/// The shortest keepalive period that the routers have, used once a profile is named.
pub(in crate::config) const PROFILE_PERIOD_MIN: Duration = Duration::from_secs(1);
/// The longest keepalive period.
const PERIOD_MAX: Duration = Pace::PERIOD_MAX;
/// The shortest interval of DPD that the router has, used once its profile is named.
pub(in crate::config) const DPD_PROFILE_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// The shortest retry of DPD that the router has, used once its profile is named.
pub(in crate::config) const DPD_PROFILE_RETRY_MIN: Duration = Duration::from_secs(2);
/// The shortest and the longest life of an SA before its rekey.
const REKEY_MIN: Duration = Duration::from_secs(1);
const REKEY_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The least life in kilobytes that the routers take.
const CHILD_KILOBYTES_MIN: u64 = 2560;
/// The longest name of a group or a user, which the servers' databases have room for (RFC 2865 §5.1), in octets.
const NAME_OCTETS: usize = 253;

const INSECURE: &[&str] = &["3des", "sha1", "md5", "modp1024"];
const ON_DEAD: &[&str] = &["carrier", "withdraw-routes", "admin-down", "delete", "hook"];
const MSS_V4: Kind = Integer(536, 65_495);
const MSS_V6: Kind = Integer(1220, 65_475);
const SPI: Kind = Integer(256, u32::MAX as u64);
const PORT: Kind = Integer(1, u16::MAX as u64);
/// TOML's largest integer.
const COUNT: Kind = Integer(1, i64::MAX as u64);
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
const U32: Kind = Integer(0, u32::MAX as u64);

const fn list(of: Kind, min: usize, max: usize) -> List {
    List {
        of,
        min,
        max,
        unique: true,
    }
}

const fn key(
    section: Section,
    name: &'static str,
    kind: Kind,
    default: Absent,
    doc: &'static str,
) -> Key {
    Key {
        section,
        name,
        kind,
        default,
        doc,
    }
}

/// Every key there is, section by section.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key(Section::Top, "workers", Integer(1, 64), Value("1"),
        "Threads of the data plane. A tunnel belongs to one of them; those in UDP share a socket and belong to the first, as do those with IKE."),
    key(Section::Top, "pin", Any(&[Word(&["off", "auto"]), Kind::List(&list(Integer(0, 4095), 1, 64))]), Value("\"off\""),
        "Whether each worker is bound to one CPU: not, by adit's choice within the CPUs that it may use, or to these CPUs, one for each worker."),
    key(Section::Top, "busy-poll", Time(Duration::ZERO, BUSY_POLL_MAX), Value("\"0s\""),
        "How long a worker goes on asking for packets before it sleeps. Packets that come no further apart than that find it awake: less latency for more CPU time."),
    key(Section::Top, "socket", Kind::AbsolutePath(SOCKET_PATH_OCTETS), Words("`/run/adit.sock`"),
        "The Unix socket on which the daemon listens, mode 0600. `--socket` on the command line wins."),
    key(Section::Top, "ike", Table(Section::IkeEndpoint), Value("{}"),
        "Ports and limits of IKE (RFC 7296), the same in each namespace that has a tunnel with `ike`."),
    key(Section::Top, "tunnel", Kind::Tunnels, Required("{}"),
        "The tunnels, each as a table `[tunnel.NAME]`: NAME is 1 to 64 of `A-Z a-z 0-9 _ . -` (in quotes if it holds a dot)."),

    key(Section::IkeEndpoint, "port", PORT, Value("500"), "Our port. Peers are asked at 500."),
    key(Section::IkeEndpoint, "nat-port", PORT, Value("4500"),
        "Our port for IKE and ESP through a NAT (RFC 7296 §2.23). Peers are asked at 4500."),
    key(Section::IkeEndpoint, "half-open", Integer(1, 100_000), Value("1000"),
        "How many IKE SAs may be half-open because others asked for them; further requests are dropped."),
    key(Section::IkeEndpoint, "half-open-per-source", Integer(1, 100_000), Value("50"),
        "With this many half-open IKE SAs of one address and more, who asks for another must return a cookie first. Of those that did there are no more than this; further requests are dropped."),
    key(Section::IkeEndpoint, "cookie-threshold", Integer(0, 100_000), Value("100"),
        "With this many half-open IKE SAs and more, who asks for another must return a cookie first (RFC 7296 §2.6). 0 asks always."),

    key(Section::Tunnel, "mode", Word(&["gre", "esp", "gre-esp"]), Required("\"gre\""),
        "The encapsulation: GRE in clear (RFC 2784), ESP in tunnel mode (RFC 4303), or GRE in ESP in transport mode."),
    key(Section::Tunnel, "udp", Any(&[Flag, Table(Section::Udp)]), Value("false"),
        "Whether packets leave in UDP: ESP to port 4500 (RFC 3948), GRE to port 4754 (RFC 8086). Otherwise they leave as IP protocol 50 or 47."),
    key(Section::Tunnel, "sa", Table(Section::Sa), Words("none; with `mode` `\"esp\"` and `\"gre-esp\"` this or `ike` is needed"),
        "A pair of SAs with static keys. They are never renewed, so they are for benchmarks and tests."),
    key(Section::Tunnel, "ike", Table(Section::Ike), Words("none; with `mode` `\"esp\"` and `\"gre-esp\"` this or `sa` is needed"),
        "SAs by IKEv2 (RFC 7296), or with `version = 1` by IKEv1 (RFC 2409), renewed without loss. Excludes `sa` and `udp`: NAT detection decides whether packets leave in UDP."),
    key(Section::Tunnel, "dpd", Any(&[Kind::Off, Table(Section::Dpd)]), Words("`{ mode = \"periodic\", interval = \"10s\", retry = \"2s\", attempts = 5 }` with `ike`"),
        "Dead peer detection: empty IKE requests while nothing authenticated comes from the peer (RFC 7296 §2.4), with version 1 R-U-THERE (RFC 3706). `false` is off: a dead peer is found by the next rekey. Needs `ike`."),
    key(Section::Tunnel, "start", Word(&["auto", "on-traffic", "passive"]), Words("`\"auto\"`; `\"passive\"` with `remote` `\"any\"`"),
        "Who brings the SAs up: we at once, we with the first packet that is to leave, or the peer. A peer that begins is answered in any case. Needs `ike`."),
    key(Section::Tunnel, "idle-timeout", Time(Duration::ZERO, DAY), Value("\"0s\""),
        "How long no user data may pass before the SAs are deleted; `\"0s\"` is never. `start` then says who brings them back: not `\"auto\"`. Needs `ike`."),
    key(Section::Tunnel, "local-ts", Kind::List(&list(Kind::Network, 1, 64)), Value("[\"0.0.0.0/0\", \"::/0\"]"),
        "Our side's inner addresses: the source of what leaves and the destination of what comes (RFC 4301 §4.4.1). Needs `mode` `\"esp\"`. With version 1 of IKE it is one network, and without this key all addresses of one family."),
    key(Section::Tunnel, "remote-ts", Kind::List(&list(Kind::Network, 1, 64)), Value("[\"0.0.0.0/0\", \"::/0\"]"),
        "The peer's inner addresses: the destination of what leaves and the source of what comes. Needs `mode` `\"esp\"`. With version 1 of IKE as `local-ts`."),
    key(Section::Tunnel, "interface", Kind::Interface, Words("the tunnel's name, if it has at most 15 octets"),
        "The name of the TUN interface; unique within its namespace."),
    key(Section::Tunnel, "local", Kind::Address, Words("chosen by the route to the remote"),
        "The outer source address. It has the family of every remote that is an address."),
    key(Section::Tunnel, "remote", Any(&[Kind::Remote, Kind::List(&list(Kind::Remote, 1, 16))]), Required("\"198.51.100.2\""),
        "The peer's outer address or host name, or several of them in order of preference: when one stops answering the next is tried, and after the last the first. Names are resolved at each attempt. `\"any\"`, alone and with `ike`, waits for a peer that proves `ike.remote-id`, from wherever it comes."),
    key(Section::Tunnel, "addresses", Kind::List(&list(Kind::InterfaceAddress, 0, 64)), Value("[]"),
        "Addresses of the interface, each with its prefix length."),
    key(Section::Tunnel, "routes", Kind::List(&list(Kind::Network, 0, 1024)), Value("[]"),
        "Networks that are routed into the tunnel while it is up."),
    key(Section::Tunnel, "leak-guard", Flag, Words("true with `mode` `\"esp\"` and `\"gre-esp\"`, false with `\"gre\"`"),
        "Whether each of `routes`, each network of `addresses` and each network that an Easy VPN server names also has an unreachable route of the worst metric (protocol 173), so that its traffic leaves by the tunnel or not at all. The guards of all tunnels are made first when adit starts, before a key file is read, and stay whatever becomes of the peer and the interface, when adit stops or is killed, and when a start fails. `adit down` removes those of its tunnel. Those of an adit that is no more are removed by the next one that starts with tunnels in their namespace and needs them not, once all its tunnels are made, but only if no other adit has tunnels there at that time: beside another one that runs nothing is removed, since nobody can tell whose a guard is. What an Easy VPN server had named before stays so until a server assigns something again, or `adit down`: tunnels in client mode take over all guards of IPv4 that are left in their namespace, without 0.0.0.0/1 and 128.0.0.0/1 where a name in `remote` is resolved by the same routes. By hand: `ip route flush proto 173 type unreachable`, and the same with `ip -6`. A route to the same network with a better metric, or to a smaller one, still takes its traffic."),
    key(Section::Tunnel, "netns", Kind::Netns, Words("the namespace that adit runs in"),
        "The network namespace of the interface, its addresses and its routes: a name under /run/netns or an absolute path."),
    key(Section::Tunnel, "outer-netns", Kind::Netns, Words("the namespace that adit runs in"),
        "The network namespace of the sockets that carry the tunnel's packets."),
    key(Section::Tunnel, "mtu", Any(&[Word(&["auto"]), Integer(MTU_MIN, MTU_MAX)]), Value("\"auto\""),
        "The interface's MTU in octets. `\"auto\"` takes the MTU of the route to the remote minus the exact overhead, and follows it."),
    key(Section::Tunnel, "ttl", Any(&[Word(&["inherit"]), Integer(1, 255)]), Value("64"),
        "TTL or hop limit of the outer header; `\"inherit\"` copies the inner packet's."),
    key(Section::Tunnel, "dscp", Any(&[Word(&["inherit"]), Integer(0, 63)]), Value("\"inherit\""),
        "DSCP of the outer header (RFC 2983); `\"inherit\"` copies the inner packet's."),
    key(Section::Tunnel, "dscp-decap", Word(&["keep", "copy"]), Value("\"keep\""),
        "DSCP of a packet that leaves the tunnel: its own, or a copy of the outer header's (RFC 2983)."),
    key(Section::Tunnel, "ecn", Word(&["normal", "compatibility"]), Value("\"normal\""),
        "How the tunnel's ingress sets ECN in the outer header (RFC 6040 §4.1). `\"compatibility\"` is for a peer that does not take congestion marks back to the inner packet."),
    key(Section::Tunnel, "df", Word(&["set", "clear", "copy"]), Value("\"set\""),
        "Don't Fragment of an outer IPv4 header; `\"copy\"` takes the inner packet's."),
    key(Section::Tunnel, "mss-clamp", Any(&[Kind::Off, Word(&["auto"]), MSS_V4, Table(Section::MssClamp)]), Value("false"),
        "Lowers the MSS option of TCP connections through the tunnel, in both directions: never, to what the MTU allows, or to a number of octets (for IPv6 never below 1220)."),
    key(Section::Tunnel, "gre", Table(Section::Gre), Value("{}"),
        "Options of the GRE header (RFC 2784, 2890)."),
    key(Section::Tunnel, "keepalive", Any(&[Flag, Table(Section::Keepalive)]), Value("false"),
        "Keepalives to the peer: GRE's, or with `mode` `\"esp\"` echo requests inside the tunnel. `true` is a table without keys: 5s × 3. Without keepalives a tunnel without `ike` is never found dead; with `ike` they are an addition to `dpd`."),
    key(Section::Tunnel, "answer-keepalives", Flag, Value("true"),
        "Whether the peer's keepalives are answered, whatever `keepalive` says."),
    key(Section::Tunnel, "warm", Table(Section::Warm), Words("none"),
        "Packets inside the tunnel that keep it warm while no user data leaves. The peer discards them; they prove nothing. Needs `mode` `\"esp\"` or `\"gre-esp\"`."),
    key(Section::Tunnel, "tfc", Table(Section::Tfc), Words("none"),
        "Traffic flow confidentiality: padding and dummy packets (RFC 4303 §2.6, §2.7). Needs `mode` `\"esp\"`."),
    key(Section::Tunnel, "on-dead", Kind::List(&list(Word(ON_DEAD), 1, 5)), Value("[\"carrier\", \"withdraw-routes\"]"),
        "What happens to the interface when the peer is dead, besides that nothing is forwarded: its carrier goes off, its routes are withdrawn, it is set down, it is deleted, the hook runs."),
    key(Section::Tunnel, "hook", Kind::List(&List { of: Kind::Text, min: 1, max: 64, unique: false }), Words("none"),
        "A program, as an absolute path, and its arguments; needed if and only if `on-dead` holds `\"hook\"`. It finds ADIT_TUNNEL, ADIT_EVENT, ADIT_INTERFACE, ADIT_REMOTE and ADIT_REASON in its environment, what an Easy VPN server assigned in ADIT_ADDRESS, ADIT_DNS, ADIT_DOMAIN and ADIT_SPLIT_DNS (several with blanks between them), and the event as JSON on its standard input. It also runs, with the event `configured`, when a server assigns something else while the tunnel is up."),
    key(Section::Tunnel, "hook-timeout", Time(Duration::from_millis(100), Duration::from_secs(3600)), Value("\"10s\""),
        "How long the hook may run before it is killed."),
    key(Section::Tunnel, "failback", Time(Duration::from_secs(1), Duration::from_secs(86_400)), Words("never"),
        "How long the preferred remote must have answered without a miss before the tunnel goes back to it. Needs two remotes."),
    key(Section::Tunnel, "damping", Flag, Value("false"),
        "Whether a tunnel that flaps needs more answers before it is up again: the number doubles with each flap, up to 16 times, and decays while it is up."),
    key(Section::Tunnel, "initial", Word(&["probing", "up"]), Value("\"probing\""),
        "The state at the start: down until the first keepalive is answered, or up as routers do it."),
    key(Section::Tunnel, "offload", Any(&[Flag, Table(Section::Offload)]), Value("true"),
        "Offloads of the TUN interface and of the outer UDP socket: all that work, none, or switch by switch."),

    key(Section::Udp, "port", PORT, Words("4500 for ESP, 4754 for GRE"), "Our port. ESP and GRE do not share one."),
    key(Section::Udp, "remote-port", PORT, Words("4500 for ESP, 4754 for GRE"), "The peer's port."),
    key(Section::Udp, "nat", Word(&["none", "local", "peer", "both"]), Value("\"none\""),
        "Who is behind a NAT. When we are, NAT keepalives are sent; when the peer is, its address and port are followed as authenticated packets show them. Needs ESP."),
    key(Section::Udp, "nat-keepalive", Time(Duration::from_secs(1), HOUR), Value("\"20s\""),
        "How long nothing may leave before a NAT keepalive does (RFC 3948 §4), when we are behind a NAT. Needs ESP."),

    key(Section::Sa, "out", Table(Section::SaOut), Required("{ spi = 0x1001, key-file = \"out.key\" }"),
        "The SA from us to the peer: the peer's `in`."),
    key(Section::Sa, "in", Table(Section::SaIn), Required("{ spi = 0x1002, key-file = \"in.key\" }"),
        "The SA from the peer to us: the peer's `out`."),

    key(Section::SaOut, "spi", SPI, Required("0x1001"), "The SPI of the packets that we send (RFC 4303 §2.1)."),
    key(Section::SaOut, "key-file", Kind::File, Required("\"out.key\""),
        "The file of suite and key, made by `adit keygen`; others cannot read it. A relative path begins at the configuration's folder. A key serves one direction of one tunnel. Used sequence numbers are kept beside it."),
    key(Section::SaOut, "esn", Flag, Value("true"),
        "Whether sequence numbers have 64 bits (RFC 4303 §2.2.1). Without, the SA ends after 2^32 - 1 packets."),
    key(Section::SaOut, "soft", Table(Section::Limits), Words("none"), "What is announced when it is reached: a table like `hard`."),
    key(Section::SaOut, "hard", Table(Section::Limits), Words("none"),
        "What ends the SA: nothing is sent after it. Counted from the tunnel's start, so anew after `adit down` and `up` or a restart. A sequence number is never used twice, whatever this says."),

    key(Section::SaIn, "spi", SPI, Required("0x1002"), "The SPI of the packets that we receive; unique within `outer-netns`."),
    key(Section::SaIn, "key-file", Kind::File, Required("\"in.key\""), "As `key-file` of `out`: the peer's file for its `out`."),
    key(Section::SaIn, "esn", Flag, Value("true"), "As `esn` of the peer's `out`."),
    key(Section::SaIn, "replay-window", Integer(64, 65_536), Value("4096"),
        "How many sequence numbers behind the highest one are still accepted, each once (RFC 4303 §3.4.3)."),
    key(Section::SaIn, "hard", Table(Section::Limits), Words("none"), "What ends the SA: a table like `hard` of `out`."),

    key(Section::Limits, "packets", COUNT, Words("no limit"), "Packets."),
    key(Section::Limits, "octets", COUNT, Words("no limit"), "Octets of what ESP carries: inner packets with GRE header and TFC padding."),
    key(Section::Limits, "time", Time(Duration::from_secs(1), Duration::from_secs(365 * 86_400)), Words("no limit"), "Time since the SA was installed."),

    key(Section::Ike, "version", Integer(1, 2), Value("2"),
        "The version of IKE. 1 is for peers that have nothing else: RFC 9395 deprecates it. With it the table has the keys of the part after `retransmit`, and of these only `psk-file`, `local-id`, `remote-id`, `child-mode`, `rekey`, `child-rekey`, `child-packets`, `rekey-jitter`, `replay-window`, `retransmit`, `encap` and `nat-keepalive`."),
    key(Section::Ike, "psk-file", Kind::File, Words("none; this or `cert-file`, `key-file` and `ca-file` are needed"),
        "The file of the pre-shared key by which both ends prove themselves, made by `adit keygen psk FILE`: one line, as it stands there or as `0x` and hexadecimal digits. Others cannot read it. A relative path begins at the configuration's folder."),
    key(Section::Ike, "cert-file", Kind::File, Words("none"),
        "Our certificate and the intermediate ones behind it, in PEM."),
    key(Section::Ike, "key-file", Kind::File, Words("none"),
        "The private key of our certificate in PEM: ECDSA on P-256 or P-384, or Ed25519. Others cannot read it."),
    key(Section::Ike, "ca-file", Kind::File, Words("none"),
        "The certificates of the authorities, in PEM, to one of which the peer's certificate must lead. Nothing is fetched from a network."),
    key(Section::Ike, "local-id", Kind::Identity, Words("`local`, or the subject of our certificate"),
        "What we call ourselves: a host name, `user@host`, an IP address, `keyid:TEXT` or a distinguished name such as `CN=gw, O=Example`. With certificates, ours must hold it."),
    key(Section::Ike, "remote-id", Kind::Identity, Words("whatever the peer proves to be"),
        "What the peer must call itself and prove; written as `local-id`."),
    key(Section::Ike, "proposals", Kind::List(&list(Kind::IkeProposal, 1, 16)), Words("what adit has, the strongest first"),
        "Algorithms of the IKE SA in order of preference, as strongSwan writes them: `\"aes256gcm16-prfsha384-ecp384\"`."),
    key(Section::Ike, "esp-proposals", Kind::List(&list(Kind::EspProposal, 1, 16)), Words("what adit has, the strongest first"),
        "Algorithms of the child SAs: `\"aes256gcm16-x25519\"`. With a group each rekey has a key exchange of its own; `esn` or `noesn` settles the length of sequence numbers."),
    key(Section::Ike, "child-mode", Word(&["tunnel", "transport"]), Words("`\"tunnel\"` with `mode` `\"esp\"`, `\"transport\"` with `\"gre-esp\"`"),
        "The mode of the child SAs (RFC 4301 §4.1). `\"tunnel\"` with `mode` `\"gre-esp\"` is for peers that put GRE into ESP in tunnel mode."),
    key(Section::Ike, "rekey", Time(REKEY_MIN, REKEY_MAX), Value("\"4h\""), "The age at which the IKE SA is renewed."),
    key(Section::Ike, "child-rekey", Time(REKEY_MIN, REKEY_MAX), Value("\"1h\""), "The age at which a child SA is renewed."),
    key(Section::Ike, "child-packets", COUNT, Words("no limit"), "After how many packets in one direction a child SA is renewed."),
    key(Section::Ike, "child-octets", COUNT, Words("no limit"), "After how many octets of what ESP carries in one direction a child SA is renewed."),
    key(Section::Ike, "rekey-jitter", Integer(0, 50), Value("10"),
        "Up to how many percent each of these limits is lowered at random, so that many tunnels do not renew at once."),
    key(Section::Ike, "replay-window", Integer(64, 65_536), Value("4096"), "As `replay-window` of `sa.in`, for each child SA."),
    key(Section::Ike, "retransmit", Table(Section::Retransmit), Value("{}"),
        "When a request that nobody answered is sent again (RFC 7296 §2.1)."),
    key(Section::Ike, "fragment-octets", Integer(576, 16_384), Value("1280"),
        "The largest IP packet of an IKE message; longer messages leave in fragments if the peer takes them (RFC 7383)."),
    key(Section::Ike, "encap", Word(&["auto", "udp"]), Value("\"auto\""),
        "Whether ESP leaves in UDP: when a NAT is on the way, or always."),
    key(Section::Ike, "nat-keepalive", Time(Duration::from_secs(1), HOUR), Value("\"20s\""),
        "How long nothing may leave before a NAT keepalive does (RFC 3948 §4), when we are behind a NAT."),

    key(Section::Retransmit, "first", Time(Duration::from_millis(100), Duration::from_secs(60)), Value("\"2s\""),
        "How long the first answer is waited for."),
    key(Section::Retransmit, "base", Integer(100, 500), Value("180"), "How long each further answer is waited for, in percent of the wait before it."),
    key(Section::Retransmit, "tries", Integer(1, 20), Value("5"), "How often a request is sent again before the peer is given up."),
    key(Section::Retransmit, "most", Time(Duration::from_millis(100), HOUR), Value("\"1m\""), "The longest wait for an answer."),

    key(Section::IkeV1, "proposals", Kind::List(&list(Kind::IkeV1Proposal, 1, 16)), Words("AES-CBC with SHA-256 in every group but `modp1024`; with `easy-vpn` in `modp2048`"),
        "Algorithms of the ISAKMP SA in order of preference, each as cipher, hash and group: `\"aes256-sha256-modp2048\"`. With `easy-vpn` all have the same group."),
    key(Section::IkeV1, "esp-proposals", Kind::List(&list(Kind::EspV1Proposal, 1, 16)), Words("what adit has, the strongest first"),
        "Algorithms of the IPsec SAs: `\"aes256-sha256-modp2048\"` or `\"aes128gcm16\"`. With a group each of them has a key exchange of its own (PFS); all have the same group, or none has one."),
    key(Section::IkeV1, "allow-insecure", Kind::List(&list(Word(INSECURE), 1, 4)), Words("none"),
        "Algorithms that this tunnel's proposals may hold although they are no longer safe. Each is warned of at each start."),
    key(Section::IkeV1, "child-kilobytes", Integer(CHILD_KILOBYTES_MIN, u32::MAX as u64), Words("no limit"),
        "The life of the IPsec SAs in kilobytes of 1024 octets, which the peer is told (RFC 2407 §4.5). They are renewed after nine tenths of it."),
    key(Section::IkeV1, "easy-vpn", Table(Section::EasyVpn), Words("none"),
        "Makes the tunnel an Easy VPN remote: aggressive mode with a group's key, XAUTH with a user's password, and addresses and networks as the server assigns them. Needs `mode` `\"esp\"`."),

    key(Section::EasyVpn, "group", Kind::Name(NAME_OCTETS), Required("\"unity\""),
        "The group's name, sent as ID_KEY_ID. It takes the place of `local-id`."),
    key(Section::EasyVpn, "group-key-file", Kind::File, Required("\"unity.key\""),
        "The file of the group's key, written as that of `psk-file`, whose place it takes. Others cannot read it."),
    key(Section::EasyVpn, "user", Kind::Name(NAME_OCTETS), Required("\"alice\""), "The user's name, for XAUTH."),
    key(Section::EasyVpn, "password-file", Kind::File, Required("\"alice.pw\""),
        "The file of the user's password: one line, as it stands there. Others cannot read it."),
    key(Section::EasyVpn, "client-mode", Word(&["client", "network-extension"]), Value("\"client\""),
        "Whether what is routed through the tunnel is translated to the address that the server assigns, or the network of `local-ts` is announced as it is. With `\"client\"` the interface gets that address and routes to the networks that the server names, or to all of IPv4 when it names none and there are no `routes`; nft(8) translates, and forwarding is the host's to allow (`sysctl net.ipv4.ip_forward=1`). With `\"network-extension\"` there are the routes of `routes` alone."),
    key(Section::EasyVpn, "connect", Word(&["auto", "manual"]), Value("\"auto\""),
        "Whether the tunnel is brought up at once and kept up, or waits for `adit up`: at the start, and again when its connection ended or no server could be connected with. `adit up` reads the files of group key and password again. It takes the place of `start`."),

    key(Section::Dpd, "mode", Word(&["periodic", "on-demand"]), Value("\"on-demand\""),
        "Whether the peer is asked whenever nothing came for `interval`, or only if there is also user data to send."),
    key(Section::Dpd, "interval", Time(Duration::from_secs(1), HOUR), Required("\"10s\""),
        "How long nothing authenticated may come, ESP or IKE, before the peer is asked."),
    key(Section::Dpd, "retry", Time(Duration::from_millis(200), Duration::from_secs(60)), Value("\"2s\""),
        "How long each answer is waited for. The pace does not slow down, unlike that of other requests."),
    key(Section::Dpd, "attempts", Integer(1, 20), Value("5"),
        "How often the peer is asked in vain before it is dead. At worst that is interval + attempts × retry after its last packet, and with `\"on-demand\"` the wait for user data besides."),
    key(Section::Dpd, "profile", Word(&["cisco"]), Words("none"),
        "The router whose limits hold: with cisco `interval` is at least `\"10s\"` and `retry` at least `\"2s\"`."),
    key(Section::Dpd, "no-data", Time(Duration::ZERO, HOUR), Value("\"0s\""),
        "How long user data may leave and none come back, while IKE is answered, before the child SA is made anew; `\"0s\"` is for ever."),

    key(Section::Gre, "key", Any(&[U32, Table(Section::GreKey)]), Words("no key"),
        "The key in both directions, or one for each (RFC 2890)."),
    key(Section::Gre, "checksum", Flag, Value("false"),
        "Whether packets are sent with the GRE checksum, and packets without one dropped. A checksum that is there is always verified."),
    key(Section::Gre, "sequence", Flag, Value("false"),
        "Whether packets are sent with sequence numbers, and packets without one or out of order dropped."),

    key(Section::GreKey, "in", U32, Words("packets without a key are expected"), "The key that the peer's packets carry."),
    key(Section::GreKey, "out", U32, Words("packets are sent without a key"), "The key that our packets carry."),

    key(Section::Keepalive, "profile", Word(&["huawei", "cisco"]), Words("`\"huawei\"`, with the full range of `period`"),
        "The router whose defaults hold: huawei 5s × 3, cisco 10s × 3. Named, it also limits `period` to the router's range."),
    key(Section::Keepalive, "period", Time(PERIOD_MIN, PERIOD_MAX), Words("the profile's: `\"5s\"` or `\"10s\"`"),
        "The time between two keepalives; at least `\"1s\"` when a profile is named."),
    key(Section::Keepalive, "retries", Integer(1, 255), Value("3"),
        "How many keepalives in a row stay unanswered before the peer is dead. At worst it is declared dead (retries + 1) × period + 10 ms after it died."),
    key(Section::Keepalive, "payload", Flag, Value("true"),
        "Whether a keepalive carries 16 authenticated octets, which a router reflects untouched: they give round-trip time and loss and make answers unforgeable. `false` sends the routers' exact octets."),
    key(Section::Keepalive, "accept-inner", Kind::List(&list(Kind::Address, 0, 16)), Value("[]"),
        "Addresses that may stand inside the peer's keepalives in place of the outer ones, for peers behind NAT and for dialects."),

    key(Section::Keepalive, "target", Kind::Address, Words("the other address of a /30, /31, /126 or /127 of `addresses`"),
        "Whom echo requests inside the tunnel go to. Needs `mode` `\"esp\"`."),
    key(Section::Keepalive, "accept-clear", Flag, Value("false"),
        "Whether an answer to a keepalive counts that a router sent in clear, outside the SA. Anybody on the path can forge it. Needs `mode` `\"gre-esp\"`."),

    key(Section::Warm, "interval", Time(Duration::ZERO, DAY), Required("\"10s\""),
        "How long no user data may leave before a packet does; `\"0s\"` is off."),
    key(Section::Warm, "kind", Word(&["udp9", "icmp", "dummy59"]), Value("\"udp9\""),
        "What is sent: UDP to port 9 (discard), an echo request, or an ESP dummy packet without addresses."),
    key(Section::Warm, "source", Kind::Address, Words("our address towards the destination"), "The inner source."),
    key(Section::Warm, "destination", Kind::Address, Words("the other address of a /30, /31, /126 or /127 of `addresses`"), "The inner destination."),

    key(Section::Tfc, "pad", Any(&[Word(&["mtu"]), Integer(64, MTU_MAX)]), Words("no padding"),
        "To how many octets shorter inner packets are padded: to the MTU of the interface, or to this number."),
    key(Section::Tfc, "dummies", Time(Duration::from_millis(1), HOUR), Words("none"),
        "How long nothing may leave before a dummy packet does."),

    key(Section::MssClamp, "ipv4", MSS_V4, Words("not clamped"), "The greatest MSS over IPv4, in octets."),
    key(Section::MssClamp, "ipv6", MSS_V6, Words("not clamped"), "The greatest MSS over IPv6, in octets."),

    key(Section::Offload, "tso", Flag, Value("true"), "TCP super-packets from the kernel."),
    key(Section::Offload, "uso", Flag, Value("true"), "UDP super-packets from the kernel."),
    key(Section::Offload, "tcp-coalesce", Flag, Value("true"), "TCP super-packets to the kernel."),
    key(Section::Offload, "udp-coalesce", Flag, Value("true"), "UDP super-packets to the kernel."),
    key(Section::Offload, "udp-segmentation", Word(&["auto", "on", "off"]), Value("\"auto\""),
        "Trains of outer UDP packets that the kernel or the device segments (UDP_SEGMENT); `\"auto\"` where the outgoing device does it."),
];
