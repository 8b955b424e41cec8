//! Addresses of interfaces.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink's enumerations grow with the kernel"
)]

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{Netlink, NetlinkError};

/// An address with the length of its network's prefix, or such a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Prefix length: 0..=32 or 0..=128.
    pub length: u8,
}

impl Prefix {
    /// An address with its prefix length.
    pub fn new(address: IpAddr, length: u8) -> Self {
        Self { address, length }
    }

    /// The prefix that holds this address alone.
    pub fn host(address: IpAddr) -> Self {
        let length = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { address, length }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Netlink {
    /// Adds an address to interface `index`; EEXIST when it has it.
    ///
    /// An IPv6 address is not checked for duplicates, so it can be bound at once; the kernel installs its local route, without which it
    /// does not receive, some milliseconds later.
    pub fn add_address(&mut self, index: u32, address: Prefix) -> Result<(), NetlinkError> {
        self.new_address(index, address, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds an address, or does nothing when the interface has it.
    pub fn replace_address(&mut self, index: u32, address: Prefix) -> Result<(), NetlinkError> {
        self.new_address(index, address, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Removes an address; EADDRNOTAVAIL when the interface does not have it.
    pub fn remove_address(&mut self, index: u32, address: Prefix) -> Result<(), NetlinkError> {
        self.change(
            || format!("remove address {address} from interface {index}"),
            RouteNetlinkMessage::DelAddress(message_of(index, address)),
            0,
        )
    }

    /// The addresses of interface `index`.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<Prefix>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        let request = RouteNetlinkMessage::GetAddress(message);
        let answers = self.dump("list addresses", &request)?;
        let addresses = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) if message.header.index == index => {
                address_from(message)
            }
            _ => None,
        });
        Ok(addresses.collect())
    }

    fn new_address(&mut self, index: u32, address: Prefix, flags: u16) -> Result<(), NetlinkError> {
        self.change(
            || format!("add address {address} to interface {index}"),
            RouteNetlinkMessage::NewAddress(message_of(index, address)),
            flags,
        )
    }
}

/// Reads an address out of a netlink message.
pub(super) fn address_from(message: &AddressMessage) -> Option<Prefix> {
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(value) => local = Some(*value),
            AddressAttribute::Address(value) => address = Some(*value),
            _ => {}
        }
    }
    let own = local.or(address)?;
    Some(Prefix::new(own, message.header.prefix_len))
}

fn message_of(index: u32, address: Prefix) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.length;
    message.header.family = family_of(address.address);
    message
        .attributes
        .push(AddressAttribute::Local(address.address));
    message
        .attributes
        .push(AddressAttribute::Address(address.address));
    if address.address.is_ipv6() {
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

pub(super) fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
