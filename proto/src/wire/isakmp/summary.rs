//! What a message says, on one line in the words of routers' debug output.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::notify::{FIRST_STATUS, notify_name};
use super::payload::{Attributes, ConfigKind, Delete, Id, Notify, Payload, kind};
use super::vendor::VendorId;
use crate::wire::ike::summary::printable;

/// SPIs that are shown.
const SPIS_SHOWN_MAX: usize = 8;

/// The payloads of a message: `SA KE No ID(a.example) HASH N(R-U-THERE) V(DPD)`; `no payloads` if there is none.
///
/// What a peer chose is shown as a number or with every octet outside printable ASCII escaped, and cut to a bound.
#[must_use]
pub fn summary(payloads: &[Payload<'_>]) -> String {
    if payloads.is_empty() {
        return "no payloads".to_owned();
    }
    let parts: Vec<String> = payloads.iter().map(part).collect();
    parts.join(" ")
}

fn part(payload: &Payload<'_>) -> String {
    let word = match payload {
        Payload::Sa { .. } => "SA",
        Payload::Ke(_) => "KE",
        Payload::Id(id) => return format!("ID({})", identity(id)),
        Payload::Cert { .. } => "CERT",
        Payload::CertRequest { .. } => "CR",
        Payload::Hash(_) => "HASH",
        Payload::Signature(_) => "SIG",
        Payload::Nonce(_) => "No",
        Payload::Notify(notify) => return self::notify(notify),
        Payload::Delete(delete) => return self::delete(delete),
        Payload::VendorId(octets) => {
            return VendorId::recognise(octets)
                .map_or_else(|| "V".to_owned(), |vendor| format!("V({vendor})"));
        }
        Payload::Attributes(attributes) => return self::attributes(attributes),
        Payload::NatD { .. } => "NAT-D",
        Payload::NatOa { .. } => "NAT-OA",
        Payload::Unknown { kind, .. } => return format!("payload {kind}"),
    };
    word.to_owned()
}

fn identity(id: &Id<'_>) -> String {
    let mut shown = match (id.kind, id.data) {
        (1, data) if let Ok(octets) = <[u8; 4]>::try_from(data) => {
            Ipv4Addr::from(octets).to_string()
        }
        (5, data) if let Ok(octets) = <[u8; 16]>::try_from(data) => {
            Ipv6Addr::from(octets).to_string()
        }
        (4, data) if let Some((first, second)) = halves::<4>(data) => {
            format!("{}/{}", Ipv4Addr::from(first), Ipv4Addr::from(second))
        }
        (7, data) if let Some((first, second)) = halves::<4>(data) => {
            format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(second))
        }
        (6, data) if let Some((first, second)) = halves::<16>(data) => {
            format!("{}/{}", Ipv6Addr::from(first), Ipv6Addr::from(second))
        }
        (8, data) if let Some((first, second)) = halves::<16>(data) => {
            format!("{}-{}", Ipv6Addr::from(first), Ipv6Addr::from(second))
        }
        (9, data) => format!("DN, {} octets", data.len()),
        (2 | 3 | 11, data) => printable(data),
        (other, data) => format!("type {other}, {}", printable(data)),
    };
    if (id.protocol, id.port) != (0, 0) {
        shown.push_str(&format!("[{}/{}]", id.protocol, id.port));
    }
    shown
}

fn halves<const N: usize>(data: &[u8]) -> Option<([u8; N], [u8; N])> {
    let (first, second) = data.split_first_chunk()?;
    Some((*first, second.try_into().ok()?))
}

fn notify(notify: &Notify<'_>) -> String {
    match notify_name(notify.kind) {
        Some(name) => format!("N({name})"),
        None if notify.kind < FIRST_STATUS => format!("N(error {})", notify.kind),
        None => format!("N({})", notify.kind),
    }
}

fn delete(delete: &Delete) -> String {
    match delete {
        Delete::Isakmp(_) => "D(ISAKMP)".to_owned(),
        Delete::Ipsec { protocol, spis } => {
            let shown = spis.iter().take(SPIS_SHOWN_MAX);
            let shown: Vec<String> = shown.map(|spi| format!("{spi:08x}")).collect();
            let more = if spis.len() > SPIS_SHOWN_MAX {
                " …"
            } else {
                ""
            };
            format!("D({protocol} {}{more})", shown.join(" "))
        }
    }
}

fn attributes(attributes: &Attributes<'_>) -> String {
    let word = match attributes.kind {
        ConfigKind::Request => "REQUEST",
        ConfigKind::Reply => "REPLY",
        ConfigKind::Set => "SET",
        ConfigKind::Ack => "ACK",
        ConfigKind::Other(other) => return format!("payload {}, type {other}", kind::ATTRIBUTES),
    };
    format!("CFG_{word}({} attributes)", attributes.attributes.len())
}
