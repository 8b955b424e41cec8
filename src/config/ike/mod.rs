//! What a file says of IKE: who we are, what is offered, when SAs are renewed, and when a peer is dead.

pub(super) mod build;
pub(super) mod checks;
pub(super) mod v1;

use std::path::PathBuf;
use std::time::Duration;

use adit_crypto::Suite;
use adit_proto::ike::identity::Identity;
use adit_proto::ike::proposal::{EspOffer, IkeOffer};

use v1::{ClientMode, EasyVpn, IkeV1};

/// What IKE does in each namespace that has a tunnel with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeEndpoint {
    /// Our port.
    pub port: u16,
    /// Our port for IKE and ESP through a NAT (RFC 7296 §2.23).
    pub nat_port: u16,
    /// IKE SAs that others asked for and did not prove yet; at least 1.
    pub half_open: u32,
    /// The same for one address; at least 1.
    pub half_open_per_source: u32,
    /// How many of them there may be before a cookie is asked for (RFC 7296 §2.6).
    pub cookie_threshold: u32,
}

/// `ike` of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeConfig {
    /// By what both ends prove who they are.
    pub credentials: Credentials,
    /// What only this version of IKE has.
    pub version: IkeVersion,
    /// What we call ourselves; absent only with certificates: the subject of ours.
    pub local_id: Option<Identity>,
    /// What the peer must prove to be; absent, whatever it proves.
    pub remote_id: Option<Identity>,
    /// The mode of the child SAs.
    pub child_mode: ChildMode,
    /// The age at which the IKE SA is renewed: 1 s to 7 days.
    pub rekey: Duration,
    /// The age at which a child SA is renewed: 1 s to 7 days.
    pub child_rekey: Duration,
    /// Packets in one direction after which a child SA is renewed.
    pub child_packets: Option<u64>,
    /// Octets in one direction after which a child SA is renewed; version 2 only.
    pub child_octets: Option<u64>,
    /// Up to how many percent each of these limits is lowered at random: 0 to 50.
    pub jitter_percent: u8,
    /// Sequence numbers behind the highest one that are still accepted, each once: 64 to 65536.
    pub replay_window: u32,
    /// When a request is sent again.
    pub retransmit: Retransmit,
    /// Whether ESP leaves in UDP even where there is no NAT.
    pub force_udp: bool,
    /// How long nothing may leave before a NAT keepalive does, when we are behind a NAT.
    pub nat_keepalive: Duration,
}

/// What a tunnel's IKE says in one version only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IkeVersion {
    /// RFC 2409; the credentials are a pre-shared key.
    V1(IkeV1),
    /// RFC 7296.
    V2(IkeV2),
}

/// What only version 2 of IKE has (RFC 7296).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeV2 {
    /// 1 to 16 offers for the IKE SA, best first.
    pub proposals: Vec<IkeOffer>,
    /// 1 to 16 offers for the child SAs, best first.
    pub esp_proposals: Vec<EspOffer>,
    /// The largest IP packet of an IKE message (RFC 7383): 576 to 16384 octets.
    pub fragment_octets: u16,
}

impl IkeConfig {
    /// The suites that may seal packets, best first.
    pub fn suites(&self) -> Vec<Suite> {
        match &self.version {
            IkeVersion::V1(v1) => v1.esp_proposals.iter().map(|esp| esp.suite).collect(),
            IkeVersion::V2(v2) => {
                let offers = v2.esp_proposals.iter();
                offers.flat_map(EspOffer::suites).copied().collect()
            }
        }
    }

    /// What only version 1 has, if it is that.
    pub const fn v1(&self) -> Option<&IkeV1> {
        match &self.version {
            IkeVersion::V1(v1) => Some(v1),
            IkeVersion::V2(_) => None,
        }
    }

    /// What only an Easy VPN remote has, if it is one.
    pub fn easy_vpn(&self) -> Option<&EasyVpn> {
        self.v1().and_then(|v1| v1.easy_vpn.as_ref())
    }

    /// Whether a server says what the interface has: an Easy VPN remote in client mode.
    pub fn is_client(&self) -> bool {
        self.easy_vpn()
            .is_some_and(|it| it.client_mode == ClientMode::Client)
    }

    /// The key that names the file of the pre-shared key, from the tunnel's table on.
    pub fn psk_key(&self) -> &'static [&'static str] {
        match self.easy_vpn() {
            Some(_) => &["ike", "easy-vpn", "group-key-file"],
            None => &["ike", "psk-file"],
        }
    }

    /// The age at which the IKE SA ends, renewed or not.
    pub fn hard(&self) -> Duration {
        self.after(self.rekey)
    }

    /// The age at which a child SA ends, renewed or not.
    pub fn child_hard(&self) -> Duration {
        self.after(self.child_rekey)
    }

    /// A tenth more, and at least what a rekey takes whose request is answered at last.
    fn after(&self, rekey: Duration) -> Duration {
        rekey + (rekey / 10).max(self.retransmit.patience())
    }
}

/// By what both ends prove who they are (RFC 7296 §2.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The file of a pre-shared key, with its folder.
    Psk(PathBuf),
    /// Certificates and signatures (RFC 7427); the files with their folders.
    Certificate {
        /// Our certificate and the intermediate ones, in PEM.
        chain: PathBuf,
        /// Its private key, in PEM.
        key: PathBuf,
        /// The authorities that the peer's certificate may lead to, in PEM.
        anchors: PathBuf,
    },
}

/// The mode of child SAs (RFC 4301 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildMode {
    /// ESP around a whole IP packet.
    Tunnel,
    /// ESP behind the IP header, around GRE; mode `gre-esp` only.
    Transport,
}

/// When a request that nobody answered is sent again (RFC 7296 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmit {
    /// The first wait: 100 ms to 60 s.
    pub first: Duration,
    /// Each further wait in percent of the one before: 100 to 500.
    pub base_percent: u16,
    /// How often a request is sent again: 1 to 20.
    pub tries: u8,
    /// The longest wait: 100 ms to 1 h.
    pub most: Duration,
}

impl Retransmit {
    /// The time from a request to the end of the last wait for its answer.
    pub fn patience(&self) -> Duration {
        let (mut wait, mut sum) = (self.first.min(self.most), Duration::ZERO);
        for _ in 0..=self.tries {
            sum += wait;
            wait = (wait * u32::from(self.base_percent) / 100).min(self.most);
        }
        sum
    }
}

/// Who brings the SAs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// We do, at once.
    Auto,
    /// We do, with the first packet that is to leave.
    OnTraffic,
    /// The peer does.
    Passive,
    /// We do, once the operator asks for it; Easy VPN only.
    Manual,
}
