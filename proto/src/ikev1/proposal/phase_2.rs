//! IPsec SAs: offered, chosen and accepted (RFC 2407 sections 4.4.4 and 4.5, RFC 3947 section 5.1, RFC 4106 section 8.3).

use adit_crypto::Suite;
use adit_crypto::v1::Group;

use super::life::{self, Life};
use super::seen::{describe, has_only, only};
use super::{Choice, EspProposal};
use crate::ike::{NoProposal, NotOffered};
use crate::wire::esp::Spi;
use crate::wire::isakmp::attribute::phase_2;
use crate::wire::isakmp::{Attribute, Proposal, Protocol, SaPayload, Transform};

const KNOWN: [u16; 4] = [
    phase_2::GROUP,
    phase_2::ENCAPSULATION,
    phase_2::AUTHENTICATION,
    phase_2::KEY_LENGTH,
];

/// How packets stand in ESP, and whether that stands in UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// 1: a whole packet inside.
    Tunnel,
    /// 2: only what follows the IP header.
    Transport,
    /// 3, or 61443 in the drafts: tunnel mode, in UDP.
    UdpTunnel,
    /// 4, or 61444 in the drafts: transport mode, in UDP.
    UdpTransport,
}

impl Encapsulation {
    const fn iana(self) -> u16 {
        match self {
            Self::Tunnel => 1,
            Self::Transport => 2,
            Self::UdpTunnel => 3,
            Self::UdpTransport => 4,
        }
    }

    /// Whether a number in an attribute means it.
    const fn is(self, iana: u16) -> bool {
        match self {
            Self::Tunnel => iana == 1,
            Self::Transport => iana == 2,
            Self::UdpTunnel => matches!(iana, 3 | 61443),
            Self::UdpTransport => matches!(iana, 4 | 61444),
        }
    }
}

/// The body of the SA payload that offers those of `ours` that are of the first one's group, best first, with the SPI that we receive by
/// and the life that we want.
#[must_use]
pub fn esp_offer(ours: &[EspProposal], mode: Encapsulation, spi: u32, life: &Life) -> Vec<u8> {
    let room = life.room();
    let ours = (1..).zip(EspProposal::of_one_group(ours));
    let transforms = ours.map(|(number, proposal)| Transform {
        number,
        id: cipher_id(proposal.suite),
        attributes: [
            attributes(proposal, mode),
            life.attributes(life::PHASE_2, &room),
        ]
        .concat(),
    });
    let proposal = Proposal {
        number: 1,
        protocol: Protocol::Esp,
        spi: &spi.to_be_bytes(),
        transforms: transforms.collect(),
    };
    SaPayload {
        proposals: vec![proposal],
    }
    .body()
}

/// The first of ours that one of the peer's transforms is, with the SPI that the peer receives by; `spi` is ours. A proposal that is meant
/// together with another one of its number is not taken.
///
/// # Errors
/// [`NoProposal`].
pub fn choose_esp(
    ours: &[EspProposal],
    mode: Encapsulation,
    spi: u32,
    theirs: &SaPayload<'_>,
) -> Result<(Choice<EspProposal>, u32), NoProposal> {
    let is_alone = |one: &Proposal<'_>| {
        let of_number = |other: &&Proposal<'_>| other.number == one.number;
        theirs.proposals.iter().filter(of_number).count() == 1
    };
    let all = || {
        let alone = theirs.proposals.iter().filter(|one| is_alone(one));
        let alone = alone.filter_map(|one| Some((one, peer_spi(one)?)));
        alone.flat_map(|(from, spi)| from.transforms.iter().map(move |one| (from, spi, one)))
    };
    let found = ours.iter().find_map(|wanted| {
        all()
            .find(|(_, _, transform)| read(transform, mode) == Some(*wanted))
            .map(|found| (wanted, found))
    });
    let Some((proposal, (from, peer, transform))) = found else {
        return Err(NoProposal {
            offered: describe(theirs),
            missing: Vec::new(),
        });
    };
    let spi = spi.to_be_bytes();
    let answer = SaPayload {
        proposals: vec![Proposal {
            spi: &spi,
            transforms: vec![transform.clone()],
            ..*from
        }],
    };
    let choice = Choice {
        proposal: *proposal,
        life: Life::read(life::PHASE_2, &transform.attributes),
        answer: answer.body(),
    };
    Ok((choice, peer))
}

/// The peer's answer to [`esp_offer`] of the same proposals, and the SPI that it receives by.
///
/// # Errors
/// [`NotOffered`] when it is not exactly one of them, or its SPI is reserved.
pub fn accept_esp(
    ours: &[EspProposal],
    mode: Encapsulation,
    answer: &SaPayload<'_>,
) -> Result<(EspProposal, Life, u32), NotOffered> {
    let accepted = match &answer.proposals[..] {
        [proposal] => match &proposal.transforms[..] {
            [transform] => read(transform, mode)
                .filter(|chosen| EspProposal::of_one_group(ours).any(|one| one == chosen))
                .zip(peer_spi(proposal))
                .map(|(chosen, spi)| {
                    let life = Life::read(life::PHASE_2, &transform.attributes);
                    (chosen, life, spi)
                }),
            _ => None,
        },
        _ => None,
    };
    accepted.ok_or_else(|| NotOffered {
        chosen: describe(answer),
    })
}

/// The suite of a transform's number and attributes; none of those that IKEv1 has no number for.
pub(super) fn suite_of(id: u8, key_bits: Option<u16>, integrity: Option<u16>) -> Option<Suite> {
    let mut all = Suite::ALL.iter().chain(Suite::INSECURE).copied();
    all.find(|suite| {
        *suite != Suite::ChaCha20Poly1305
            && (
                cipher_id(*suite),
                suite.key_bits(),
                authentication_id(*suite),
            ) == (id, key_bits, integrity)
    })
}

/// The transform's number of a suite's cipher, which is that of IKEv2.
fn cipher_id(suite: Suite) -> u8 {
    u8::try_from(suite.iana_encr()).unwrap_or_default()
}

/// The authentication algorithm's number (RFC 2407 section 4.5, IANA).
const fn authentication_id(suite: Suite) -> Option<u16> {
    match suite {
        Suite::Aes128Gcm16 | Suite::Aes256Gcm16 | Suite::ChaCha20Poly1305 => None,
        Suite::TripleDesCbcHmacMd5 => Some(1),
        Suite::Aes128CbcHmacSha1 | Suite::Aes256CbcHmacSha1 | Suite::TripleDesCbcHmacSha1 => {
            Some(2)
        }
        Suite::Aes128CbcHmacSha256 | Suite::Aes256CbcHmacSha256 => Some(5),
        Suite::Aes256CbcHmacSha384 => Some(6),
    }
}

fn attributes(proposal: &EspProposal, mode: Encapsulation) -> Vec<Attribute<'static>> {
    let suite = proposal.suite;
    [
        suite.key_bits().map(|bits| (phase_2::KEY_LENGTH, bits)),
        authentication_id(suite).map(|id| (phase_2::AUTHENTICATION, id)),
        proposal.group.map(|group| (phase_2::GROUP, group.iana())),
        Some((phase_2::ENCAPSULATION, mode.iana())),
    ]
    .into_iter()
    .flatten()
    .map(|(kind, value)| Attribute::short(kind, value))
    .collect()
}

/// The algorithms of a transform of that mode; none when one of them is not known, or something more is asked for.
fn read(transform: &Transform<'_>, mode: Encapsulation) -> Option<EspProposal> {
    let all = &transform.attributes;
    let lives = [phase_2::LIFE_TYPE, phase_2::LIFE_DURATION];
    if !has_only(all, &KNOWN, lives) || !mode.is(only(all, phase_2::ENCAPSULATION)?) {
        return None;
    }
    let has = |kind| all.iter().any(|attribute| attribute.kind == kind);
    let (bits, integrity) = (
        only(all, phase_2::KEY_LENGTH),
        only(all, phase_2::AUTHENTICATION),
    );
    let group = match has(phase_2::GROUP) {
        true => Some(Group::from_iana(only(all, phase_2::GROUP)?)?),
        false => None,
    };
    Some(EspProposal {
        suite: suite_of(transform.id, bits, integrity)?,
        group,
    })
}

/// The SPI of an ESP proposal, unless it is reserved.
fn peer_spi(proposal: &Proposal<'_>) -> Option<u32> {
    let octets = proposal.spi.try_into().ok()?;
    let is_esp = proposal.protocol == Protocol::Esp;
    let spi = Spi::new(u32::from_be_bytes(octets))?;
    is_esp.then_some(spi.get())
}
