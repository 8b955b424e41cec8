//! The table of every key that a configuration file may hold: the reader, the suggestions and docs/config.md all use it.

use std::time::Duration;

use adit_proto::liveness::Pace;

use self::Absent::{Required, Value, Words};
use self::Kind::{Any, Flag, Integer, Table, Time, Word};
use super::scalar::{one_of, show_time};

/// A table of the file, as a group of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The file itself.
    Top,
    /// `[tunnel.NAME]`
    Tunnel,
    /// `gre` of a tunnel.
    Gre,
    /// `gre.key`, when the two directions differ.
    GreKey,
    /// `keepalive` of a tunnel.
    Keepalive,
    /// `mss-clamp` of a tunnel, when the two families differ.
    MssClamp,
    /// `offload` of a tunnel, switch by switch.
    Offload,
}

impl Kind {
    /// The kind in words: `"auto" or an integer 1280..=65511`.
    pub fn describe(&self) -> String {
        match *self {
            Self::Flag => "true or false".to_owned(),
            Self::Off => "false".to_owned(),
            Self::Integer(min, max) => format!("an integer {min}..={max}"),
            Self::Word(words) => one_of(words),
            Self::Mode => "\"gre\"".to_owned(),
            Self::Time(min, max) => {
                format!("a time \"{}\"..=\"{}\"", show_time(min), show_time(max))
            }
            Self::Address => "an IP address".to_owned(),
            Self::InterfaceAddress => "an address with a prefix length".to_owned(),
            Self::Network => "a network with a prefix length".to_owned(),
            Self::Remote => "an IP address or a host name".to_owned(),
            Self::Interface => "an interface name of 1..=15 octets".to_owned(),
            Self::Netns => "a name under /run/netns or an absolute path".to_owned(),
            Self::AbsolutePath(_) => "an absolute path".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::List(list) => {
                let List { of, min, max, .. } = list;
                format!("an array of {min}..={max}, each {}", of.describe())
            }
            Self::Table(section) => {
                let keys: Vec<_> = section.keys().map(|key| key.name).collect();
                format!("a table with {}", keys.join(", "))
            }
            Self::Tunnels => "a table of tunnels".to_owned(),
            Self::Any(kinds) => {
                let kinds: Vec<_> = kinds.iter().map(Self::describe).collect();
                kinds.join(", or ")
            }
        }
    }
}

impl Section {
    /// Every section, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Top,
        Self::Tunnel,
        Self::Gre,
        Self::GreKey,
        Self::Keepalive,
        Self::MssClamp,
        Self::Offload,
    ];

    /// How the section is written in a file; the empty string for the file itself.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Tunnel => "tunnel.NAME",
            Self::Gre => "tunnel.NAME.gre",
            Self::GreKey => "tunnel.NAME.gre.key",
            Self::Keepalive => "tunnel.NAME.keepalive",
            Self::MssClamp => "tunnel.NAME.mss-clamp",
            Self::Offload => "tunnel.NAME.offload",
        }
    }

    /// The keys of the section, in the order of the table.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.section == self)
    }

    /// The key of this name in the section.
    pub fn key(self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// What a value may be: its TOML type and its range.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// `false` only: the key's other forms switch it on.
    Off,
    /// An integer of this range, both ends included.
    Integer(u64, u64),
    /// One of these strings.
    Word(&'static [&'static str]),
    /// `"gre"`; the modes of other versions are refused by name.
    Mode,
    /// A string of a number and a unit, of this range, both ends included.
    Time(Duration, Duration),
    /// A unicast IPv4 or IPv6 address.
    Address,
    /// An address with a prefix length, host bits allowed.
    InterfaceAddress,
    /// A network: an address with a prefix length, host bits zero.
    Network,
    /// A unicast address or a host name.
    Remote,
    /// A network interface's name: 1 to 15 octets.
    Interface,
    /// A network namespace: the name of one under /run/netns, or an absolute path.
    Netns,
    /// An absolute path of at most this many octets.
    AbsolutePath(usize),
    /// Any string without a zero octet.
    Text,
    /// An array.
    List(&'static List),
    /// A table with the keys of this section.
    Table(Section),
    /// A table of tables, each with the keys of [`Section::Tunnel`], under the tunnels' names.
    Tunnels,
    /// One of these; their TOML types differ.
    Any(&'static [Kind]),
}

/// What an array may hold.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// Each element.
    pub of: Kind,
    /// The least number of elements.
    pub min: usize,
    /// The greatest number of elements.
    pub max: usize,
    /// Whether an element may stand only once.
    pub unique: bool,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// The key must be there; the text is an example of its value.
    Required(&'static str),
    /// This value, as it would stand in the file.
    Value(&'static str),
    /// What the words say; no value of the file says the same.
    Words(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The table that it stands in.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What holds without it.
    pub default: Absent,
    /// What it does, for the documentation.
    pub doc: &'static str,
}

/// The socket of the daemon when neither the file nor the command line names one.
pub const DEFAULT_SOCKET: &str = "/run/adit.sock";
/// The longest path that a Unix socket's address holds with its final zero octet (unix(7)), in octets.
pub(super) const SOCKET_PATH_OCTETS: usize = 107;
/// The least MTU that IPv6 allows on a link (RFC 8200 §5), in octets.
pub(super) const MTU_MIN: u64 = 1280;
/// The largest IPv4 packet minus an IPv4 header and a GRE header without options, in octets.
pub(super) const MTU_MAX: u64 = 65_535 - 20 - 4;
/// The shortest keepalive period.
pub(super) const PERIOD_MIN: Duration = Pace::PERIOD_MIN;
/// The shortest keepalive period that the routers have, used once a profile is named.
pub(super) const PROFILE_PERIOD_MIN: Duration = Duration::from_secs(1);
/// The longest keepalive period.
pub(super) const PERIOD_MAX: Duration = Pace::PERIOD_MAX;

const ON_DEAD: &[&str] = &["carrier", "withdraw-routes", "admin-down", "delete", "hook"];
const MSS_V4: Kind = Integer(536, 65_495);
const MSS_V6: Kind = Integer(1220, 65_475);
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
        "Threads of the data plane. A tunnel with `gre.sequence` stays on one of them."),
    key(Section::Top, "pin", Any(&[Word(&["off", "auto"]), Kind::List(&list(Integer(0, 4095), 1, 64))]), Value("\"off\""),
        "Whether each worker is bound to one CPU: not, by adit's choice within the CPUs that it may use, or to these CPUs, one for each worker."),
    key(Section::Top, "socket", Kind::AbsolutePath(SOCKET_PATH_OCTETS), Words("`/run/adit.sock`"),
        "The Unix socket on which the daemon listens, mode 0600. `--socket` on the command line wins."),
    key(Section::Top, "tunnel", Kind::Tunnels, Required("{}"),
        "The tunnels, each as a table `[tunnel.NAME]`: NAME is 1 to 64 of `A-Z a-z 0-9 _ . -` (in quotes if it holds a dot)."),

    key(Section::Tunnel, "mode", Kind::Mode, Required("\"gre\""),
        "The encapsulation. `\"esp\"` and `\"gre-esp\"` are not available in this version."),
    key(Section::Tunnel, "interface", Kind::Interface, Words("the tunnel's name, if it has at most 15 octets"),
        "The name of the TUN interface; unique within its namespace."),
    key(Section::Tunnel, "local", Kind::Address, Words("chosen by the route to the remote"),
        "The outer source address. It has the family of every remote that is an address."),
    key(Section::Tunnel, "remote", Any(&[Kind::Remote, Kind::List(&list(Kind::Remote, 1, 16))]), Required("\"198.51.100.2\""),
        "The peer's outer address or host name, or several of them in order of preference: when one stops answering the next is tried, and after the last the first. Names are resolved at each attempt."),
    key(Section::Tunnel, "addresses", Kind::List(&list(Kind::InterfaceAddress, 0, 64)), Value("[]"),
        "Addresses of the interface, each with its prefix length."),
    key(Section::Tunnel, "routes", Kind::List(&list(Kind::Network, 0, 1024)), Value("[]"),
        "Networks that are routed into the tunnel while it is up."),
    key(Section::Tunnel, "netns", Kind::Netns, Words("the namespace that adit runs in"),
        "The network namespace of the interface, its addresses and its routes: a name under /run/netns or an absolute path."),
    key(Section::Tunnel, "outer-netns", Kind::Netns, Words("the namespace that adit runs in"),
        "The network namespace of the sockets that carry the GRE packets."),
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
        "GRE keepalives to the peer. `true` is a table without keys: 5s × 3. Without keepalives the tunnel is never found dead."),
    key(Section::Tunnel, "answer-keepalives", Flag, Value("true"),
        "Whether the peer's keepalives are answered, whatever `keepalive` says."),
    key(Section::Tunnel, "on-dead", Kind::List(&list(Word(ON_DEAD), 1, 5)), Value("[\"carrier\", \"withdraw-routes\"]"),
        "What happens to the interface when the peer is dead, besides that nothing is forwarded: its carrier goes off, its routes are withdrawn, it is set down, it is deleted, the hook runs."),
    key(Section::Tunnel, "hook", Kind::List(&List { of: Kind::Text, min: 1, max: 64, unique: false }), Words("none"),
        "A program, as an absolute path, and its arguments; needed if and only if `on-dead` holds `\"hook\"`."),
    key(Section::Tunnel, "hook-timeout", Time(Duration::from_millis(100), Duration::from_secs(3600)), Value("\"10s\""),
        "How long the hook may run before it is killed."),
    key(Section::Tunnel, "failback", Time(Duration::from_secs(1), Duration::from_secs(86_400)), Words("never"),
        "How long the preferred remote must have answered without a miss before the tunnel goes back to it. Needs two remotes."),
    key(Section::Tunnel, "damping", Flag, Value("false"),
        "Whether a tunnel that flaps needs more answers before it is up again: the number doubles with each flap, up to 16 times, and decays while it is up."),
    key(Section::Tunnel, "initial", Word(&["probing", "up"]), Value("\"probing\""),
        "The state at the start: down until the first keepalive is answered, or up as routers do it."),
    key(Section::Tunnel, "offload", Any(&[Flag, Table(Section::Offload)]), Value("true"),
        "Offloads of the TUN interface: all that work, none, or switch by switch."),

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

    key(Section::MssClamp, "ipv4", MSS_V4, Words("not clamped"), "The greatest MSS over IPv4, in octets."),
    key(Section::MssClamp, "ipv6", MSS_V6, Words("not clamped"), "The greatest MSS over IPv6, in octets."),

    key(Section::Offload, "tso", Flag, Value("true"), "TCP super-packets from the kernel."),
    key(Section::Offload, "uso", Flag, Value("true"), "UDP super-packets from the kernel."),
    key(Section::Offload, "tcp-coalesce", Flag, Value("true"), "TCP super-packets to the kernel."),
    key(Section::Offload, "udp-coalesce", Flag, Value("true"), "UDP super-packets to the kernel."),
];
