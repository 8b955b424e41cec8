//! The words for transforms, those of configurations where there are such.

use crate::wire::ike::{Proposal, SaPayload, Transform, TransformKind};

/// What a message shows of a peer's proposals, which it may send by the thousand.
const PROPOSALS_SHOWN: usize = 4;
const TRANSFORMS_SHOWN: usize = 16;

/// The proposals of a payload in the words of configurations: `"aes256-sha256-prfsha256-modp2048, 3des-…"`; only the first four
/// proposals and of each the first sixteen transforms are shown.
#[must_use]
pub fn describe(sa: &SaPayload) -> String {
    let mut shown: Vec<String> = sa
        .proposals
        .iter()
        .take(PROPOSALS_SHOWN)
        .map(proposal_words)
        .collect();
    if sa.proposals.len() > PROPOSALS_SHOWN {
        shown.push(format!("{} more", sa.proposals.len() - PROPOSALS_SHOWN));
    }
    match shown.is_empty() {
        true => "nothing".to_owned(),
        false => shown.join(", "),
    }
}

fn proposal_words(proposal: &Proposal) -> String {
    let mut words: Vec<String> = proposal
        .transforms
        .iter()
        .take(TRANSFORMS_SHOWN)
        .map(transform_word)
        .collect();
    if proposal.transforms.len() > TRANSFORMS_SHOWN {
        words.push("…".to_owned());
    }
    format!("{} {}", proposal.protocol, words.join("-"))
}

fn transform_word(transform: &Transform) -> String {
    let Transform {
        kind, id, key_bits, ..
    } = *transform;
    let word = match kind {
        TransformKind::Encr => return cipher_word(id, key_bits),
        TransformKind::Prf => prf_word(id),
        TransformKind::Integ => integrity_word(id),
        TransformKind::Ke => group_word(id),
        TransformKind::Esn => match id {
            0 => Some("noesn"),
            1 => Some("esn"),
            _ => None,
        },
        TransformKind::Other(_) => None,
    };
    word.map_or_else(|| format!("{kind} {id}"), str::to_owned)
}

fn cipher_word(id: u16, key_bits: Option<u16>) -> String {
    let (name, mode) = match id {
        3 => ("3des", ""),
        11 => ("null", ""),
        12 => ("aes", ""),
        13 => ("aes", "ctr"),
        14 => ("aes", "ccm8"),
        15 => ("aes", "ccm12"),
        16 => ("aes", "ccm16"),
        18 => ("aes", "gcm8"),
        19 => ("aes", "gcm12"),
        20 => ("aes", "gcm16"),
        23 => ("camellia", ""),
        28 => ("chacha20poly1305", ""),
        _ => return format!("ENCR {id}"),
    };
    match key_bits {
        Some(bits) => format!("{name}{bits}{mode}"),
        None => format!("{name}{mode}"),
    }
}

const fn prf_word(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "prfmd5",
        2 => "prfsha1",
        4 => "prfaesxcbc",
        5 => "prfsha256",
        6 => "prfsha384",
        7 => "prfsha512",
        8 => "prfaescmac",
        _ => return None,
    })
}

const fn integrity_word(id: u16) -> Option<&'static str> {
    Some(match id {
        0 => "nointeg",
        1 => "md5",
        2 => "sha1",
        5 => "aesxcbc",
        8 => "aescmac",
        12 => "sha256",
        13 => "sha384",
        14 => "sha512",
        _ => return None,
    })
}

const fn group_word(id: u16) -> Option<&'static str> {
    Some(match id {
        0 => "none",
        1 => "modp768",
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
        22 => "modp1024s160",
        23 => "modp2048s224",
        24 => "modp2048s256",
        25 => "ecp192",
        26 => "ecp224",
        27 => "ecp224bp",
        28 => "ecp256bp",
        29 => "ecp384bp",
        30 => "ecp512bp",
        31 => "x25519",
        32 => "x448",
        35 => "mlkem512",
        36 => "mlkem768",
        37 => "mlkem1024",
        _ => return None,
    })
}
