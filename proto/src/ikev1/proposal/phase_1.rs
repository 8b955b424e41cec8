//! ISAKMP SAs: offered, chosen and accepted (RFC 2409 section 5 and appendix A).

use adit_crypto::v1::{Cipher, Group, Hash};

use super::life::{self, Life};
use super::seen::{describe, has_only, only};
use super::{Choice, IkeProposal};
use crate::ike::{NoProposal, NotOffered};
use crate::wire::isakmp::attribute::phase_1;
use crate::wire::isakmp::{Attribute, Proposal, Protocol, SaPayload, Transform};

/// KEY_IKE, the one transform of ISAKMP.
const KEY_IKE: u8 = 1;

const KNOWN: [u16; 5] = [
    phase_1::ENCRYPTION,
    phase_1::HASH,
    phase_1::AUTHENTICATION,
    phase_1::GROUP,
    phase_1::KEY_LENGTH,
];

/// How the ends prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// 1: a pre-shared key.
    PreShared,
    /// 65001, XAUTHInitPreShared: a pre-shared key, and then the initiator's user and password (draft-beaulieu-ike-xauth-02 section 7.2).
    XauthInitPreShared,
}

impl Authentication {
    const fn iana(self) -> u16 {
        match self {
            Self::PreShared => 1,
            Self::XauthInitPreShared => 65001,
        }
    }
}

/// The body of the SA payload that offers these, best first, with the life that we want. It is SAi_b of the proofs.
#[must_use]
pub fn ike_offer<'a>(
    ours: impl IntoIterator<Item = &'a IkeProposal>,
    authentication: Authentication,
    life: &Life,
) -> Vec<u8> {
    let room = life.room();
    let transforms = (1..).zip(ours).map(|(number, proposal)| Transform {
        number,
        id: KEY_IKE,
        attributes: [
            attributes(proposal, authentication),
            life.attributes(life::PHASE_1, &room),
        ]
        .concat(),
    });
    let proposal = Proposal {
        number: 1,
        protocol: Protocol::Isakmp,
        spi: &[],
        transforms: transforms.collect(),
    };
    SaPayload {
        proposals: vec![proposal],
    }
    .body()
}

/// The first of ours that one of the peer's transforms is.
///
/// # Errors
/// [`NoProposal`].
pub fn choose_ike(
    ours: &[IkeProposal],
    authentication: Authentication,
    theirs: &SaPayload<'_>,
) -> Result<Choice<IkeProposal>, NoProposal> {
    let all = || {
        let of_isakmp = |proposal: &&Proposal<'_>| proposal.protocol == Protocol::Isakmp;
        let proposals = theirs.proposals.iter().filter(of_isakmp);
        proposals.flat_map(|from| {
            from.transforms
                .iter()
                .map(move |transform| (from, transform))
        })
    };
    let found = ours.iter().find_map(|wanted| {
        all()
            .find(|(_, transform)| read(transform) == Some((*wanted, authentication)))
            .map(|(from, transform)| (wanted, from, transform))
    });
    let Some((proposal, from, transform)) = found else {
        return Err(NoProposal {
            offered: describe(theirs),
            missing: Vec::new(),
        });
    };
    let answer = SaPayload {
        proposals: vec![Proposal {
            transforms: vec![transform.clone()],
            ..*from
        }],
    };
    Ok(Choice {
        proposal: *proposal,
        life: Life::read(life::PHASE_1, &transform.attributes),
        answer: answer.body(),
    })
}

/// The peer's answer to [`ike_offer`] of the same proposals.
///
/// # Errors
/// [`NotOffered`] when it is not exactly one of them.
pub fn accept_ike(
    ours: &[IkeProposal],
    authentication: Authentication,
    answer: &SaPayload<'_>,
) -> Result<(IkeProposal, Life), NotOffered> {
    let accepted = match &answer.proposals[..] {
        [proposal] if proposal.protocol == Protocol::Isakmp => match &proposal.transforms[..] {
            [transform] => read(transform)
                .filter(|(chosen, by)| *by == authentication && ours.contains(chosen))
                .map(|(chosen, _)| (chosen, Life::read(life::PHASE_1, &transform.attributes))),
            _ => None,
        },
        _ => None,
    };
    accepted.ok_or_else(|| NotOffered {
        chosen: describe(answer),
    })
}

fn attributes(proposal: &IkeProposal, by: Authentication) -> Vec<Attribute<'static>> {
    let key_bits = proposal.cipher.key_bits();
    [
        Some((phase_1::ENCRYPTION, proposal.cipher.iana())),
        key_bits.map(|bits| (phase_1::KEY_LENGTH, bits)),
        Some((phase_1::HASH, proposal.hash.iana())),
        Some((phase_1::GROUP, proposal.group.iana())),
        Some((phase_1::AUTHENTICATION, by.iana())),
    ]
    .into_iter()
    .flatten()
    .map(|(kind, value)| Attribute::short(kind, value))
    .collect()
}

/// The algorithms of a transform; none when one of them is not known, or something more is asked for.
fn read(transform: &Transform<'_>) -> Option<(IkeProposal, Authentication)> {
    let all = &transform.attributes;
    let lives = [phase_1::LIFE_TYPE, phase_1::LIFE_DURATION];
    if transform.id != KEY_IKE || !has_only(all, &KNOWN, lives) {
        return None;
    }
    let cipher = only(all, phase_1::ENCRYPTION)?;
    let authentication = match only(all, phase_1::AUTHENTICATION)? {
        1 => Authentication::PreShared,
        65001 => Authentication::XauthInitPreShared,
        _ => return None,
    };
    let proposal = IkeProposal {
        cipher: Cipher::from_iana(cipher, only(all, phase_1::KEY_LENGTH))?,
        hash: Hash::from_iana(only(all, phase_1::HASH)?)?,
        group: Group::from_iana(only(all, phase_1::GROUP)?)?,
    };
    Some((proposal, authentication))
}
