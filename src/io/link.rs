//! Interfaces: find, make, change, delete; their carrier and their counters.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink's enumerations grow with the kernel"
)]

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rustix::io::Errno;

use super::netlink::{Netlink, NetlinkError};
use super::raw::Family;

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Administratively up (IFF_UP).
    pub up: bool,
    /// Up and with carrier (IFF_RUNNING).
    pub running: bool,
    /// Its MTU in octets.
    pub mtu: u32,
    /// What made it: "tun", "veth", "gre"; None for devices of hardware and the loopback.
    pub kind: Option<String>,
    /// Its counters.
    pub statistics: LinkStatistics,
}

/// The kernel's counters of an interface; `tx` of a TUN is what the kernel gave to us or dropped before we read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStatistics {
    /// Packets that came in.
    pub rx_packets: u64,
    /// Octets that came in.
    pub rx_octets: u64,
    /// Packets that came in and were dropped.
    pub rx_dropped: u64,
    /// Packets that came in malformed.
    pub rx_errors: u64,
    /// Packets that went out.
    pub tx_packets: u64,
    /// Octets that went out.
    pub tx_octets: u64,
    /// Packets that were to go out and were dropped.
    pub tx_dropped: u64,
    /// Packets whose transmission failed.
    pub tx_errors: u64,
}

impl Netlink {
    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.dump("list interfaces", &request)?;
        Ok(answers.iter().filter_map(link_of).collect())
    }

    /// The interface of this name, None when there is none.
    pub fn find_link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        self.one_link(|| format!("find interface {name:?}"), message)
    }

    /// The interface of this index, None when there is none.
    pub fn link(&mut self, index: u32) -> Result<Option<Link>, NetlinkError> {
        self.one_link(|| format!("find interface {index}"), message_of(index))
    }

    /// Asks for the interface and so makes the kernel send a carrier notification that it holds back (up to a second).
    pub fn refresh_carrier(&mut self, index: u32) -> Result<Option<Link>, NetlinkError> {
        self.link(index)
    }

    /// Makes a pair of virtual Ethernet interfaces; the peer is made in the namespace `peer_namespace`, if given.
    pub fn create_veth(
        &mut self,
        name: &str,
        peer: &str,
        peer_namespace: Option<BorrowedFd<'_>>,
    ) -> Result<(), NetlinkError> {
        let mut far = LinkMessage::default();
        far.attributes.push(LinkAttribute::IfName(peer.to_owned()));
        far.attributes.extend(peer_namespace.map(namespace));
        let mut near = LinkMessage::default();
        near.attributes.push(LinkAttribute::IfName(name.to_owned()));
        near.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]));
        self.change(
            || format!("make veth {name:?} with peer {peer:?}"),
            RouteNetlinkMessage::NewLink(near),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Sets an interface administratively up or down. Down removes its IPv6 addresses and all its routes.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), NetlinkError> {
        let mut message = message_of(index);
        message.header.change_mask = LinkFlags::Up;
        if up {
            message.header.flags = LinkFlags::Up;
        }
        let direction = if up { "up" } else { "down" };
        self.set(|| format!("set interface {index} {direction}"), message)
    }

    /// Sets the MTU in octets. Below 1280 the kernel removes IPv6 from the interface.
    pub fn set_mtu(&mut self, index: u32, octets: u32) -> Result<(), NetlinkError> {
        let mut message = message_of(index);
        message.attributes.push(LinkAttribute::Mtu(octets));
        self.set(
            || format!("set mtu of interface {index} to {octets}"),
            message,
        )
    }

    /// What in this namespace takes protocol 47 besides us: the name of a GRE interface or module of the kernel.
    ///
    /// Our raw socket gets a copy of each packet all the same, but that code answers those that belong to none of its tunnels with
    /// ICMP errors.
    pub fn kernel_gre(&mut self) -> Result<Option<String>, NetlinkError> {
        let interface = self.links()?.into_iter().find(is_gre);
        Ok(match interface {
            Some(link) => Some(format!("interface {}", link.name)),
            None => gre_module(&fs::read_to_string("/proc/modules").unwrap_or_default()),
        })
    }

    fn set(
        &mut self,
        operation: impl FnOnce() -> String,
        message: LinkMessage,
    ) -> Result<(), NetlinkError> {
        self.change(operation, RouteNetlinkMessage::SetLink(message), 0)
    }

    fn one_link(
        &mut self,
        operation: impl FnOnce() -> String,
        message: LinkMessage,
    ) -> Result<Option<Link>, NetlinkError> {
        match self.get(operation, RouteNetlinkMessage::GetLink(message)) {
            Ok(answer) => Ok(answer.as_ref().and_then(link_of)),
            Err(error) if error.errno() == Errno::NODEV => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Makes routes through an interface unusable while it has no carrier (sysctl `ignore_routes_with_linkdown`).
///
/// Works on the namespace of the calling thread. Errors: NotFound when /proc is not mounted or the interface has no such family,
/// ReadOnlyFilesystem or PermissionDenied where containers forbid it.
pub fn ignore_routes_with_linkdown(family: Family, name: &str) -> std::io::Result<()> {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let path = format!("/proc/sys/net/{family}/conf/{name}/ignore_routes_with_linkdown");
    fs::write(Path::new(&path), "1")
}

/// Reads an interface out of a netlink message.
pub(super) fn link_from(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(info) => link.kind = info.iter().find_map(kind),
            LinkAttribute::Stats64(stats) => {
                link.statistics = LinkStatistics {
                    rx_packets: stats.rx_packets,
                    rx_octets: stats.rx_bytes,
                    rx_dropped: stats.rx_dropped,
                    rx_errors: stats.rx_errors,
                    tx_packets: stats.tx_packets,
                    tx_octets: stats.tx_bytes,
                    tx_dropped: stats.tx_dropped,
                    tx_errors: stats.tx_errors,
                };
            }
            _ => {}
        }
    }
    link
}

fn kind(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

fn link_of(message: &RouteNetlinkMessage) -> Option<Link> {
    match message {
        RouteNetlinkMessage::NewLink(message) => Some(link_from(message)),
        _ => None,
    }
}

fn message_of(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn namespace(fd: BorrowedFd<'_>) -> LinkAttribute {
    LinkAttribute::NetNsFd(fd.as_raw_fd())
}

fn is_gre(link: &Link) -> bool {
    const KINDS: [&str; 6] = [
        "gre",
        "gretap",
        "erspan",
        "ip6gre",
        "ip6gretap",
        "ip6erspan",
    ];
    link.kind
        .as_deref()
        .is_some_and(|kind| KINDS.contains(&kind))
}

fn gre_module(modules: &str) -> Option<String> {
    const MODULES: [&str; 3] = ["ip_gre", "ip6_gre", "gre"];
    modules
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|name| MODULES.contains(name))
        .map(|name| format!("module {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_gre_modules_are_found_by_their_whole_name() {
        let without = "nf_conntrack_proto_gre 16384 0 - Live 0x0\nveth 32768 0 - Live 0x0\n";
        assert_eq!(gre_module(without), None);
        let with = format!("{without}ip_gre 36864 0 - Live 0x0\ngre 16384 1 ip_gre, Live 0x0\n");
        assert_eq!(gre_module(&with).as_deref(), Some("module ip_gre"));
    }

    #[test]
    fn interfaces_of_every_gre_kind_count_as_kernel_gre() {
        let of = |kind: Option<&str>| Link {
            kind: kind.map(str::to_owned),
            ..Link::default()
        };
        assert!(is_gre(&of(Some("gre"))));
        assert!(is_gre(&of(Some("ip6gre"))));
        assert!(!is_gre(&of(Some("tun"))));
        assert!(!is_gre(&of(None)));
    }
}
