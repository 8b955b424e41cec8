//! Keys, configurations and places for tunnels that seal their packets.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use adit_crypto::{Aead, Associated, Suite};

use super::common::{Daemon, Sites};
use super::packet::{self, Ip};
use super::{Delivery, PATIENCE};

/// Octets from the SPI to the payload, and of the ICV, for every suite.
pub(crate) const PREFIX_OCTETS: usize = 16;
pub(crate) const ICV_OCTETS: usize = 16;

/// The two keys of one tunnel, in files for each end, since each end notes beside its files what it used.
#[derive(Debug)]
pub(crate) struct Keys {
    folder: tempfile::TempDir,
    suite: Suite,
    seed: u8,
    esn: bool,
}

impl Keys {
    pub(crate) fn new(suite: Suite, seed: u8) -> Self {
        let keys = Self {
            folder: tempfile::tempdir().unwrap(),
            suite,
            seed,
            esn: true,
        };
        for end in [1, 2] {
            std::fs::create_dir(keys.folder.path().join(end.to_string())).unwrap();
            for from in [1, 2] {
                let hex: String = keys
                    .keymat(from)
                    .iter()
                    .map(|octet| format!("{octet:02x}"))
                    .collect();
                let file = keys.file(end, from);
                std::fs::write(&file, format!("{suite} 0x{hex}\n")).unwrap();
                std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            }
        }
        keys
    }

    /// The same for associations without extended sequence numbers.
    pub(crate) fn without_esn(self) -> Self {
        Self { esn: false, ..self }
    }

    /// The file that end `end` has of the key of the packets from end `from`.
    fn file(&self, end: u8, from: u8) -> String {
        let file = self
            .folder
            .path()
            .join(end.to_string())
            .join(format!("from-{from}.key"));
        file.to_str().unwrap().to_owned()
    }

    fn keymat(&self, from: u8) -> Vec<u8> {
        let octets = (0..).map(|at: u8| at.wrapping_mul(29) ^ self.seed.wrapping_mul(16) ^ from);
        octets.take(self.suite.keymat_octets()).collect()
    }

    /// An ESP packet from end `from` with this SPI and sequence number around a payload with its trailer.
    pub(crate) fn seal(&self, from: u8, spi: u32, seq: u64, sealed: &[u8]) -> Vec<u8> {
        let aead = Aead::new(self.suite, &self.keymat(from)).unwrap();
        let [.., s0, s1, s2, s3] = seq.to_be_bytes();
        let header = [&spi.to_be_bytes()[..], &[s0, s1, s2, s3]].concat();
        let mut packet = [&header[..], &[0; 8], sealed, &[0; ICV_OCTETS]].concat();
        let associated = Associated {
            spi,
            seq,
            esn: self.esn,
        };
        aead.seal(&associated, &mut packet[header.len()..]).unwrap();
        packet
    }
}

/// A payload with the trailer that it needs (RFC 4303 section 2.4).
pub(crate) fn with_trailer(payload: &[u8], next_header: u8) -> Vec<u8> {
    let pad = u8::try_from((payload.len() + 2).next_multiple_of(4) - payload.len() - 2).unwrap();
    let padding: Vec<u8> = (1..=pad).collect();
    [payload, &padding, &[pad, next_header]].concat()
}

/// A tunnel between end 1 and end 2, as either end is to have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tunnel<'a> {
    pub(crate) name: &'a str,
    /// None for a tunnel that does not seal.
    pub(crate) keys: Option<&'a Keys>,
    pub(crate) mode: &'a str,
    /// The value of `udp`.
    pub(crate) udp: &'a str,
    /// The outer addresses of end 1 and of end 2.
    pub(crate) ends: [IpAddr; 2],
    /// The inner addresses are 10.NET.0.END and fd00:NET::END.
    pub(crate) net: u8,
    /// More keys of `sa.out` and of `sa.in`, each with a comma before it.
    pub(crate) sa: [&'a str; 2],
    pub(crate) more: &'a str,
}

impl<'a> Tunnel<'a> {
    /// The tunnel `t` on the interface `t`, between 192.0.2.1 and 192.0.2.2 or their like in IPv6.
    pub(crate) fn new(delivery: Delivery, mode: &'a str, udp: &'a str, keys: &'a Keys) -> Self {
        Self {
            name: "t",
            keys: Some(keys),
            mode,
            udp,
            ends: [delivery.address(1), delivery.address(2)],
            net: 9,
            sa: ["", ""],
            more: "",
        }
    }

    pub(crate) fn with(self, more: &'a str) -> Self {
        Self { more, ..self }
    }

    /// The SPI of the packets from an end.
    pub(crate) fn spi(&self, from: u8) -> u32 {
        u32::from(self.net) << 8 | 0x1000 | u32::from(from)
    }

    /// Its configuration at an end.
    pub(crate) fn config(&self, end: u8) -> String {
        let Self {
            name,
            mode,
            udp,
            net,
            more,
            ..
        } = self;
        let other = 3 - end;
        let [local, remote] = [end, other].map(|end| self.ends[usize::from(end) - 1]);
        let sa = self.keys.map_or_else(String::new, |keys| {
            let [out, inbound] = self.sa;
            format!(
                "sa = {{ out = {{ spi = {}, key-file = \"{}\"{out} }}, in = {{ spi = {}, key-file = \"{}\"{inbound} }} }}",
                self.spi(end),
                keys.file(end, end),
                self.spi(other),
                keys.file(end, other),
            )
        });
        format!(
            r#"
[tunnel.{name}]
mode = "{mode}"
udp = {udp}
local = "{local}"
remote = "{remote}"
addresses = ["10.{net}.0.{end}/30", "fd00:{net}::{end}/64"]
{sa}
{more}
"#
        )
    }
}

/// Two sites, each with one daemon that has the same tunnel.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) near: Daemon,
    pub(crate) far: Daemon,
    pub(crate) sites: Sites,
}

impl Pair {
    /// Starts both ends and waits until they are up.
    pub(crate) fn start(tunnel: Tunnel<'_>) -> Self {
        Self::of(tunnel, tunnel)
    }

    /// The same with ends that are configured differently.
    pub(crate) fn of(near: Tunnel<'_>, far: Tunnel<'_>) -> Self {
        Self::on(near, far, |_| {})
    }

    /// The same between sites to which something was done before.
    pub(crate) fn on(near: Tunnel<'_>, far: Tunnel<'_>, prepare: impl FnOnce(&Sites)) -> Self {
        let sites = Sites::new();
        prepare(&sites);
        let pair = Self {
            near: Daemon::start(&sites.a, &near.config(1)),
            far: Daemon::start(&sites.b, &far.config(2)),
            sites,
        };
        pair.near.wait_state(near.name, "up", PATIENCE);
        pair.far.wait_state(far.name, "up", PATIENCE);
        pair
    }
}

/// A whole UDP datagram without a checksum, which both families may leave out around a tunnel (RFC 6935).
pub(crate) fn udp_datagram(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let octets = u16::try_from(8 + payload.len()).unwrap();
    let fields = [from.1, to.1, octets, 0].map(u16::to_be_bytes);
    Ip::new(from.0, to.0, packet::UDP).packet(&[fields.concat(), payload.to_vec()].concat())
}
