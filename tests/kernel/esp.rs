//! ESP with static keys between adit and the kernel's own.

mod keepalive;
mod refused;
mod sequence;
mod traffic;
mod wire;

use std::path::PathBuf;

use adit::keys::KeyFile;
use adit_crypto::Suite;

use crate::common::Daemon;
use crate::peer::{Delivery, ESP, Options, Peer};

/// The SPI of what adit sends.
const SPI_OUT: u32 = 0x1001;
/// The SPI of what the kernel sends.
const SPI_IN: u32 = 0x1002;

/// What goes through the tunnel and how.
#[derive(Clone, Copy, Debug)]
struct Variant {
    /// Transport mode with GRE of these options inside, or tunnel mode.
    gre: Option<Options>,
    /// Outer addresses of IPv6.
    v6: bool,
    /// In UDP.
    udp: bool,
    suite: Suite,
    esn: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            gre: None,
            v6: false,
            udp: false,
            suite: Suite::Aes128Gcm16,
            esn: true,
        }
    }
}

/// A pair of associations under keys of their own.
#[derive(Debug)]
struct Esp<'a> {
    peer: &'a Peer,
    variant: Variant,
    /// Both ends read their keys here; the guest sees it below /mnt.
    keys: tempfile::TempDir,
}

impl<'a> Esp<'a> {
    /// Draws the keys.
    fn new(peer: &'a Peer, variant: Variant) -> Self {
        let keys = tempfile::tempdir_in(peer.guest.shared("")).unwrap();
        let esp = Self {
            peer,
            variant,
            keys,
        };
        for path in [esp.out(), esp.inbound()] {
            KeyFile::random(variant.suite)
                .unwrap()
                .create(&path)
                .unwrap();
        }
        esp
    }

    /// The key of what adit sends.
    fn out(&self) -> PathBuf {
        self.keys.path().join("out.key")
    }

    /// The key of what the kernel sends.
    fn inbound(&self) -> PathBuf {
        self.keys.path().join("in.key")
    }

    /// Makes the kernel's end in place of what was there, and with it the GRE interface if there is one.
    fn kernel(&self, options: &str) {
        let Variant { gre, v6, udp, .. } = self.variant;
        let kind = if gre.is_some() { "gre" } else { "tunnel" };
        let outer = outer(v6);
        let folder = self.keys.path().file_name().unwrap().to_str().unwrap();
        let esn = if self.variant.esn { "esn" } else { "" };
        let udp = if udp { "udp" } else { "" };
        self.peer.exec(&format!(
            "{ESP} {kind} {outer}2 {outer}1 {SPI_OUT} /mnt/{folder}/out.key {SPI_IN} /mnt/{folder}/in.key {esn} {udp} {options}"
        ));
        if let Some(options) = gre {
            let delivery = if v6 { Delivery::V6 } else { Delivery::V4 };
            self.peer.tunnel(delivery, options, "");
        }
    }

    /// Starts adit with these lines in its configuration besides.
    fn adit(&self, more: &str) -> Daemon {
        Daemon::start(&self.peer.near, &self.config(more))
    }

    /// The same without keepalives: the tunnel carries packets when this returns.
    fn ready_adit(&self, more: &str) -> Daemon {
        let adit = self.adit(more);
        self.peer.wait_ready(&adit);
        adit
    }

    fn config(&self, more: &str) -> String {
        let Variant {
            gre, v6, udp, esn, ..
        } = self.variant;
        let (mode, gre) = match gre {
            None => ("esp", String::new()),
            Some(options) => ("gre-esp", format!("gre = {{ {} }}", options.for_adit())),
        };
        let (outer, out, inbound) = (outer(v6), self.out(), self.inbound());
        format!(
            r#"
[tunnel.t]
mode = "{mode}"
udp = {udp}
interface = "tun-t"
local = "{outer}1"
remote = "{outer}2"
addresses = ["10.9.0.1/24", "fd00:9::1/64"]
{gre}
{more}
[tunnel.t.sa]
out = {{ spi = {SPI_OUT}, key-file = {out:?}, esn = {esn} }}
in = {{ spi = {SPI_IN}, key-file = {inbound:?}, esn = {esn} }}
"#
        )
    }
}

pub(crate) type Errors = Vec<(String, u64)>;

/// The kernel's counters of IPsec errors.
pub(crate) fn errors(peer: &Peer) -> Errors {
    let text = peer.exec("cat /proc/net/xfrm_stat");
    let counter = |line: &str| {
        let (name, count) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    text.lines().map(|line| counter(line).unwrap()).collect()
}

/// Which of them grew since `before`, and by how much.
pub(crate) fn errors_since(peer: &Peer, before: &Errors) -> Errors {
    errors(peer)
        .into_iter()
        .map(|(name, count)| {
            let past = before.iter().find(|(known, _)| *known == name);
            (name, count - past.map_or(0, |&(_, count)| count))
        })
        .filter(|&(_, count)| count > 0)
        .collect()
}

/// The first part of all outer addresses.
fn outer(v6: bool) -> &'static str {
    if v6 { "2001:db8::" } else { "192.0.2." }
}
