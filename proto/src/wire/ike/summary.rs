//! What a message says, on one line in the notation of RFC 7296 section 1.2.

use std::fmt::Write as _;

use super::header::{ExchangeType, Header};
use super::notify::{FIRST_STATUS, notify_name};
use super::payload::{Delete, Id, Notify, Payload};
use super::sa::Protocol;

/// Characters of an identity that are shown.
const IDENTITY_SHOWN_MAX: usize = 64;
const IPV4_ADDR: u8 = 1;
const IPV6_ADDR: u8 = 5;
const DER_ASN1_DN: u8 = 9;

/// The payloads of a message: `SAi1, KEi(x25519), Ni, N(NAT_DETECTION_SOURCE_IP)`; `no payloads` if there is none.
///
/// What a peer chose is shown as a number or with every octet outside printable ASCII escaped, and cut to a bound.
#[must_use]
pub fn summary(header: &Header, payloads: &[Payload<'_>]) -> String {
    if payloads.is_empty() {
        return "no payloads".to_owned();
    }
    let parts: Vec<String> = payloads
        .iter()
        .map(|payload| part(header, payload))
        .collect();
    parts.join(", ")
}

fn part(header: &Header, payload: &Payload<'_>) -> String {
    let side = if header.flags.response { 'r' } else { 'i' };
    match payload {
        Payload::Sa(_) => match header.exchange {
            ExchangeType::IkeSaInit => format!("SA{side}1"),
            ExchangeType::IkeAuth => format!("SA{side}2"),
            ExchangeType::CreateChildSa | ExchangeType::Informational | ExchangeType::Other(_) => {
                "SA".to_owned()
            }
        },
        Payload::Ke { group, .. } => format!("KE{side}({})", group_name(*group)),
        Payload::IdI(id) => format!("IDi({})", identity(id)),
        Payload::IdR(id) => format!("IDr({})", identity(id)),
        Payload::Cert { encoding: 4, .. } => "CERT".to_owned(),
        Payload::Cert { encoding, .. } => format!("CERT(encoding {encoding})"),
        Payload::CertReq { .. } => "CERTREQ".to_owned(),
        Payload::Auth { method, .. } => format!("AUTH({})", auth_name(*method)),
        Payload::Nonce(_) => format!("N{side}"),
        Payload::Notify(notify) => self::notify(notify),
        Payload::Delete(delete) => self::delete(delete),
        Payload::VendorId(_) => "V".to_owned(),
        Payload::TsI(selectors) => format!("TSi({})", joined(selectors)),
        Payload::TsR(selectors) => format!("TSr({})", joined(selectors)),
        Payload::Sk { body, .. } => format!("SK({} octets)", body.len()),
        Payload::Skf { number, total, .. } => format!("SKF({number}/{total})"),
        Payload::Configuration(_) => "CP".to_owned(),
        Payload::Eap(_) => "EAP".to_owned(),
        Payload::Unknown { kind, critical, .. } => {
            let insists = if *critical { ", critical" } else { "" };
            format!("payload {kind}{insists}")
        }
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(8).map(T::to_string).collect();
    let more = if items.len() > shown.len() {
        " …"
    } else {
        ""
    };
    shown.join(" ") + more
}

/// IANA's group numbers in the words of proposals; peers offer more of them than can be agreed on.
fn group_name(group: u16) -> String {
    let name = match group {
        2 => "modp1024",
        5 => "modp1536",
        14 => "modp2048",
        15 => "modp3072",
        16 => "modp4096",
        17 => "modp6144",
        18 => "modp8192",
        19 => "ecp256",
        20 => "ecp384",
        21 => "ecp521",
        31 => "x25519",
        32 => "x448",
        other => return format!("group {other}"),
    };
    name.to_owned()
}

fn auth_name(method: u8) -> String {
    let name = match method {
        1 => "RSA signature",
        2 => "shared key",
        3 => "DSS signature",
        9 => "ECDSA P-256",
        10 => "ECDSA P-384",
        11 => "ECDSA P-521",
        13 => "NULL",
        14 => "digital signature",
        other => return format!("method {other}"),
    };
    name.to_owned()
}

fn identity(id: &Id<'_>) -> String {
    match id.kind {
        IPV4_ADDR if let Ok(octets) = <[u8; 4]>::try_from(id.data) => {
            std::net::Ipv4Addr::from(octets).to_string()
        }
        IPV6_ADDR if let Ok(octets) = <[u8; 16]>::try_from(id.data) => {
            std::net::Ipv6Addr::from(octets).to_string()
        }
        DER_ASN1_DN => format!("DN, {} octets", id.data.len()),
        2 | 3 => printable(id.data),
        other => format!("type {other}, {}", printable(id.data)),
    }
}

/// What the octets of a name say, shortened.
pub(in crate::wire) fn printable(data: &[u8]) -> String {
    let mut shown: String = data
        .escape_ascii()
        .map(char::from)
        .take(IDENTITY_SHOWN_MAX)
        .collect();
    if data.len() > IDENTITY_SHOWN_MAX {
        shown.push('…');
    }
    shown
}

fn notify(notify: &Notify<'_>) -> String {
    let mut text = match notify_name(notify.kind) {
        Some(name) => format!("N({name}"),
        None if notify.kind < FIRST_STATUS => format!("N(error {}", notify.kind),
        None => format!("N({}", notify.kind),
    };
    if !notify.spi.is_empty() {
        text.push_str(", SPI ");
        for octet in notify.spi.iter().take(8) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
        }
    }
    text.push(')');
    text
}

fn delete(delete: &Delete) -> String {
    if delete.protocol == Protocol::Ike {
        return "D(IKE)".to_owned();
    }
    let spis: Vec<String> = delete.spis.iter().map(|spi| format!("{spi:08x}")).collect();
    format!("D({} {})", delete.protocol, joined(&spis))
}
