//! Answers the peer's keepalive requests, and nobody else's.
//!
//! A request is a GRE packet whose payload is a GRE packet back to its sender, with an empty or short body. The answer is that
//! inner packet. Four rules keep this from being a reflector: the outer source is a configured peer (the caller's table); the
//! answer goes to that peer and nowhere else; it is never longer than what came in and carries no packet that anyone would
//! forward; and a rate bounds it. Inner addresses other than the outer ones exchanged are answered only where the configuration
//! lists them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Path;
use crate::counters::DropReason;
use crate::wire::gre;
use crate::wire::ip::{self, Ip};

/// GRE protocol type under which some firewalls send their requests; the body is the same IPv4 packet.
const PROTOCOL_FOUR: u16 = 0x0004;

/// The longest payload of a keepalive.
const PAYLOAD_OCTETS_MAX: usize = 64;

/// Octets of the longest answer: IPv6 header, GRE header, payload.
pub const REPLY_OCTETS_MAX: usize = 40 + gre::MAX_OCTETS + PAYLOAD_OCTETS_MAX;

/// A request that departs from the usual form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The outer GRE protocol type is 0x0004.
    OuterProtocolFour,
    /// The inner GRE protocol type is 0x86dd.
    InnerProtocolIpv6,
    /// The inner destination is not the peer's outer address, as from a peer behind NAT.
    PeerAddress,
    /// The inner source is not our outer address, as towards us behind NAT.
    LocalAddress,
    /// Neither inner address is an outer one; they may be those of the tunnel's interfaces.
    TunnelAddresses,
}

impl Dialect {
    /// Every dialect, in the order in which it is shown.
    pub const ALL: &[Self] = &[
        Self::OuterProtocolFour,
        Self::InnerProtocolIpv6,
        Self::PeerAddress,
        Self::LocalAddress,
        Self::TunnelAddresses,
    ];

    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OuterProtocolFour => "outer_protocol_4",
            Self::InnerProtocolIpv6 => "inner_protocol_86dd",
            Self::PeerAddress => "peer_address",
            Self::LocalAddress => "local_address",
            Self::TunnelAddresses => "tunnel_addresses",
        }
    }
}

/// How an answer goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    AsItIs,
    /// With the outer addresses in place of inner ones that have no meaning outside the peer's NAT or ours.
    Readdressed,
    /// As a packet of the tunnel, because its addresses are inside.
    Tunnelled,
}

/// The answer to a request, as part of the request's GRE payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    octets: usize,
    way: Way,
}

impl Reply {
    /// Octets of the answer, an IP packet; never more than the GRE payload that it answers.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Whether the answer is to be encapsulated again, under the protocol type of the request, instead of sent as it is.
    #[must_use]
    pub fn is_tunnelled(&self) -> bool {
        self.way == Way::Tunnelled
    }

    /// Writes the answer to `request`, the GRE payload it was made for, and returns its octets: 0 when `out` is shorter.
    pub fn write(&self, path: Path, request: &[u8], out: &mut [u8]) -> usize {
        let (Some(inner), Some(out)) = (request.get(..self.octets), out.get_mut(..self.octets))
        else {
            return 0;
        };
        out.copy_from_slice(inner);
        if self.way == Way::Readdressed
            && let Ok(ip) = Ip::parse(inner)
        {
            ip::write_header(out, &readdressed(&ip, path));
        }
        self.octets
    }
}

/// What a GRE packet is to the answerer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A user's packet.
    No,
    /// A request to answer.
    Yes {
        /// The answer.
        reply: Reply,
        /// How the request departs from the usual form.
        dialect: Option<Dialect>,
    },
    /// A request whose inner addresses are neither the outer ones exchanged nor accepted.
    Foreign(Dialect),
    /// A packet back to its sender that is no well-formed keepalive: a wrong header, or a packet inside that would be forwarded.
    Malformed,
}

/// Whether the GRE packet that came over `path` is a keepalive request; `body` is its payload, and `accept_inner` lists the
/// inner addresses that are accepted in place of the outer ones.
#[must_use]
pub fn classify_request(
    path: Path,
    header: &gre::Header,
    body: &[u8],
    accept_inner: &[IpAddr],
) -> Request {
    let Some((source, destination)) = gre_addresses(header.protocol, body) else {
        return Request::No;
    };
    let is_exchanged = source == path.local && destination == path.remote;
    let (octets, protocol) = match keepalive(header.protocol, body) {
        Some(found) => found,
        None if is_exchanged => return Request::Malformed,
        None => return Request::No,
    };
    let dialect = if is_exchanged {
        match (header.protocol, protocol) {
            (PROTOCOL_FOUR, _) => Some(Dialect::OuterProtocolFour),
            (_, gre::PROTOCOL_IPV6) => Some(Dialect::InnerProtocolIpv6),
            _ => None,
        }
    } else if source == path.local {
        Some(Dialect::PeerAddress)
    } else if destination == path.remote {
        Some(Dialect::LocalAddress)
    } else {
        Some(Dialect::TunnelAddresses)
    };
    let is_accepted = (source == path.local || accept_inner.contains(&source))
        && (destination == path.remote || accept_inner.contains(&destination));
    let way = match dialect {
        Some(dialect) if !is_accepted => return Request::Foreign(dialect),
        Some(Dialect::TunnelAddresses) => Way::Tunnelled,
        Some(Dialect::PeerAddress | Dialect::LocalAddress) => Way::Readdressed,
        Some(Dialect::OuterProtocolFour | Dialect::InnerProtocolIpv6) | None => Way::AsItIs,
    };
    let reply = Reply { octets, way };
    Request::Yes { reply, dialect }
}

/// The header of `ip`, which has no options, with the outer addresses.
fn readdressed(ip: &Ip<'_>, path: Path) -> ip::OuterHeader {
    ip::OuterHeader {
        source: path.local,
        destination: path.remote,
        protocol: ip.protocol(),
        tos: ip.tos(),
        ttl: ip.ttl(),
        df: ip.df(),
        payload_octets: u16::try_from(ip.payload().len()).unwrap_or(u16::MAX),
        id: match ip {
            Ip::V4 { header, .. } => u16::from_be_bytes([header[4], header[5]]),
            Ip::V6 { .. } => 0,
        },
    }
}

/// The addresses of the packet in `body`, if its header has protocol 47 where the protocol type puts it.
#[inline]
fn gre_addresses(protocol: u16, body: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match protocol {
        gre::PROTOCOL_IPV4 | PROTOCOL_FOUR if body.get(9) == Some(&gre::IP_PROTOCOL) => {
            let source: [u8; 4] = body.get(12..16)?.try_into().ok()?;
            let destination: [u8; 4] = body.get(16..20)?.try_into().ok()?;
            Some((source.into(), destination.into()))
        }
        gre::PROTOCOL_IPV6 if body.get(6) == Some(&gre::IP_PROTOCOL) => {
            let source: [u8; 16] = body.get(8..24)?.try_into().ok()?;
            let destination: [u8; 16] = body.get(24..40)?.try_into().ok()?;
            Some((source.into(), destination.into()))
        }
        _ => None,
    }
}

/// Total octets of the well-formed keepalive in `body`, of the IP version that `protocol` says, and its GRE protocol type.
fn keepalive(protocol: u16, body: &[u8]) -> Option<(usize, u16)> {
    let ip = Ip::parse(body).ok()?;
    let is_of_version = (ip.version() == 6) == (protocol == gre::PROTOCOL_IPV6);
    let has_options = matches!(ip, Ip::V4 { options, .. } if !options.is_empty());
    if ip.protocol() != gre::IP_PROTOCOL
        || !is_of_version
        || has_options
        || ip.is_fragment()
        || !ip.checksum_is_valid()
    {
        return None;
    }
    let header = gre::parse(ip.payload()).ok()?;
    let payload = ip.payload().get(header.octets..)?;
    let is_keepalive = matches!(
        header.protocol,
        gre::PROTOCOL_KEEPALIVE | gre::PROTOCOL_IPV6
    );
    let is_harmless = payload.len() <= PAYLOAD_OCTETS_MAX && Ip::parse(payload).is_err();
    (is_keepalive && is_harmless).then_some((ip.total_octets(), header.protocol))
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    interval: Duration,
    tolerance: Duration,
    /// When the bucket is full again.
    full: Option<Instant>,
}

impl RateLimit {
    /// At most `burst` at once and `per_second` in the long run, each at least 1.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            tolerance: interval * burst.saturating_sub(1),
            full: None,
        }
    }

    /// Takes one token, if there is one.
    pub fn is_within(&mut self, now: Instant) -> bool {
        let full = self.full.map_or(now, |full| full.max(now));
        let is_within = full.saturating_duration_since(now) <= self.tolerance;
        if is_within {
            self.full = Some(full + self.interval);
        }
        is_within
    }
}

impl Default for RateLimit {
    /// A burst of 20, then 10 a second: twice the requests of the shortest period in a burst, all of them in the long run.
    fn default() -> Self {
        Self::new(20, 10)
    }
}

/// The answering side of one tunnel. It does not depend on whether the tunnel sends requests itself.
#[derive(Debug)]
pub struct Answerer {
    is_enabled: bool,
    accept_inner: Vec<IpAddr>,
    rate: RateLimit,
    dialects: [u64; Dialect::ALL.len()],
}

impl Answerer {
    /// An answerer that answers if `is_enabled`, at the default rate, and accepts `accept_inner` in place of the outer addresses.
    #[must_use]
    pub fn new(is_enabled: bool, accept_inner: Vec<IpAddr>) -> Self {
        Self {
            is_enabled,
            accept_inner,
            rate: RateLimit::default(),
            dialects: [0; Dialect::ALL.len()],
        }
    }

    /// Takes a GRE packet that came over `path`, before its payload is looked at as a user's: `Ok(None)` means that it is one. A
    /// request between addresses that are all inside the tunnel is counted as a dialect and left to the user too, since it may
    /// be the answer to a tunnel inside this one.
    ///
    /// # Errors
    /// * [`DropReason::KeepaliveMalformed`]: see [`Request::Malformed`].
    /// * [`DropReason::KeepaliveForeign`]: one inner address is an outer one, the other neither that nor accepted.
    /// * [`DropReason::KeepaliveUnanswered`]: answering is switched off.
    /// * [`DropReason::KeepaliveRate`]: more requests than the rate allows.
    #[inline]
    pub fn handle_request(
        &mut self,
        now: Instant,
        path: Path,
        header: &gre::Header,
        body: &[u8],
    ) -> Result<Option<Reply>, DropReason> {
        match classify_request(path, header, body, &self.accept_inner) {
            Request::No => Ok(None),
            Request::Malformed => Err(DropReason::KeepaliveMalformed),
            Request::Foreign(dialect) => {
                self.count(dialect);
                if dialect == Dialect::TunnelAddresses {
                    return Ok(None);
                }
                Err(DropReason::KeepaliveForeign)
            }
            Request::Yes { reply, dialect } => {
                if let Some(dialect) = dialect {
                    self.count(dialect);
                }
                if !self.is_enabled {
                    return Err(DropReason::KeepaliveUnanswered);
                }
                if !self.rate.is_within(now) {
                    return Err(DropReason::KeepaliveRate);
                }
                Ok(Some(reply))
            }
        }
    }

    /// Name and count of each dialect that the peer spoke.
    pub fn dialects(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Dialect::ALL
            .iter()
            .zip(self.dialects)
            .filter(|&(_, count)| count > 0)
            .map(|(dialect, count)| (dialect.name(), count))
    }

    fn count(&mut self, dialect: Dialect) {
        if let Some(count) = self.dialects.get_mut(dialect as usize) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests;
