//! Routes of the main table, and the kernel's own answer to "which way".

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink's enumerations grow with the kernel"
)]

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
    RouteNextHopFlags, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::address::{Prefix, family_of};
use super::netlink::{Netlink, NetlinkError};
use super::raw::Family;

/// The protocol number under which adit installs routes, by which it finds its own again.
pub const ROUTE_PROTOCOL: u8 = 0xad;

/// The worst metric there is: any other route to the same network wins.
const GUARD_METRIC: u32 = u32::MAX;
/// Any other route to the same network but a guard wins.
const BESIDE_METRIC: u32 = u32::MAX - 1;
/// What a peer asked for: a route of the host's own to the same network wins.
const LEARNED_METRIC: u32 = u32::MAX - 2;

/// What happens to a packet that a route matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// It is forwarded.
    #[default]
    Unicast,
    /// It is dropped and its sender told so (ICMP host unreachable).
    Unreachable,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it matches; host bits must be zero.
    pub destination: Prefix,
    /// What it does.
    pub kind: RouteKind,
    /// Interface index; of several the first that works.
    pub interface: Option<u32>,
    /// Next hop; for IPv4 one of IPv6 too (RFC 5549).
    pub gateway: Option<IpAddr>,
    /// Source address for packets that have none yet.
    pub source: Option<IpAddr>,
    /// Metric: the lowest of equal prefixes wins. None: the kernel's default (0 for IPv4, 1024 for IPv6).
    pub metric: Option<u32>,
    /// MTU of the path in octets, when it is not the interface's.
    pub mtu: Option<u32>,
    /// Who installed it (`ip route … proto`).
    pub protocol: u8,
}

impl Route {
    /// A route of ours through an interface.
    pub fn through(destination: Prefix, interface: u32) -> Self {
        Self {
            destination,
            kind: RouteKind::Unicast,
            interface: Some(interface),
            gateway: None,
            source: None,
            metric: None,
            mtu: None,
            protocol: ROUTE_PROTOCOL,
        }
    }

    /// A guard of ours: packets to `destination` are refused when no other route takes them.
    pub fn guard(destination: Prefix) -> Self {
        Self {
            destination,
            kind: RouteKind::Unreachable,
            interface: None,
            gateway: None,
            source: None,
            metric: Some(GUARD_METRIC),
            mtu: None,
            protocol: ROUTE_PROTOCOL,
        }
    }

    /// A route of ours through an interface to a network that the peer named, for packets from `source` where they have no address
    /// yet: it replaces none of the host's own.
    pub fn learned(destination: Prefix, interface: u32, source: Option<IpAddr>) -> Self {
        Self {
            metric: Some(LEARNED_METRIC),
            source,
            ..Self::through(destination, interface)
        }
    }

    /// A route of ours to `destination` by the way of another route, so that it is not drawn into a tunnel.
    pub fn beside(destination: Prefix, way: &Self) -> Self {
        Self {
            destination,
            metric: Some(BESIDE_METRIC),
            protocol: ROUTE_PROTOCOL,
            ..way.clone()
        }
    }

    /// Whether it keeps what an adit made it for beside a tunnel.
    pub fn is_beside(&self) -> bool {
        self.kind == RouteKind::Unicast
            && self.metric == Some(BESIDE_METRIC)
            && self.protocol == ROUTE_PROTOCOL
    }

    /// Whether it is a guard of an adit.
    pub fn is_guard(&self) -> bool {
        self.kind == RouteKind::Unreachable
            && self.metric == Some(GUARD_METRIC)
            && self.protocol == ROUTE_PROTOCOL
    }
}

/// Which routes to list; None means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteFilter {
    /// Address family.
    pub family: Option<Family>,
    /// Interface index.
    pub interface: Option<u32>,
    /// Protocol number.
    pub protocol: Option<u8>,
}

/// The way that the kernel takes to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTo {
    /// Index of the interface by which packets leave.
    pub interface: u32,
    /// Source address that the kernel would choose (the one asked with, if any).
    pub source: IpAddr,
    /// Next hop; None when the address is on the link.
    pub gateway: Option<IpAddr>,
    /// MTU of the path in octets: the smaller of the interface's and the route's. What the kernel learned from ICMP is left out:
    /// it believes messages that quote no key, or an echo request that never was.
    pub mtu: u32,
    /// The address is one of this host's own.
    pub local: bool,
}

impl Netlink {
    /// Adds a route; EEXIST when there is one of the same destination and metric.
    pub fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.new_route(route, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a route or replaces the one of the same destination and metric.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.new_route(route, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Removes the route with the same destination, interface, metric and protocol; ESRCH when there is none.
    pub fn remove_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.change(
            || format!("remove route {}", route.destination),
            RouteNetlinkMessage::DelRoute(message_of(route)),
            0,
        )
    }

    /// As [`Self::remove_route`], but one that is gone already is removed.
    pub fn remove_route_if_there(&mut self, route: &Route) -> Result<(), NetlinkError> {
        match self.remove_route(route) {
            Err(error) if error.errno() == Errno::SRCH => Ok(()),
            result => result,
        }
    }

    /// The unicast and unreachable routes of the main table that fit the filter.
    pub fn routes(&mut self, filter: RouteFilter) -> Result<Vec<Route>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = match filter.family {
            Some(Family::V4) => AddressFamily::Inet,
            Some(Family::V6) => AddressFamily::Inet6,
            None => AddressFamily::Unspec,
        };
        message.header.protocol = RouteProtocol::from(filter.protocol.unwrap_or_default());
        message
            .attributes
            .extend(filter.interface.map(RouteAttribute::Oif));
        let request = RouteNetlinkMessage::GetRoute(message);
        let answers = match self.dump("list routes", &request) {
            // A filter by an interface that is gone.
            Err(error) if error.errno() == Errno::NODEV => Vec::new(),
            answers => answers?,
        };
        let routes = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => route_from(message),
            _ => None,
        });
        let wanted = |route: &Route| {
            filter
                .interface
                .is_none_or(|index| route.interface == Some(index))
                && filter
                    .protocol
                    .is_none_or(|protocol| route.protocol == protocol)
        };
        Ok(routes.filter(wanted).collect())
    }

    /// Asks which way packets to `destination` (from `source`, if given) take.
    ///
    /// Errors: ENETUNREACH or EHOSTUNREACH when there is no way, ENETUNREACH or EINVAL when `source` is not an address of this host.
    pub fn route_to(
        &mut self,
        destination: IpAddr,
        source: Option<IpAddr>,
    ) -> Result<RouteTo, NetlinkError> {
        let operation = || format!("find the route to {destination}");
        let mut message = RouteMessage::default();
        message.header.address_family = family_of(destination);
        message.header.destination_prefix_length = Prefix::host(destination).length;
        message
            .attributes
            .push(RouteAttribute::Destination(destination.into()));
        if let Some(source) = source {
            message.header.source_prefix_length = Prefix::host(source).length;
            message
                .attributes
                .push(RouteAttribute::Source(source.into()));
        }
        let answer = self.which_way(operation, message.clone())?;
        let unreachable = || NetlinkError::new(operation(), Errno::NETUNREACH);
        let mut found = Attributes::of(&answer);
        let interface = found.interface.ok_or_else(unreachable)?;
        let source = source.or(found.source).ok_or_else(unreachable)?;
        if found.expires {
            message.header.flags |= RouteFlags::FibMatch;
            found.mtu = Attributes::of(&self.which_way(operation, message)?).mtu;
        }
        let link = self.link(interface)?.ok_or_else(unreachable)?;
        Ok(RouteTo {
            interface,
            source,
            gateway: found.gateway,
            mtu: found.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
            local: answer.header.kind == RouteType::Local,
        })
    }

    fn which_way(
        &mut self,
        operation: impl Fn() -> String,
        message: RouteMessage,
    ) -> Result<RouteMessage, NetlinkError> {
        match self.get(&operation, RouteNetlinkMessage::GetRoute(message))? {
            Some(RouteNetlinkMessage::NewRoute(message)) => Ok(message),
            _ => Err(NetlinkError::new(operation(), Errno::PROTO)),
        }
    }

    fn new_route(&mut self, route: &Route, flags: u16) -> Result<(), NetlinkError> {
        self.change(
            || format!("add route {}", route.destination),
            RouteNetlinkMessage::NewRoute(message_of(route)),
            flags,
        )
    }
}

/// The attributes of a route message that matter here.
#[derive(Default)]
struct Attributes {
    destination: Option<IpAddr>,
    interface: Option<u32>,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    metric: Option<u32>,
    mtu: Option<u32>,
    table: Option<u32>,
    /// It will not last: it came with a router's advertisement, or an ICMP message changed it.
    expires: bool,
}

impl Attributes {
    fn of(message: &RouteMessage) -> Self {
        let mut found = Self::default();
        for attribute in &message.attributes {
            found.take(attribute);
        }
        found
    }

    fn take(&mut self, attribute: &RouteAttribute) {
        match attribute {
            RouteAttribute::Destination(value) => self.destination = address(value),
            RouteAttribute::Oif(value) => self.interface = Some(*value),
            RouteAttribute::Gateway(value) => self.gateway = address(value),
            RouteAttribute::Via(RouteVia::Inet6(value)) => self.gateway = Some((*value).into()),
            RouteAttribute::MultiPath(hops) => {
                let unusable = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
                let usable = hops.iter().find(|hop| !hop.flags.intersects(unusable));
                if let Some(hop) = usable.or(hops.first()) {
                    self.interface = Some(hop.interface_index);
                    hop.attributes.iter().for_each(|it| self.take(it));
                }
            }
            RouteAttribute::PrefSource(value) => self.source = address(value),
            RouteAttribute::Priority(value) => self.metric = Some(*value),
            RouteAttribute::Table(value) => self.table = Some(*value),
            RouteAttribute::Metrics(values) => self.mtu = values.iter().find_map(mtu),
            RouteAttribute::CacheInfo(info) => self.expires = info.expires != 0,
            _ => {}
        }
    }
}

/// Reads a route out of a netlink message; None unless it is a unicast or unreachable one of the main table.
pub(super) fn route_from(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let found = Attributes::of(message);
    let kind = match header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Unreachable => RouteKind::Unreachable,
        _ => return None,
    };
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let table = found.table.unwrap_or(u32::from(header.table));
    (table == u32::from(RouteHeader::RT_TABLE_MAIN)).then(|| Route {
        destination: Prefix::new(
            found.destination.unwrap_or(unspecified),
            header.destination_prefix_length,
        ),
        kind,
        interface: found.interface,
        gateway: found.gateway,
        source: found.source,
        metric: found.metric,
        mtu: found.mtu,
        protocol: header.protocol.into(),
    })
}

fn message_of(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(route.destination.address);
    message.header.destination_prefix_length = route.destination.length;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::from(route.protocol);
    message.header.scope = match (route.destination.address, route.gateway, route.kind) {
        (IpAddr::V4(_), None, RouteKind::Unicast) => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    // The gateway is where the route has it that this one was made after, which may not be where others lead.
    if route.is_beside() && route.gateway.is_some() {
        message.header.flags |= RouteFlags::Onlink;
    }
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Unreachable => RouteType::Unreachable,
    };
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Destination(
        route.destination.address.into(),
    ));
    attributes.extend(route.interface.map(RouteAttribute::Oif));
    attributes.extend(route.gateway.map(|gateway| match gateway {
        IpAddr::V6(next) if route.destination.address.is_ipv4() => {
            RouteAttribute::Via(RouteVia::Inet6(next))
        }
        _ => RouteAttribute::Gateway(gateway.into()),
    }));
    attributes.extend(
        route
            .source
            .map(|address| RouteAttribute::PrefSource(address.into())),
    );
    attributes.extend(route.metric.map(RouteAttribute::Priority));
    attributes.extend(
        route
            .mtu
            .map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])),
    );
    message
}

fn address(value: &RouteAddress) -> Option<IpAddr> {
    match value {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn mtu(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    }
}
