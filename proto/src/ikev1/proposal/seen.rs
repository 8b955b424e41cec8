//! A peer's transforms: what they say, and in words.

use adit_crypto::v1::{Cipher, Group, Hash};

use super::phase_2::suite_of;
use crate::wire::isakmp::attribute::{phase_1, phase_2};
use crate::wire::isakmp::{Attribute, Protocol, SaPayload, Transform};

/// What a message shows of a peer's proposals, which it may send by the hundred.
const TRANSFORMS_SHOWN: usize = 16;

/// The value of the one attribute of that type; none without one, with several or with one that is no number of 16 bits.
pub(super) fn only(attributes: &[Attribute<'_>], kind: u16) -> Option<u16> {
    let mut of_kind = attributes.iter().filter(|attribute| attribute.kind == kind);
    let only = of_kind.next().filter(|_| of_kind.next().is_none())?;
    u16::try_from(only.value.number()?).ok()
}

/// Whether every attribute is of one of these types, and only those of lives stand there more than once.
pub(super) fn has_only(attributes: &[Attribute<'_>], known: &[u16], lives: [u16; 2]) -> bool {
    attributes.iter().enumerate().all(|(at, attribute)| {
        let is_repeated = || attributes.iter().take(at).any(|a| a.kind == attribute.kind);
        lives.contains(&attribute.kind) || known.contains(&attribute.kind) && !is_repeated()
    })
}

/// The proposals of a payload in the words of configurations, of which the first sixteen transforms are shown.
pub(super) fn describe(sa: &SaPayload<'_>) -> String {
    let all = sa.proposals.iter().flat_map(|proposal| {
        let words = |transform| words(proposal.protocol, transform);
        proposal.transforms.iter().map(words)
    });
    let mut shown: Vec<String> = all.take(TRANSFORMS_SHOWN).collect();
    let count: usize = sa.proposals.iter().map(|all| all.transforms.len()).sum();
    if count > TRANSFORMS_SHOWN {
        shown.push(format!("{} more", count - TRANSFORMS_SHOWN));
    }
    match shown.is_empty() {
        true => "nothing".to_owned(),
        false => shown.join(", "),
    }
}

fn words(protocol: Protocol, transform: &Transform<'_>) -> String {
    match protocol {
        Protocol::Isakmp => isakmp_words(&transform.attributes),
        Protocol::Esp => esp_words(transform),
        Protocol::Ah | Protocol::Other(_) => format!("{protocol} {}", transform.id),
    }
}

fn isakmp_words(attributes: &[Attribute<'_>]) -> String {
    let value = |kind| only(attributes, kind);
    let bits = value(phase_1::KEY_LENGTH);
    let cipher = match value(phase_1::ENCRYPTION) {
        Some(id) if let Some(cipher) = Cipher::from_iana(id, bits) => cipher.name().to_owned(),
        Some(1) => "des".to_owned(),
        Some(7) => format!("aes{}", bits.unwrap_or_default()),
        id => number("cipher", id),
    };
    let hash = value(phase_1::HASH);
    let hash = hash
        .and_then(Hash::from_iana)
        .map_or_else(|| number("hash", hash), |hash| hash.name().to_owned());
    let method = match value(phase_1::AUTHENTICATION) {
        Some(1) => String::new(),
        Some(65001) => " (XAUTHInitPreShared)".to_owned(),
        id => format!(" ({})", number("authentication", id)),
    };
    let group = group_words(value(phase_1::GROUP));
    format!("{cipher}-{hash}-{group}{method}")
}

fn esp_words(transform: &Transform<'_>) -> String {
    let value = |kind| only(&transform.attributes, kind);
    let (bits, integrity) = (value(phase_2::KEY_LENGTH), value(phase_2::AUTHENTICATION));
    let mut text = match suite_of(transform.id, bits, integrity) {
        Some(suite) => suite.name().to_owned(),
        None => format!(
            "cipher {}/{} integrity {}",
            transform.id,
            bits.unwrap_or_default(),
            integrity.unwrap_or_default()
        ),
    };
    if let Some(group) = value(phase_2::GROUP) {
        text.push_str(&format!("-{}", group_words(Some(group))));
    }
    match value(phase_2::ENCAPSULATION) {
        Some(1) => text.push_str(" (tunnel)"),
        Some(2) => text.push_str(" (transport)"),
        Some(3 | 61443) => text.push_str(" (tunnel in UDP)"),
        Some(4 | 61444) => text.push_str(" (transport in UDP)"),
        id => text.push_str(&format!(" ({})", number("mode", id))),
    }
    text
}

fn group_words(id: Option<u16>) -> String {
    match id {
        Some(1) => "modp768".to_owned(),
        Some(5) => "modp1536".to_owned(),
        Some(id) if let Some(group) = Group::from_iana(id) => group.name().to_owned(),
        id => number("group", id),
    }
}

fn number(kind: &str, id: Option<u16>) -> String {
    match id {
        Some(id) => format!("{kind} {id}"),
        None => format!("no {kind}"),
    }
}
