//! The table of every key that a configuration file may hold: the reader, the suggestions and docs/config.md all use it.

mod table;

use std::time::Duration;

use super::scalar::one_of;
use super::time::show_time;

pub use table::{BUSY_POLL_MAX, DEFAULT_SOCKET, KEYS};
pub(super) use table::{DPD_PROFILE_INTERVAL_MIN, DPD_PROFILE_RETRY_MIN, PROFILE_PERIOD_MIN};

/// Keys of [`Section::Ike`] that version 1 has too, with the same meaning.
const OF_BOTH_VERSIONS: [&str; 13] = [
    "version",
    "psk-file",
    "local-id",
    "remote-id",
    "child-mode",
    "rekey",
    "child-rekey",
    "child-packets",
    "rekey-jitter",
    "replay-window",
    "retransmit",
    "encap",
    "nat-keepalive",
];

/// A table of the file, as a group of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The file itself.
    Top,
    /// `ike` of the file.
    IkeEndpoint,
    /// `[tunnel.NAME]`
    Tunnel,
    /// `udp` of a tunnel.
    Udp,
    /// `sa` of a tunnel.
    Sa,
    /// `sa.out`
    SaOut,
    /// `sa.in`
    SaIn,
    /// `hard` and `soft` of an SA.
    Limits,
    /// `ike` of a tunnel.
    Ike,
    /// `ike` of a tunnel with `version = 1`; some of its keys are those of [`Section::Ike`].
    IkeV1,
    /// `ike.easy-vpn`
    EasyVpn,
    /// `ike.retransmit`
    Retransmit,
    /// `dpd` of a tunnel.
    Dpd,
    /// `gre` of a tunnel.
    Gre,
    /// `gre.key`, when the two directions differ.
    GreKey,
    /// `keepalive` of a tunnel.
    Keepalive,
    /// `warm` of a tunnel.
    Warm,
    /// `tfc` of a tunnel.
    Tfc,
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
            Self::File => "the path of a file".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::Name(max) => format!("a string of 1..={max} octets"),
            Self::Identity => {
                "a host name, user@host, an IP address, keyid:TEXT or a distinguished name"
                    .to_owned()
            }
            Self::IkeProposal => "a proposal such as \"aes256gcm16-prfsha384-ecp384\"".to_owned(),
            Self::EspProposal => "a proposal such as \"aes256gcm16-x25519\"".to_owned(),
            Self::IkeV1Proposal => "a proposal such as \"aes256-sha256-modp2048\"".to_owned(),
            Self::EspV1Proposal => "a proposal such as \"aes256-sha256-modp2048\"".to_owned(),
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
    pub const ALL: [Self; 20] = [
        Self::Top,
        Self::IkeEndpoint,
        Self::Tunnel,
        Self::Udp,
        Self::Sa,
        Self::SaOut,
        Self::SaIn,
        Self::Limits,
        Self::Ike,
        Self::Retransmit,
        Self::IkeV1,
        Self::EasyVpn,
        Self::Dpd,
        Self::Gre,
        Self::GreKey,
        Self::Keepalive,
        Self::Warm,
        Self::Tfc,
        Self::MssClamp,
        Self::Offload,
    ];

    /// How the section is written in a file; the empty string for the file itself.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::IkeEndpoint => "ike",
            Self::Tunnel => "tunnel.NAME",
            Self::Udp => "tunnel.NAME.udp",
            Self::Sa => "tunnel.NAME.sa",
            Self::SaOut => "tunnel.NAME.sa.out",
            Self::SaIn => "tunnel.NAME.sa.in",
            Self::Limits => "tunnel.NAME.sa.out.hard",
            Self::Ike | Self::IkeV1 => "tunnel.NAME.ike",
            Self::EasyVpn => "tunnel.NAME.ike.easy-vpn",
            Self::Retransmit => "tunnel.NAME.ike.retransmit",
            Self::Dpd => "tunnel.NAME.dpd",
            Self::Gre => "tunnel.NAME.gre",
            Self::GreKey => "tunnel.NAME.gre.key",
            Self::Keepalive => "tunnel.NAME.keepalive",
            Self::Warm => "tunnel.NAME.warm",
            Self::Tfc => "tunnel.NAME.tfc",
            Self::MssClamp => "tunnel.NAME.mss-clamp",
            Self::Offload => "tunnel.NAME.offload",
        }
    }

    /// The keys of the section, in the order of the table.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        let shared = move |key: &Key| {
            self == Self::IkeV1 && key.section == Self::Ike && OF_BOTH_VERSIONS.contains(&key.name)
        };
        KEYS.iter()
            .filter(move |key| key.section == self || shared(key))
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
    /// The path of a file, absolute or relative to the configuration's folder.
    File,
    /// Any string without a zero octet.
    Text,
    /// A string of at most this many octets, at least one and none of them zero.
    Name(usize),
    /// Who an end of IKE says it is.
    Identity,
    /// Algorithms for an IKE SA.
    IkeProposal,
    /// Algorithms for a child SA.
    EspProposal,
    /// Algorithms for an ISAKMP SA of IKEv1.
    IkeV1Proposal,
    /// Algorithms for the IPsec SAs of IKEv1.
    EspV1Proposal,
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
