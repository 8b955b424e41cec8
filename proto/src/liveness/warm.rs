//! Keeps an idle tunnel warm: a packet of no use to its receiver when no user data left for an interval, so that an SA, and what
//! a firewall on the way knows of it, does not fall asleep.
//!
//! | kind | the inner packet | octets (IPv4 / IPv6) |
//! |---|---|---|
//! | udp9 | UDP port 9 → port 9, discard (RFC 863), no data | 28 / 48 |
//! | icmp | echo request with the data "warm" | 32 / 52 |
//! | dummy59 | none: an ESP dummy packet (RFC 4303 section 2.6) | |
//!
//! The receiver recognises the first two by [`is_warm`], requests and replies alike, and drops them before the TUN device.
//! Nothing is an answer to them and receiving one changes no timer, so two idle ends send what their intervals say and no more.
//! Both UDP ports are 9, so that even an answer is warm traffic to us.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::idle::IdleTimer;
use super::inner::{ECHO_OCTETS, Echo, Packet};
use crate::wire::gre;
use crate::wire::ip::IPV6_OCTETS;

const MARKER: [u8; 4] = *b"warm";

const UDP: u8 = 17;
/// What a packet that wakes a machine begins with.
const WAKE_ON_LAN: [u8; 6] = [0xff; 6];
const DISCARD_PORT: [u8; 2] = [0, 9];

/// Octets of the longest inner packet.
const OCTETS_MAX: usize = IPV6_OCTETS + ECHO_OCTETS + MARKER.len();

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WarmKind {
    /// UDP to the discard port.
    #[default]
    Udp9,
    /// An echo request.
    Icmp,
    /// An ESP dummy packet.
    Dummy59,
}

/// How a tunnel is kept warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmConfig {
    /// Time without user data before a packet is sent; zero is off.
    pub interval: Duration,
    /// What is sent.
    pub kind: WarmKind,
    /// Inner source.
    pub source: IpAddr,
    /// Inner destination, of the same family.
    pub destination: IpAddr,
}

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmPacket {
    octets: [u8; OCTETS_MAX],
    len: usize,
}

impl WarmPacket {
    /// The inner IP packet; `None` for an ESP dummy packet.
    #[must_use]
    pub fn inner(&self) -> Option<&[u8]> {
        self.octets
            .get(..self.len)
            .filter(|inner| !inner.is_empty())
    }

    /// GRE protocol type of the inner packet.
    #[must_use]
    pub fn protocol(&self) -> Option<u16> {
        let version = self.inner()?.first()? >> 4;
        Some(match version {
            6 => gre::PROTOCOL_IPV6,
            _ => gre::PROTOCOL_IPV4,
        })
    }
}

/// The sending side of one tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Warm {
    config: WarmConfig,
    idle: IdleTimer,
    next_seq: u16,
}

impl Warm {
    /// The first packet is due one interval after `now`.
    #[must_use]
    pub fn new(config: WarmConfig, now: Instant) -> Self {
        Self {
            config,
            idle: IdleTimer::new(config.interval, now),
            next_seq: 0,
        }
    }

    /// Takes that user data left through the tunnel: one store.
    #[inline]
    pub fn note_sent(&mut self, now: Instant) {
        self.idle.note_sent(now);
    }

    /// When [`Self::handle_timeout`] is due; user data noted meanwhile does not move it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.idle.poll_timeout()
    }

    /// The packet to send, if no user data left for an interval; it is counted as sent. None ever if the addresses are of
    /// different families.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> Option<WarmPacket> {
        if !self.idle.handle_timeout(now) {
            return None;
        }
        let mut octets = [0; OCTETS_MAX];
        let len = match self.config.kind {
            WarmKind::Udp9 => self.write_udp(&mut octets),
            WarmKind::Icmp => self.write_echo(&mut octets),
            WarmKind::Dummy59 => 0,
        };
        let is_whole = len > 0 || self.config.kind == WarmKind::Dummy59;
        is_whole.then_some(WarmPacket { octets, len })
    }

    fn write_udp(&self, out: &mut [u8]) -> usize {
        let [p0, p1] = DISCARD_PORT;
        let packet = Packet {
            source: self.config.source,
            destination: self.config.destination,
            protocol: UDP,
            tos: 0,
        };
        packet.write(&[&[p0, p1, p0, p1, 0, 8, 0, 0]], 6, out)
    }

    fn write_echo(&mut self, out: &mut [u8]) -> usize {
        let sequence = self.next_seq;
        self.next_seq = sequence.wrapping_add(1);
        let echo = Echo {
            is_request: true,
            source: self.config.source,
            destination: self.config.destination,
            tos: 0,
            identifier: 0,
            sequence,
            data: &MARKER,
        };
        echo.write(out)
    }
}

/// Whether an inner packet is warm traffic, ours or another vendor's: UDP to port 9, or an echo request or reply that is exactly
/// [`WarmKind::Icmp`]'s. Fragments and packets with extension headers never are, nor is what wakes a machine: six octets 0xff and its
/// address, which goes to that port too.
#[inline]
#[must_use]
pub fn is_warm(inner: &[u8]) -> bool {
    match *inner {
        [0x45..=0x4f, _, _, _, _, _, flags, offset, _, UDP, ..] => {
            let header_octets = inner
                .first()
                .map_or(0, |first| usize::from(first & 0x0f) * 4);
            let is_fragment = flags & 0x3f != 0 || offset != 0;
            !is_fragment && inner.get(header_octets..).is_some_and(is_discarded)
        }
        [0x60..=0x6f, _, _, _, _, _, UDP, ..] => inner.get(40..).is_some_and(is_discarded),
        // Before the call, which few packets need.
        _ if inner.len() > OCTETS_MAX => false,
        _ => Echo::parse(inner, MARKER.len()).is_some_and(|echo| echo.data == MARKER),
    }
}

/// Whether a UDP packet goes to the discard port for no other purpose.
#[inline]
fn is_discarded(udp: &[u8]) -> bool {
    udp.get(2..4) == Some(&DISCARD_PORT) && udp.get(8..14) != Some(&WAKE_ON_LAN)
}

#[cfg(test)]
mod tests;
