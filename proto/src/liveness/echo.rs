//! The echo probe: an echo request inside the tunnel, for ESP that carries neither GRE nor IKE.
//!
//! ```text
//! inner packet  IP source → target, TTL 64, TOS CS6 | ICMP or ICMPv6 echo request | data
//! data          marker "adit" 4 | sequence 4 | time µs 4 | SipHash-2-4 of sequence, time, tunnel id 8
//! ```
//!
//! The data is big-endian, the digest little-endian.
//!
//! Any host at the target answers (RFC 1122 section 3.2.2.6, RFC 4443 section 4.2) and the digest proves the reply. An adit at
//! the other end answers by [`answer`], whether or not it forwards: two ends that hold each other dead still find each other.
//!
//! A probe and its reply take 48 octets over IPv4, 68 over IPv6.

use std::net::IpAddr;

use adit_crypto::SipHash24;

use super::Answer;
use super::inner::{self, ECHO_OCTETS, Echo};
use super::proof::{self, PROOF_OCTETS};
use crate::counters::DropReason;
use crate::wire::ip::IPV6_OCTETS;

/// Octets of the longest probe.
pub(super) const PROBE_OCTETS_MAX: usize = IPV6_OCTETS + ECHO_OCTETS + DATA_OCTETS;

const MARKER: [u8; 4] = *b"adit";
const DATA_OCTETS: usize = MARKER.len() + PROOF_OCTETS;

const TOS_CS6: u8 = 0xc0;

/// Makes the probes of one tunnel and knows their replies.
#[derive(Debug)]
pub(super) struct EchoCodec {
    source: IpAddr,
    target: IpAddr,
    tunnel_id: u32,
    mac: SipHash24,
}

impl EchoCodec {
    /// Probes from `source` to `target`, both inside the tunnel; `mac` is under a key of this run, and `tunnel_id` sets the
    /// tunnels that share it apart.
    pub(super) fn new(source: IpAddr, target: IpAddr, tunnel_id: u32, mac: SipHash24) -> Self {
        Self {
            source,
            target,
            tunnel_id,
            mac,
        }
    }

    /// TOS of a probe.
    pub(super) fn tos(&self) -> u8 {
        TOS_CS6
    }

    /// Where to.
    pub(super) fn target(&self) -> IpAddr {
        self.target
    }

    /// Writes probe `seq`, sent at `time_us` of a clock of the caller's, and returns its octets: 0 if the addresses are of
    /// different families. The message's own sequence number is the lower half of `seq`, its identifier that of the tunnel's.
    pub(super) fn request(
        &self,
        seq: u32,
        time_us: u32,
        out: &mut [u8; PROBE_OCTETS_MAX],
    ) -> usize {
        let proof = proof::make(&self.mac, self.tunnel_id, seq, time_us);
        let mut data = [0; DATA_OCTETS];
        for (place, octet) in data.iter_mut().zip(MARKER.into_iter().chain(proof)) {
            *place = octet;
        }
        let echo = Echo {
            is_request: true,
            source: self.source,
            destination: self.target,
            tos: TOS_CS6,
            identifier: lower_half(self.tunnel_id),
            sequence: lower_half(seq),
            data: &data,
        };
        echo.write(out)
    }

    /// Which of our probes an inner packet answers; `Ok(None)` means that it is a user's.
    ///
    /// # Errors
    /// * [`DropReason::KeepaliveMalformed`]: a checksum is wrong.
    /// * [`DropReason::KeepaliveStale`]: the digest is wrong: a reply to another tunnel or to an earlier run.
    #[inline]
    pub(super) fn answer(&self, inner: &[u8]) -> Result<Option<Answer>, DropReason> {
        match parse(inner) {
            Some((echo, proof))
                if !echo.is_request
                    && echo.source == self.target
                    && echo.destination == self.source =>
            {
                self.verify(inner, proof).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn verify(&self, inner: &[u8], proof: &[u8]) -> Result<Answer, DropReason> {
        if !inner::echo_is_intact(inner) {
            return Err(DropReason::KeepaliveMalformed);
        }
        proof::verify(&self.mac, self.tunnel_id, proof)
            .map(Answer::Sequence)
            .ok_or(DropReason::KeepaliveStale)
    }
}

/// Turns an inner packet that is the probe of an adit to one of `addresses`, ours inside the tunnel, into its reply, and says
/// whether it did; every other packet is left as it is, a user's echo request too.
///
/// `inner` is the packet and nothing behind it. It must have come authenticated, and the reply goes back through the tunnel that
/// it came from: it is as long as the probe and there is one for each.
#[inline]
pub fn answer(inner: &mut [u8], addresses: &[IpAddr]) -> bool {
    match parse(inner) {
        Some((echo, _)) if echo.is_request && addresses.contains(&echo.destination) => reply(inner),
        _ => false,
    }
}

fn reply(inner: &mut [u8]) -> bool {
    if !inner::echo_is_intact(inner) {
        return false;
    }
    let mut data = [0; DATA_OCTETS];
    let Some(request) = Echo::parse(inner, DATA_OCTETS) else {
        return false;
    };
    // Nobody is answered who cannot be one sender (RFC 1122 section 3.2.1.3).
    if request.source.is_unspecified() || request.source.is_multicast() {
        return false;
    }
    data.copy_from_slice(request.data);
    let reply = Echo {
        is_request: false,
        source: request.destination,
        destination: request.source,
        tos: request.tos,
        identifier: request.identifier,
        sequence: request.sequence,
        data: &data,
    };
    reply.write(inner) > 0
}

/// The probe or the reply to one that `inner` looks like, and what should be its proof.
#[inline]
fn parse(inner: &[u8]) -> Option<(Echo<'_>, &[u8])> {
    let echo = Echo::parse(inner, DATA_OCTETS)?;
    let proof = echo.data.strip_prefix(&MARKER)?;
    Some((echo, proof))
}

fn lower_half(number: u32) -> u16 {
    let [.., high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests;
