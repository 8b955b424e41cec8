//! Traffic selectors (RFC 7296 section 3.13).
//!
//! `type 1 | IP protocol 1 | length 2 | start port 2 | end port 2 | start address 4 or 16 | end address 4 or 16`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::malformed::{Malformed, Reader, Why};

const IPV4_RANGE: u8 = 7;
const IPV6_RANGE: u8 = 8;
const HEADER_OCTETS: usize = 8;
const SELECTORS_MAX: usize = 255;

/// A range of addresses, a protocol and a range of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrafficSelector {
    /// IP's number of the protocol, 0 for any.
    pub protocol: u8,
    /// The first port; with ICMP the type and the code.
    pub start_port: u16,
    /// The last port; less than the first only for OPAQUE (65535 to 0): packets whose ports cannot be seen.
    pub end_port: u16,
    /// The first address.
    pub start: IpAddr,
    /// The last address, of the same family and not less.
    pub end: IpAddr,
}

impl TrafficSelector {
    /// All of a range of addresses that belongs to a protocol (0 for any), on every port.
    #[must_use]
    pub const fn new(protocol: u8, start: IpAddr, end: IpAddr) -> Self {
        Self {
            protocol,
            start_port: 0,
            end_port: u16::MAX,
            start,
            end,
        }
    }

    /// Whether it selects only packets whose ports cannot be seen.
    #[must_use]
    pub const fn is_opaque(&self) -> bool {
        self.start_port == u16::MAX && self.end_port == 0
    }

    /// How many bits the addresses of its range share, when the range is exactly those that share them.
    fn prefix_bits(&self) -> Option<u32> {
        let (start, end, width) = match (self.start, self.end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => (
                u128::from(start.to_bits()),
                u128::from(end.to_bits()),
                Ipv4Addr::BITS,
            ),
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                (start.to_bits(), end.to_bits(), Ipv6Addr::BITS)
            }
            _ => return None,
        };
        let differ = start ^ end;
        let is_prefix = differ & differ.wrapping_add(1) == 0 && start & differ == 0;
        is_prefix.then(|| width - (u128::BITS - differ.leading_zeros()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, addresses) = match (self.start, self.end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => {
                (IPV4_RANGE, [start.octets(), end.octets()].concat())
            }
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                (IPV6_RANGE, [start.octets(), end.octets()].concat())
            }
            _ => return,
        };
        let octets = if kind == IPV4_RANGE { 8 } else { 32 };
        out.extend([kind, self.protocol, 0]);
        out.push(octets + 8);
        out.extend(self.start_port.to_be_bytes());
        out.extend(self.end_port.to_be_bytes());
        out.extend(addresses);
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_bits() {
            Some(bits) => write!(f, "{}/{bits}", self.start)?,
            None => write!(f, "{}-{}", self.start, self.end)?,
        }
        let is_every_port = self.start_port == 0 && self.end_port == u16::MAX;
        if self.protocol == 0 && is_every_port {
            return Ok(());
        }
        f.write_str("[")?;
        match self.protocol {
            0 => f.write_str("any")?,
            1 => f.write_str("icmp")?,
            4 => f.write_str("ipip")?,
            6 => f.write_str("tcp")?,
            17 => f.write_str("udp")?,
            41 => f.write_str("ipv6")?,
            47 => f.write_str("gre")?,
            58 => f.write_str("ipv6-icmp")?,
            other => write!(f, "{other}")?,
        }
        if self.is_opaque() {
            f.write_str("/OPAQUE")?;
        } else if self.start_port == self.end_port {
            write!(f, "/{}", self.start_port)?;
        } else if !is_every_port {
            write!(f, "/{}-{}", self.start_port, self.end_port)?;
        }
        f.write_str("]")
    }
}

/// The selectors of a payload's body; those of a type that is not known here are passed over, since they select nothing that this end carries.
pub(super) fn parse(mut reader: Reader<'_>) -> Result<Vec<TrafficSelector>, Malformed> {
    let at_count = reader;
    let [count, _, _, _] = reader.array()?;
    let count = at_count.bounded("selectors", usize::from(count), 1, SELECTORS_MAX)?;
    let mut selectors = Vec::new();
    for _ in 0..count {
        selectors.extend(one(&mut reader)?);
    }
    reader.end()?;
    Ok(selectors)
}

/// A payload's body; a selector of two families, or behind the 255th, is left out.
pub(super) fn body(selectors: &[TrafficSelector]) -> Vec<u8> {
    let mut written = Vec::new();
    let mut count = 0_u8;
    for selector in selectors {
        let is_writable = selector.start.is_ipv4() == selector.end.is_ipv4();
        if is_writable && let Some(next) = count.checked_add(1) {
            count = next;
            selector.write(&mut written);
        }
    }
    [&[count, 0, 0, 0], written.as_slice()].concat()
}

fn one(reader: &mut Reader<'_>) -> Result<Option<TrafficSelector>, Malformed> {
    let mut within = reader.peek("traffic selector");
    let [kind, protocol] = within.array()?;
    let at_length = within;
    let length = usize::from(within.u16()?);
    let (least, most) = match kind {
        IPV4_RANGE => (HEADER_OCTETS + 8, HEADER_OCTETS + 8),
        IPV6_RANGE => (HEADER_OCTETS + 32, HEADER_OCTETS + 32),
        _ => (4, usize::from(u16::MAX)),
    };
    at_length.bounded("length", length, least, most)?;
    let mut within = reader.sub("traffic selector", length)?;
    within.take(4)?;
    if kind != IPV4_RANGE && kind != IPV6_RANGE {
        return Ok(None);
    }
    let at_ports = within;
    let (start_port, end_port) = (within.u16()?, within.u16()?);
    let at_addresses = within;
    let (start, end) = if kind == IPV4_RANGE {
        (v4(&mut within)?, v4(&mut within)?)
    } else {
        (v6(&mut within)?, v6(&mut within)?)
    };
    let selector = TrafficSelector {
        protocol,
        start_port,
        end_port,
        start,
        end,
    };
    if start > end {
        return Err(at_addresses.error(Why::Reversed("the range of addresses")));
    }
    if start_port > end_port && !selector.is_opaque() {
        return Err(at_ports.error(Why::Reversed("the range of ports")));
    }
    Ok(Some(selector))
}

fn v4(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    reader.u32().map(|bits| Ipv4Addr::from_bits(bits).into())
}

fn v6(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    let octets: [u8; 16] = reader.array()?;
    Ok(Ipv6Addr::from(octets).into())
}
