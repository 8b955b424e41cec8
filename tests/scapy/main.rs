//! ESP against scapy: each end opens what the other one sealed, octet for octet.
//!
//! One adit at site `a`; at site `b` a socket, behind which scapy is the peer. Needs root, /dev/net/tun and Debian's python3-scapy.
#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of other crates' enumerations a test names what it wants"
)]

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod far;
mod oracle;

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use adit::keys::{InboundState, KeyFile, OutboundState};
use common::{Daemon, Namespace, Sites, wait_for, within};
use far::Far;
use oracle::{Association, Oracle};

/// The program under test.
const ADIT: &str = env!("CARGO_BIN_EXE_adit");

const PATIENCE: Duration = Duration::from_secs(10);
/// Indices of adit's and of scapy's packets.
const SPI_OUT: u32 = 0x1001;
const SPI_IN: u32 = 0xfedc_ba98;
const INNER_PORT: u16 = 7777;
const NEXT_GRE: u8 = 47;
/// Every length of padding, nothing at all, and the largest that the tunnel takes.
const PAYLOADS: [usize; 7] = [0, 1, 2, 3, 4, 100, 1300];

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Case {
    suite: &'static str,
    esn: bool,
    /// Tunnel mode, or GRE in transport mode.
    tunnel: bool,
    udp: bool,
    outer_ipv6: bool,
    inner_ipv6: bool,
    /// The numbers before adit's first and scapy's first.
    before_out: u64,
    before_in: u64,
    /// More keys of `sa.out` and `sa.in`.
    more_out: &'static str,
    more_in: &'static str,
}

impl Case {
    fn outer(&self, number: u8) -> IpAddr {
        let text = if self.outer_ipv6 {
            format!("2001:db8::{number}")
        } else {
            format!("192.0.2.{number}")
        };
        text.parse().unwrap()
    }

    fn inner(&self, number: u8) -> IpAddr {
        let text = if self.inner_ipv6 {
            format!("fd00:9::{number}")
        } else {
            format!("10.9.0.{number}")
        };
        text.parse().unwrap()
    }

    fn config(&self, folder: &Path) -> String {
        let Self {
            esn,
            udp,
            more_out,
            more_in,
            ..
        } = self;
        let (local, remote) = (self.outer(1), self.outer(2));
        let mode = if self.tunnel { "esp" } else { "gre-esp" };
        let folder = folder.display();
        format!(
            r#"
[tunnel.t]
mode = "{mode}"
udp = {udp}
interface = "esp-t"
local = "{local}"
remote = "{remote}"
addresses = ["10.9.0.1/30", "fd00:9::1/64"]
sa = {{ out = {{ spi = {SPI_OUT}, key-file = "{folder}/out.key", esn = {esn}{more_out} }}, in = {{ spi = {SPI_IN}, key-file = "{folder}/in.key", esn = {esn}{more_in} }} }}
"#
        )
    }

    fn association(&self, folder: &Path, spi: u32, key: &str) -> Association {
        Association {
            key_file: folder.join(key),
            spi,
            esn: self.esn,
            tunnel: self.tunnel,
        }
    }

    /// The inner packet as the peer's mode carries it.
    fn wrap(&self, packet: &[u8]) -> Vec<u8> {
        let protocol: [u8; 2] = if self.inner_ipv6 {
            [0x86, 0xdd]
        } else {
            [0x08, 0x00]
        };
        if self.tunnel {
            packet.to_vec()
        } else {
            [&[0, 0], &protocol[..], packet].concat()
        }
    }

    fn next_header(&self) -> u8 {
        match (self.tunnel, self.inner_ipv6) {
            (false, _) => NEXT_GRE,
            (true, false) => 4,
            (true, true) => 41,
        }
    }
}

/// Makes the keys and, where they are to begin higher, the numbers that were used of them.
fn prepare(case: &Case, folder: &Path) {
    for name in ["out.key", "in.key"] {
        let path = folder.join(name);
        let path_text = path.to_str().unwrap();
        let made = Command::new(ADIT)
            .args(["keygen", "--suite", case.suite, path_text])
            .output();
        assert!(made.unwrap().status.success());
        let key = KeyFile::read(&path).unwrap();
        if name == "in.key" {
            InboundState::open(&path, &key)
                .unwrap()
                .save(case.before_in)
                .unwrap();
        } else if case.before_out > 0 {
            let mut state = OutboundState::open(&path, &key, u64::MAX).unwrap();
            while state.reserve().unwrap().end <= case.before_out {}
        }
    }
}

fn inner_socket(site: &Namespace, case: &Case) -> UdpSocket {
    let socket = within(site, || UdpSocket::bind((case.inner(1), INNER_PORT))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Octets of a UDP datagram's payload that tell which it is.
fn payload(octets: usize) -> Vec<u8> {
    (0..octets)
        .map(|index| (index * 7 + octets) as u8)
        .collect()
}

/// The IP packet of a datagram from site 2 to site 1 inside.
fn inner_packet(case: &Case, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let written = match (case.inner(2), case.inner(1)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            etherparse::PacketBuilder::ipv4(from.octets(), to.octets(), 64)
                .udp(INNER_PORT, INNER_PORT)
                .write(&mut packet, payload)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            etherparse::PacketBuilder::ipv6(from.octets(), to.octets(), 64)
                .udp(INNER_PORT, INNER_PORT)
                .write(&mut packet, payload)
        }
        _ => panic!("both are of one family"),
    };
    written.unwrap();
    packet
}

/// The payload of the datagram to the inner port that an inner packet is, if it is one.
fn datagram(packet: &[u8]) -> Option<Vec<u8>> {
    let sliced = etherparse::SlicedPacket::from_ip(packet).unwrap();
    match sliced.transport? {
        etherparse::TransportSlice::Udp(udp) if udp.destination_port() == INNER_PORT => {
            Some(udp.payload().to_vec())
        }
        _ => None,
    }
}

/// One adit whose tunnel is up, and what stands for its peer.
struct Site {
    // In this order: what uses the namespaces goes first.
    daemon: Daemon,
    oracle: Oracle,
    far: Far,
    socket: UdpSocket,
    keys: tempfile::TempDir,
    _sites: Sites,
}

impl Site {
    fn start(case: &Case) -> Self {
        let sites = Sites::new();
        let keys = tempfile::tempdir().unwrap();
        prepare(case, keys.path());
        let far = Far::open(&sites.b, case.udp, case.outer(2), case.outer(1));
        let daemon = Daemon::start(&sites.a, &case.config(keys.path()));
        daemon.wait_state("t", "up", PATIENCE);
        wait_for("the interface has its addresses", PATIENCE, || {
            within(&sites.a, || UdpSocket::bind((case.inner(1), 0))).ok()
        });
        let socket = inner_socket(&sites.a, case);
        Self {
            daemon,
            oracle: Oracle::start(),
            far,
            socket,
            keys,
            _sites: sites,
        }
    }
}

fn agrees(case: &Case) {
    let mut site = Site::start(case);
    opens_what_adit_seals(case, &mut site);
    seals_what_adit_opens(case, &mut site);
    for reason in ["bad_icv", "esp_trailer", "replayed", "unknown_spi"] {
        assert_eq!(site.daemon.drops("t", reason), 0, "{reason}");
    }
}

fn opens_what_adit_seals(case: &Case, site: &mut Site) {
    let association = case.association(site.keys.path(), SPI_OUT, "out.key");
    for octets in PAYLOADS {
        let sent = payload(octets);
        site.socket
            .send_to(&sent, (case.inner(2), INNER_PORT))
            .unwrap();
    }
    let mut last = case.before_out;
    let mut arrived = PAYLOADS.iter().copied();
    let mut expected = arrived.next();
    while let Some(octets) = expected {
        let esp = site.far.receive();
        let seq_lo = u32::from_be_bytes(*esp[4..].first_chunk().unwrap());
        // No number is left out on a veth, so the next one follows the last.
        let seq = last + 1;
        assert_eq!(seq_lo, seq as u32);
        last = seq;
        let opened = site
            .oracle
            .open(&association, seq, &esp)
            .expect("authentic");
        assert_eq!(opened.iv, seq.to_be_bytes(), "the IV is the counter");
        let mut flipped = esp.clone();
        flipped[esp.len() / 2] ^= 1;
        assert!(site.oracle.open(&association, seq, &flipped).is_none());
        let inner = if case.tunnel {
            &opened.payload[..]
        } else {
            &opened.payload[4..]
        };
        // The kernel sends messages of its own, too: they only have to be authentic.
        if let Some(got) = datagram(inner) {
            assert_eq!(got, payload(octets));
            assert_eq!(opened.next_header, case.next_header());
            assert_eq!(case.wrap(inner), opened.payload);
            expected = arrived.next();
        }
    }
}

fn seals_what_adit_opens(case: &Case, site: &mut Site) {
    let association = case.association(site.keys.path(), SPI_IN, "in.key");
    for (seq, octets) in (case.before_in + 1..).zip(PAYLOADS) {
        let inner = inner_packet(case, &payload(octets));
        site.far
            .send(&site.oracle.seal(&association, seq, &case.wrap(&inner)));
        let mut got = [0; 2048];
        let (received, from) = site
            .socket
            .recv_from(&mut got)
            .unwrap_or_else(|error| panic!("{octets} octets, number {seq}: {error}"));
        assert_eq!(got[..received], payload(octets));
        assert_eq!(from.ip(), case.inner(2));
    }
}

const CASE: Case = Case {
    suite: "aes128gcm16",
    esn: true,
    tunnel: true,
    udp: false,
    outer_ipv6: false,
    inner_ipv6: false,
    before_out: 0,
    before_in: 0,
    more_out: "",
    more_in: "",
};

#[test]
fn aes128_in_tunnel_mode_with_extended_numbers() {
    agrees(&CASE);
}

#[test]
fn aes256_in_udp_with_ipv6_inside() {
    agrees(&Case {
        suite: "aes256gcm16",
        udp: true,
        inner_ipv6: true,
        ..CASE
    });
}

#[test]
fn chacha20_in_transport_mode_over_ipv6() {
    agrees(&Case {
        suite: "chacha20poly1305",
        tunnel: false,
        outer_ipv6: true,
        ..CASE
    });
}

#[test]
fn aes128_in_transport_mode_in_udp_with_short_numbers() {
    agrees(&Case {
        esn: false,
        tunnel: false,
        udp: true,
        inner_ipv6: true,
        ..CASE
    });
}

#[test]
fn aes256_with_short_numbers_ipv6_in_ipv6() {
    agrees(&Case {
        suite: "aes256gcm16",
        esn: false,
        outer_ipv6: true,
        inner_ipv6: true,
        ..CASE
    });
}

#[test]
fn chacha20_with_short_numbers_in_udp_over_ipv6() {
    agrees(&Case {
        suite: "chacha20poly1305",
        esn: false,
        udp: true,
        outer_ipv6: true,
        ..CASE
    });
}

#[test]
fn the_high_half_of_the_number_is_authenticated() {
    for suite in ["aes128gcm16", "chacha20poly1305"] {
        agrees(&Case {
            suite,
            before_out: (1 << 32) + (1 << 24),
            before_in: 5 << 32,
            ..CASE
        });
    }
}

#[test]
fn the_low_half_of_the_number_wraps() {
    for suite in ["aes256gcm16", "chacha20poly1305"] {
        agrees(&Case {
            suite,
            before_in: (1 << 32) - 4,
            ..CASE
        });
    }
}
