//! The algorithms of ISAKMP and IPsec SAs: offered, chosen, and the answer checked (RFC 2407 section 4, RFC 2409 section 5 and appendix A).
//!
//! An offer is one proposal with a transform for each alternative, best first. The answer is the transform that was chosen, as it was offered.

mod life;
mod phase_1;
mod phase_2;
mod seen;
#[cfg(test)]
mod tests;
mod words;

use adit_crypto::Suite;
use adit_crypto::v1::{Cipher, Group, Hash};

pub use life::Life;
pub use phase_1::{Authentication, accept_ike, choose_ike, ike_offer};
pub use phase_2::{Encapsulation, accept_esp, choose_esp, esp_offer};
pub use words::BadProposal;

/// Algorithms of an ISAKMP SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeProposal {
    /// What encrypts its messages.
    pub cipher: Cipher,
    /// What authenticates them and, as HMAC, derives keys.
    pub hash: Hash,
    /// The group of its key exchange.
    pub group: Group,
}

/// Algorithms of a pair of IPsec SAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspProposal {
    /// What seals its packets.
    pub suite: Suite,
    /// The group of a key exchange of its own; none without perfect forward secrecy.
    pub group: Option<Group>,
}

/// What was chosen of the peer's offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<P> {
    /// The algorithms.
    pub proposal: P,
    /// How long the peer wants to use them.
    pub life: Life,
    /// The body of the SA payload that answers.
    pub answer: Vec<u8>,
}

impl IkeProposal {
    /// Those of the first one's group: in aggressive mode the public key is sent before the group has been chosen.
    pub fn of_one_group(all: &[Self]) -> impl Iterator<Item = &Self> {
        let group = all.first().map(|first| first.group);
        all.iter().filter(move |one| Some(one.group) == group)
    }
}

impl EspProposal {
    /// Those of the first one's group, or like it of none: in quick mode all are of one group (RFC 2409 section 5.5).
    pub fn of_one_group(all: &[Self]) -> impl Iterator<Item = &Self> {
        let group = all.first().map(|first| first.group);
        all.iter().filter(move |one| Some(one.group) == group)
    }
}
