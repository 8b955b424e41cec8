//! What a server assigns to its client: Mode Config, with the routers' own attributes (draft-dukes-ike-mode-cfg-02 section 3).

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::shown::is_shown;
use crate::wire::ike::TrafficSelector;
use crate::wire::isakmp::attribute::{config, unity};
use crate::wire::isakmp::{Attribute, Value};

/// Name servers that are kept.
const SERVERS_MAX: usize = 8;
/// Other gateways that are kept.
const BACKUPS_MAX: usize = 16;
/// Networks that are kept, of each kind.
const NETWORKS_MAX: usize = 256;
/// Characters of a banner that are kept.
const BANNER_CHARACTERS_MAX: usize = 2048;
/// Octets of the longest name of a host or a domain (RFC 1035 section 2.3.4).
const NAME_OCTETS_MAX: usize = 253;
/// A network of the routers: `address 4 | mask 4 | protocol 2 | source port 2 | destination port 2`.
const ROUTER_ENTRY_OCTETS: usize = 14;
/// A network of other servers: `address 4 | mask 4`.
const SHORT_ENTRY_OCTETS: usize = 8;

/// What the server assigns and tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// INTERNAL_IP4_ADDRESS: ours in the tunnel.
    pub address: Option<Ipv4Addr>,
    /// INTERNAL_IP6_ADDRESS.
    pub address_ipv6: Option<Ipv6Addr>,
    /// Name servers, at most eight.
    pub dns: Vec<IpAddr>,
    /// INTERNAL_ADDRESS_EXPIRY: for how many seconds the addresses are ours.
    pub expiry_seconds: Option<u32>,
    /// INTERNAL_IP4_SUBNET: networks behind the server.
    pub subnets: Vec<TrafficSelector>,
    /// Networks that are reached through the tunnel; all are when there is none.
    pub split_include: Vec<TrafficSelector>,
    /// Networks that are reached beside the tunnel.
    pub split_exclude: Vec<TrafficSelector>,
    /// The domain of names without one.
    pub default_domain: Option<String>,
    /// Domains that the name servers of the tunnel answer for.
    pub split_dns: Vec<String>,
    /// A text for people, without control characters but line ends.
    pub banner: Option<String>,
    /// Whether the password may be kept by the client.
    pub save_password: Option<bool>,
    /// Whether quick mode has to have a key exchange of its own.
    pub pfs: Option<bool>,
    /// Other servers to try, by address or name, in the order of the server.
    pub backup_servers: Vec<String>,
}

/// An attribute that assigns something of another length or form than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAttribute {
    /// Its type.
    pub kind: u16,
    /// Octets of its value.
    pub octets: usize,
}

impl fmt::Display for BadAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, octets } = self;
        write!(
            f,
            "Mode Config attribute {kind} of {octets} octets cannot be read"
        )
    }
}

impl Error for BadAttribute {}

/// What a client asks for: nothing but types. Without `wants_address`, in network extension mode, no address is asked for.
#[must_use]
pub fn request(wants_address: bool) -> Vec<Attribute<'static>> {
    let address: &[u16] = &[
        config::IP4_ADDRESS,
        config::IP4_NETMASK,
        config::ADDRESS_EXPIRY,
    ];
    let rest: &[u16] = &[
        config::IP4_DNS,
        unity::BANNER,
        unity::SAVE_PASSWORD,
        unity::DEFAULT_DOMAIN,
        unity::SPLIT_DNS,
        unity::SPLIT_INCLUDE,
        unity::SPLIT_EXCLUDE,
        unity::PFS,
        unity::BACKUP_SERVERS,
    ];
    let address = if wants_address { address } else { &[] };
    let kinds = [address, rest].concat().into_iter();
    kinds.map(|kind| Attribute::long(kind, &[])).collect()
}

impl Assigned {
    /// What a reply or a set message assigns. Empty attributes and types that are not known are passed over; what goes beyond a bound is
    /// left out.
    ///
    /// # Errors
    /// [`BadAttribute`] for an address or a network that is none. A text that cannot be read is left out.
    pub fn read(attributes: &[Attribute<'_>]) -> Result<Self, BadAttribute> {
        let mut assigned = Self::default();
        for attribute in attributes {
            assigned.take(attribute)?;
        }
        Ok(assigned)
    }

    fn take(&mut self, attribute: &Attribute<'_>) -> Result<(), BadAttribute> {
        let octets = match attribute.value {
            Value::Short(value) => &value.to_be_bytes()[..],
            Value::Long([]) => return Ok(()),
            Value::Long(octets) => octets,
        };
        let bad = BadAttribute {
            kind: attribute.kind,
            octets: octets.len(),
        };
        let number = attribute.value.number();
        match attribute.kind {
            config::IP4_ADDRESS => {
                let address = ipv4(octets).filter(|address| is_host((*address).into()));
                self.address = Some(address.ok_or(bad)?);
            }
            config::IP6_ADDRESS => {
                // An address, or one with the length of its prefix.
                let address = octets.first_chunk::<16>().filter(|_| octets.len() <= 17);
                let address = address.map(|octets| Ipv6Addr::from(*octets));
                let address = address.filter(|address| is_host((*address).into()));
                self.address_ipv6 = Some(address.ok_or(bad)?);
            }
            config::IP4_DNS => {
                let servers = list(octets, ipv4).ok_or(bad)?.into_iter();
                let servers = servers.map(IpAddr::V4).filter(|server| is_host(*server));
                extend(&mut self.dns, servers, SERVERS_MAX);
            }
            config::IP6_DNS => {
                let server = <[u8; 16]>::try_from(octets).map_err(|_| bad)?;
                let server = Some(server.into()).filter(|server| is_host(*server));
                extend(&mut self.dns, server, SERVERS_MAX);
            }
            config::ADDRESS_EXPIRY => {
                self.expiry_seconds = number.and_then(|seconds| u32::try_from(seconds).ok());
            }
            config::IP4_SUBNET => networks(&mut self.subnets, octets).ok_or(bad)?,
            unity::SPLIT_INCLUDE => networks(&mut self.split_include, octets).ok_or(bad)?,
            unity::SPLIT_EXCLUDE => networks(&mut self.split_exclude, octets).ok_or(bad)?,
            unity::SAVE_PASSWORD => self.save_password = number.map(|number| number != 0),
            unity::PFS => self.pfs = number.map(|number| number != 0),
            unity::BANNER => self.banner = banner(octets),
            unity::DEFAULT_DOMAIN => self.default_domain = names(octets).into_iter().next(),
            unity::SPLIT_DNS => extend(&mut self.split_dns, names(octets), NETWORKS_MAX),
            unity::BACKUP_SERVERS => {
                extend(&mut self.backup_servers, servers(octets), BACKUPS_MAX);
            }
            _ => {}
        }
        Ok(())
    }
}

fn extend<T: PartialEq>(all: &mut Vec<T>, more: impl IntoIterator<Item = T>, most: usize) {
    for one in more {
        if all.len() < most && !all.contains(&one) {
            all.push(one);
        }
    }
}

/// Whether it may be an address of one interface that others reach: neither loopback nor multicast, nor of a range that no host has
/// (0.0.0.0/8, 240.0.0.0/4).
#[must_use]
pub const fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first != 0 && first < 224 && !address.is_loopback()
        }
        IpAddr::V6(address) => {
            !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
        }
    }
}

fn ipv4(octets: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

fn list<T>(octets: &[u8], read: fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
    octets.chunks(4).map(read).collect()
}

fn prefix_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (bits.count_ones() == ones)
        .then_some(ones)
        .and_then(|ones| u8::try_from(ones).ok())
}

/// Appends networks, in entries of the routers or of other servers; none when they are of neither.
fn networks(all: &mut Vec<TrafficSelector>, octets: &[u8]) -> Option<()> {
    let of = |entry_octets: usize, read: fn(&[u8]) -> Option<TrafficSelector>| {
        octets
            .chunks(entry_octets)
            .map(read)
            .collect::<Option<Vec<_>>>()
    };
    let read = of(ROUTER_ENTRY_OCTETS, router_entry).or_else(|| of(SHORT_ENTRY_OCTETS, network))?;
    extend(all, read, NETWORKS_MAX);
    Some(())
}

fn router_entry(entry: &[u8]) -> Option<TrafficSelector> {
    let (network_octets, rest) = entry.split_at_checked(SHORT_ENTRY_OCTETS)?;
    let rest = <[u8; ROUTER_ENTRY_OCTETS - SHORT_ENTRY_OCTETS]>::try_from(rest).ok()?;
    let [high, low, _, _, port_high, port_low] = rest;
    // The protocol stands in the second of its two octets, and with some servers in the first.
    let protocol = match (high, low) {
        (protocol, 0) | (0, protocol) => protocol,
        _ => return None,
    };
    let (start_port, end_port) = match u16::from_be_bytes([port_high, port_low]) {
        0 => (0, u16::MAX),
        port => (port, port),
    };
    Some(TrafficSelector {
        protocol,
        start_port,
        end_port,
        ..network(network_octets)?
    })
}

fn network(entry: &[u8]) -> Option<TrafficSelector> {
    let (address, mask) = entry.split_at_checked(4)?;
    let (address, mask) = (ipv4(address)?, ipv4(mask)?);
    prefix_length(mask)?;
    let first = address & mask;
    let last = first | !mask;
    Some(TrafficSelector::new(0, first.into(), last.into()))
}

fn banner(octets: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(octets);
    let shown = text.chars().filter(|c| *c == '\n' || is_shown(*c));
    let shown: String = shown.take(BANNER_CHARACTERS_MAX).collect();
    (!shown.is_empty()).then_some(shown)
}

/// Names of hosts or domains: what stands between commas, blanks and zero octets. Others are left out.
fn names(octets: &[u8]) -> Vec<String> {
    let parts = octets.split(|octet| matches!(octet, b',' | b' ' | 0));
    let is_name = |part: &&[u8]| {
        (1..=NAME_OCTETS_MAX).contains(&part.len())
            && part
                .iter()
                .all(|octet| octet.is_ascii_alphanumeric() || b"-._:".contains(octet))
    };
    let texts = parts.filter(is_name).map(<[u8]>::to_vec);
    texts
        .filter_map(|part| String::from_utf8(part).ok())
        .collect()
}

/// Servers in text, each with a dot or a colon in it, or addresses of four octets.
fn servers(octets: &[u8]) -> Vec<String> {
    let texts = names(octets);
    let is_text = octets.is_ascii()
        && !texts.is_empty()
        && texts.iter().all(|text| text.contains(['.', ':']));
    if is_text {
        return texts;
    }
    let addresses = list(octets, ipv4).unwrap_or_default().into_iter();
    addresses
        .filter(|address| !address.is_unspecified())
        .map(|address| address.to_string())
        .collect()
}
