//! Neighbours: which hardware address an address on the link has.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};

use super::address::family_of;
use super::netlink::{Netlink, NetlinkError};

impl Netlink {
    /// Says for good which hardware address `neighbour` has on interface `index`; nobody is asked any more.
    pub fn set_neighbour(
        &mut self,
        index: u32,
        neighbour: IpAddr,
        hardware: [u8; 6],
    ) -> Result<(), NetlinkError> {
        let mut message = message_of(index, neighbour);
        message.header.state = NeighbourState::Permanent;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(hardware.to_vec()));
        self.change(
            || format!("set neighbour {neighbour} of interface {index}"),
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Forgets a neighbour, so that the next packet asks for it anew; ENOENT when it is not known.
    pub fn forget_neighbour(&mut self, index: u32, neighbour: IpAddr) -> Result<(), NetlinkError> {
        self.change(
            || format!("forget neighbour {neighbour} of interface {index}"),
            RouteNetlinkMessage::DelNeighbour(message_of(index, neighbour)),
            0,
        )
    }
}

fn message_of(index: u32, neighbour: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    message.header.family = family_of(neighbour);
    message
        .attributes
        .push(NeighbourAttribute::Destination(neighbour.into()));
    message
}
