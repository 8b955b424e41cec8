//! Vendor IDs: what we say that we understand, and what the peer does.

use super::connection::Connection;
use super::message::Contents;
use super::sa::Peer;
use crate::wire::isakmp::{VendorId, Writer};

/// Names kept of a peer, at most.
const VENDORS_MAX: usize = 16;
/// Octets shown of a vendor ID that is not known.
const SHOWN_OCTETS: usize = 16;

/// Ours.
pub(super) fn write(writer: &mut Writer, connection: &Connection) {
    writer.vendor_id(VendorId::Dpd.octets());
    if connection.nat_traversal {
        writer.vendor_id(VendorId::NatT.octets());
    }
    if connection.easy_vpn.is_some() {
        writer.vendor_id(VendorId::Xauth.octets());
        writer.vendor_id(VendorId::Unity.octets());
    }
}

/// What a later message of phase 1 adds: some name themselves in the third or fourth only.
pub(super) fn add(peer: &mut Peer, contents: &Contents<'_>) {
    let more = read(contents);
    peer.dpd |= more.dpd;
    let room = VENDORS_MAX.saturating_sub(peer.vendors.len());
    peer.vendors.extend(more.vendors.into_iter().take(room));
}

/// The peer's. They say what it understands, and nothing of how it has to prove itself.
pub(super) fn read(contents: &Contents<'_>) -> Peer {
    let name = |octets: &[u8]| match VendorId::recognise(octets) {
        Some(known) => known.to_string(),
        None => {
            let digits = octets.iter().take(SHOWN_OCTETS);
            digits.map(|octet| format!("{octet:02x}")).collect()
        }
    };
    Peer {
        nat_t: contents.knows(VendorId::NatT),
        dpd: contents.knows(VendorId::Dpd),
        vendors: contents.vendor_ids().take(VENDORS_MAX).map(name).collect(),
    }
}
