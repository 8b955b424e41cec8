//! One proposal of the peer's chosen by our preference, and the peer's choice checked against what we offered.

use std::error::Error;
use std::fmt;

use adit_crypto::{Group, IkeCipher, Integrity, Suite};

use super::names::describe;
use super::{
    EspOffer, EspProposal, IkeOffer, IkeProposal, cipher_transform, suite_transform, transform,
};
use crate::wire::esp::Spi;
use crate::wire::ike::{Proposal, Protocol, SaPayload, Transform, TransformKind};

const IKE_SPI_OCTETS: usize = 8;

/// Nothing that the peer offers is wanted: NO_PROPOSAL_CHOSEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProposal {
    /// What it offered, in words.
    pub offered: String,
    /// The kinds that no pair of proposals agrees in; empty when no pair agrees in all kinds at once.
    pub missing: Vec<TransformKind>,
}

impl fmt::Display for NoProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer offered {}; ", self.offered)?;
        if self.missing.is_empty() {
            return f.write_str("no proposal of it is one of ours as a whole");
        }
        let kinds: Vec<_> = self.missing.iter().map(ToString::to_string).collect();
        write!(f, "missing: {}", kinds.join(", "))
    }
}

impl Error for NoProposal {}

/// The peer's choice is not one of our proposals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOffered {
    /// What it chose, in words.
    pub chosen: String,
}

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer chose {}, which we did not offer", self.chosen)
    }
}

impl Error for NotOffered {}

/// The first of our offers that one of the peer's proposals matches, best algorithms first, and that proposal's number.
///
/// # Errors
/// [`NoProposal`].
pub fn choose_ike(ours: &[IkeOffer], theirs: &SaPayload) -> Result<(IkeProposal, u8), NoProposal> {
    choose(ours, theirs, is_for_ike, match_ike).map(|(proposal, from)| (proposal, from.number))
}

/// The SPI of the peer's proposal of that number, when an IKE SA is rekeyed; none unless it is 8 octets and not zero.
#[must_use]
pub fn rekey_spi(theirs: &SaPayload, number: u8) -> Option<u64> {
    let mut proposals = theirs.proposals.iter();
    let proposal = proposals.find(|proposal| proposal.number == number)?;
    let spi = u64::from_be_bytes(proposal.spi.as_slice().try_into().ok()?);
    (spi != 0).then_some(spi)
}

/// The first of our offers that one of the peer's proposals matches, best algorithms first; that proposal's number, and the SPI that
/// the peer receives by. In IKE_AUTH no key exchange is asked for, whatever the proposals say of it.
///
/// # Errors
/// [`NoProposal`].
pub fn choose_esp(
    ours: &[EspOffer],
    theirs: &SaPayload,
    in_ike_auth: bool,
) -> Result<(EspProposal, u8, u32), NoProposal> {
    let matching = |offer: &EspOffer, theirs: &Proposal| match_esp(offer, theirs, in_ike_auth);
    let (proposal, from) = choose(ours, theirs, is_for_esp, matching)?;
    let spi = esp_spi(from).map_or(0, Spi::get);
    Ok((proposal, from.number, spi))
}

/// The peer's answer to [`ike_to_wire`](super::ike_to_wire) of the same offers.
///
/// # Errors
/// [`NotOffered`] when it is not exactly one algorithm of each kind of the offer whose number it names.
pub fn accept_ike(ours: &[IkeOffer], answer: &SaPayload) -> Result<IkeProposal, NotOffered> {
    accept(ours, answer, is_for_ike, match_ike).map(|(proposal, _)| proposal)
}

/// The peer's answer to [`esp_to_wire`](super::esp_to_wire) of the same offers, and the SPI that it receives by.
///
/// # Errors
/// [`NotOffered`] when it is not exactly one algorithm of each kind of the offer whose number it names, or its SPI is reserved.
pub fn accept_esp(
    ours: &[EspOffer],
    answer: &SaPayload,
    in_ike_auth: bool,
) -> Result<(EspProposal, u32), NotOffered> {
    let matching = |offer: &EspOffer, theirs: &Proposal| match_esp(offer, theirs, in_ike_auth);
    let (proposal, from) = accept(ours, answer, is_for_esp, matching)?;
    Ok((proposal, esp_spi(from).map_or(0, Spi::get)))
}

/// The kinds that a pair of proposals does not agree in.
type Missing = Vec<TransformKind>;

fn choose<'a, O, P>(
    ours: &[O],
    theirs: &'a SaPayload,
    fits: impl Fn(&Proposal) -> bool,
    matching: impl Fn(&O, &Proposal) -> Result<P, Missing>,
) -> Result<(P, &'a Proposal), NoProposal> {
    let mut missing: Option<Missing> = None;
    for offer in ours {
        for proposal in theirs.proposals.iter().filter(|proposal| fits(proposal)) {
            match (matching(offer, proposal), &mut missing) {
                (Ok(chosen), _) => return Ok((chosen, proposal)),
                (Err(kinds), None) => missing = Some(kinds),
                (Err(kinds), Some(missing)) => missing.retain(|kind| kinds.contains(kind)),
            }
        }
    }
    Err(NoProposal {
        offered: describe(theirs),
        missing: missing.unwrap_or_default(),
    })
}

fn accept<'a, O, P>(
    ours: &[O],
    answer: &'a SaPayload,
    fits: impl Fn(&Proposal) -> bool,
    matching: impl Fn(&O, &Proposal) -> Result<P, Missing>,
) -> Result<(P, &'a Proposal), NotOffered> {
    let accepted = || {
        let [proposal] = answer.proposals.as_slice() else {
            return None;
        };
        let offer = ours.get(usize::from(proposal.number).checked_sub(1)?)?;
        let transforms = proposal.transforms.iter();
        let one_of = |t: &Transform| transforms.clone().filter(|o| o.kind == t.kind).count() == 1;
        let is_single = fits(proposal) && transforms.clone().all(one_of);
        let chosen = matching(offer, proposal).ok()?;
        is_single.then_some((chosen, proposal))
    };
    accepted().ok_or_else(|| NotOffered {
        chosen: describe(answer),
    })
}

fn match_ike(ours: &IkeOffer, theirs: &Proposal) -> Result<IkeProposal, Missing> {
    let mut missing = unusable(theirs, TransformKind::Esn);
    let sealing = common_cipher(ours, theirs).map_err(|kind| missing.push(kind));
    let prf = common(&ours.prfs, theirs, |prf| {
        transform(TransformKind::Prf, prf.iana())
    });
    let prf = prf.ok_or_else(|| missing.push(TransformKind::Prf));
    let group = common(&ours.groups, theirs, |group| {
        transform(TransformKind::Ke, group.iana())
    });
    let group = group.ok_or_else(|| missing.push(TransformKind::Ke));
    match (sealing, prf, group) {
        (Ok((cipher, integrity)), Ok(prf), Ok(group)) if missing.is_empty() => Ok(IkeProposal {
            cipher,
            integrity,
            prf,
            group,
        }),
        _ => Err(missing),
    }
}

fn match_esp(
    ours: &EspOffer,
    theirs: &Proposal,
    in_ike_auth: bool,
) -> Result<EspProposal, Missing> {
    let mut missing = unusable(theirs, TransformKind::Prf);
    let suite = common_suite(ours, theirs).map_err(|kind| missing.push(kind));
    let no_group = [None];
    let groups: &[Option<Group>] = match ours.groups.as_slice() {
        [] => &no_group,
        groups => groups,
    };
    let group = match in_ike_auth {
        true => Some(None),
        false => common(groups, theirs, |group| {
            transform(TransformKind::Ke, group.map_or(0, |group| group.iana()))
        }),
    };
    let group = group.ok_or_else(|| missing.push(TransformKind::Ke));
    let esn = common(&ours.esn, theirs, |esn| {
        transform(TransformKind::Esn, esn.into())
    });
    let esn = esn.ok_or_else(|| missing.push(TransformKind::Esn));
    match (suite, group, esn) {
        (Ok(suite), Ok(group), Ok(esn)) if missing.is_empty() => {
            Ok(EspProposal { suite, group, esn })
        }
        _ => Err(missing),
    }
}

fn is_for_ike(proposal: &Proposal) -> bool {
    let is_spi = proposal.spi.is_empty() || proposal.spi.len() == IKE_SPI_OCTETS;
    proposal.protocol == Protocol::Ike && is_spi
}

fn is_for_esp(proposal: &Proposal) -> bool {
    proposal.protocol == Protocol::Esp && esp_spi(proposal).is_some()
}

/// The SPI of a proposal for ESP; none that is reserved or of another length.
fn esp_spi(proposal: &Proposal) -> Option<Spi> {
    let spi = proposal.spi.as_slice().try_into().ok()?;
    Spi::new(u32::from_be_bytes(spi))
}

/// The kinds of a proposal that make it unacceptable whatever else it has: those nobody knows (RFC 7296 section 3.3.6), and the one
/// that its protocol has not (section 3.3.3).
fn unusable(proposal: &Proposal, foreign: TransformKind) -> Missing {
    let kinds = proposal.transforms.iter().map(|transform| transform.kind);
    let mut kinds: Missing = kinds
        .filter(|kind| matches!(kind, TransformKind::Other(_)) || *kind == foreign)
        .collect();
    kinds.dedup();
    kinds
}

fn common_cipher(
    ours: &IkeOffer,
    theirs: &Proposal,
) -> Result<(IkeCipher, Option<Integrity>), TransformKind> {
    let cipher = common(&ours.ciphers, theirs, cipher_transform).ok_or(TransformKind::Encr)?;
    if cipher.is_aead() {
        let without = has(theirs, &transform(TransformKind::Integ, 0));
        return without
            .then_some((cipher, None))
            .ok_or(TransformKind::Integ);
    }
    let integrity = common(&ours.integrities, theirs, |integrity| {
        transform(TransformKind::Integ, integrity.iana())
    });
    let integrity = integrity.ok_or(TransformKind::Integ)?;
    Ok((cipher, Some(integrity)))
}

fn common_suite(ours: &EspOffer, theirs: &Proposal) -> Result<Suite, TransformKind> {
    let integrity = |suite: Suite| transform(TransformKind::Integ, suite.iana_integ().unwrap_or(0));
    let mut of_cipher = ours
        .suites
        .iter()
        .copied()
        .filter(|suite| has(theirs, &suite_transform(*suite)))
        .peekable();
    of_cipher.peek().ok_or(TransformKind::Encr)?;
    of_cipher
        .find(|suite| has(theirs, &integrity(*suite)))
        .ok_or(TransformKind::Integ)
}

fn common<T: Copy>(ours: &[T], theirs: &Proposal, wire: impl Fn(T) -> Transform) -> Option<T> {
    ours.iter()
        .copied()
        .find(|value| has(theirs, &wire(*value)))
}

/// Whether a proposal has a transform. Without any integrity algorithm or key exchange it has NONE of it (RFC 7296 section 3.3.3), and
/// one with an attribute that nobody knows is not there (section 3.3.6).
fn has(proposal: &Proposal, wanted: &Transform) -> bool {
    let is_optional = matches!(wanted.kind, TransformKind::Integ | TransformKind::Ke);
    let mut of_kind = proposal
        .transforms
        .iter()
        .filter(|transform| transform.kind == wanted.kind)
        .peekable();
    let is_none = wanted.id == 0 && is_optional && of_kind.peek().is_none();
    is_none || of_kind.any(|transform| transform == wanted)
}
