//! Traffic selectors: narrowed to what both ends want (RFC 7296 section 2.9), and as the data path asks for them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::esp::{Prefix, Selectors};
use crate::wire::ike::TrafficSelector;

/// The most selectors that a payload holds (RFC 7296 section 3.13).
pub const SELECTORS_MAX: usize = 255;
/// The most networks of one side that the data path looks through for a packet.
pub const PREFIXES_MAX: usize = 256;

/// What both sides select, in the order of the peer's; empty when nothing is common: TS_UNACCEPTABLE.
///
/// Every packet that a selector of ours and one of theirs take is taken by the result, so that the packet that the peer's first, specific
/// selector stands for (section 2.9) is too where our policy has it. A selector that another one holds is left out, and so is what goes
/// beyond [`SELECTORS_MAX`].
#[must_use]
pub fn narrow(ours: &[TrafficSelector], theirs: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let mut common: Vec<TrafficSelector> = Vec::new();
    for theirs in theirs {
        for ours in ours {
            let Some(both) = intersection(ours, theirs) else {
                continue;
            };
            if common.iter().any(|wider| holds(wider, &both)) {
                continue;
            }
            common.retain(|narrower| !holds(&both, narrower));
            if common.len() < SELECTORS_MAX {
                common.push(both);
            }
        }
    }
    common
}

/// Why the data path cannot hold a child SA to its selectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCarried {
    /// This one is of some ports only, or of another protocol than what the tunnel carries.
    Narrow(TrafficSelector),
    /// The ranges of one side are more than [`PREFIXES_MAX`] networks.
    Networks,
}

impl fmt::Display for NotCarried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Narrow(selector) => write!(f, "selector {selector} is not all that is carried"),
            Self::Networks => write!(f, "selectors of more than {PREFIXES_MAX} networks"),
        }
    }
}

impl std::error::Error for NotCarried {}

/// The selectors of both sides as the data path looks at them, which sees addresses only. `protocol` is what all packets of the tunnel
/// are of: 47 where it carries GRE, 0 where it may be anything.
///
/// # Errors
/// [`NotCarried`].
pub fn for_esp(
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
    protocol: u8,
) -> Result<Selectors, NotCarried> {
    Ok(Selectors::new(
        networks(local, protocol)?,
        networks(remote, protocol)?,
    ))
}

fn networks(selectors: &[TrafficSelector], protocol: u8) -> Result<Vec<Prefix>, NotCarried> {
    let mut all = Vec::new();
    for selector in selectors {
        let every_port = selector.start_port == 0 && selector.end_port == u16::MAX;
        if !every_port || ![0, protocol].contains(&selector.protocol) {
            return Err(NotCarried::Narrow(*selector));
        }
        all.extend(prefixes(selector.start, selector.end));
        if all.len() > PREFIXES_MAX {
            return Err(NotCarried::Networks);
        }
    }
    Ok(all)
}

/// The networks that a range of addresses is made of, from its start on: at most 62 of IPv4 and 254 of IPv6, none for a range of two
/// families or one that ends before it starts.
#[must_use]
pub fn prefixes(start: IpAddr, end: IpAddr) -> Vec<Prefix> {
    let (start, end, width) = match (start, end) {
        (IpAddr::V4(start), IpAddr::V4(end)) => {
            (start.to_bits().into(), end.to_bits().into(), Ipv4Addr::BITS)
        }
        (IpAddr::V6(start), IpAddr::V6(end)) => (start.to_bits(), end.to_bits(), Ipv6Addr::BITS),
        _ => return Vec::new(),
    };
    let mut networks = Vec::new();
    let mut next = (start <= end).then_some(start);
    while let Some(first) = next {
        let (host_bits, last) = largest(first, end, width);
        let length = u8::try_from(width - host_bits).unwrap_or(u8::MAX);
        networks.push(Prefix::new(address(first, width), length));
        next = last.checked_add(1).filter(|next| *next <= end);
    }
    networks
}

/// The host bits and the last address of the largest network that begins at `first` and ends at `end` or before.
fn largest(first: u128, end: u128, width: u32) -> (u32, u128) {
    let last_of = |host_bits: u32| match host_bits {
        0 => first,
        bits => first | (u128::MAX >> (u128::BITS - bits)),
    };
    let mut host_bits = first.trailing_zeros().min(width);
    while host_bits > 0 && last_of(host_bits) > end {
        host_bits -= 1;
    }
    (host_bits, last_of(host_bits))
}

fn address(bits: u128, width: u32) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) if width == Ipv4Addr::BITS => Ipv4Addr::from_bits(bits).into(),
        _ => Ipv6Addr::from_bits(bits).into(),
    }
}

fn intersection(a: &TrafficSelector, b: &TrafficSelector) -> Option<TrafficSelector> {
    let protocol = match (a.protocol, b.protocol) {
        (0, protocol) | (protocol, 0) => protocol,
        (a, b) => (a == b).then_some(a)?,
    };
    let (start_port, end_port) = ports(a, b)?;
    let is_one_family = [b.start, a.end, b.end]
        .iter()
        .all(|address| address.is_ipv4() == a.start.is_ipv4());
    let (start, end) = (a.start.max(b.start), a.end.min(b.end));
    (is_one_family && start <= end).then_some(TrafficSelector {
        protocol,
        start_port,
        end_port,
        start,
        end,
    })
}

/// The ports of both. Every port takes in OPAQUE: packets whose ports are not seen (RFC 7296 section 3.13.1).
fn ports(a: &TrafficSelector, b: &TrafficSelector) -> Option<(u16, u16)> {
    let is_every =
        |selector: &TrafficSelector| (selector.start_port, selector.end_port) == (0, u16::MAX);
    let is_opaque = |selector: &TrafficSelector| selector.start_port > selector.end_port;
    if is_opaque(a) || is_opaque(b) {
        let accepts = |selector: &TrafficSelector| is_every(selector) || selector.is_opaque();
        return (accepts(a) && accepts(b)).then_some((u16::MAX, 0));
    }
    let (start, end) = (a.start_port.max(b.start_port), a.end_port.min(b.end_port));
    (start <= end).then_some((start, end))
}

/// Whether each of `narrow` is taken whole by one of `wide`.
pub(crate) fn cover(wide: &[TrafficSelector], narrow: &[TrafficSelector]) -> bool {
    let is_held = |narrow: &TrafficSelector| wide.iter().any(|wide| holds(wide, narrow));
    narrow.iter().all(is_held)
}

/// Whether `wide` takes every packet that `narrow` takes.
fn holds(wide: &TrafficSelector, narrow: &TrafficSelector) -> bool {
    intersection(wide, narrow).as_ref() == Some(narrow)
}

#[cfg(test)]
mod tests;
