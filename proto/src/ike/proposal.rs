//! The algorithms of IKE and child SAs: offered, chosen, and the answer checked (RFC 7296 sections 2.7 and 3.3).
//!
//! An offer is one proposal on the wire with several algorithms of a kind, best first. The n-th offer is proposal number n.

mod choose;
mod names;
mod offer;
#[cfg(test)]
mod tests;

use std::fmt;

use adit_crypto::{Group, IkeCipher, Integrity, Prf, Suite};

pub use choose::{
    NoProposal, NotOffered, accept_esp, accept_ike, choose_esp, choose_ike, rekey_spi,
};
pub use names::describe;
pub use offer::{EspOffer, IkeOffer, OfferError, esp_to_wire, ike_to_wire};

use crate::wire::ike::{Proposal, Protocol, SaPayload, Transform, TransformKind};

/// The algorithms of an IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeProposal {
    /// What encrypts its messages.
    pub cipher: IkeCipher,
    /// What authenticates them; none where the cipher does (RFC 5282).
    pub integrity: Option<Integrity>,
    /// What derives keys.
    pub prf: Prf,
    /// The key exchange method.
    pub group: Group,
}

/// The algorithms of a child SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspProposal {
    /// What seals its packets.
    pub suite: Suite,
    /// The key exchange of its own; none in IKE_AUTH and without perfect forward secrecy.
    pub group: Option<Group>,
    /// Whether sequence numbers are extended.
    pub esn: bool,
}

impl IkeProposal {
    /// The payload that answers proposal `number`, with our SPI when an IKE SA is rekeyed.
    #[must_use]
    pub fn to_wire(&self, number: u8, spi: Option<u64>) -> SaPayload {
        let transforms = [
            Some(cipher_transform(self.cipher)),
            self.integrity
                .map(|integrity| transform(TransformKind::Integ, integrity.iana())),
            Some(transform(TransformKind::Prf, self.prf.iana())),
            Some(transform(TransformKind::Ke, self.group.iana())),
        ];
        let spi = spi.map(|spi| spi.to_be_bytes().to_vec());
        single(number, Protocol::Ike, spi, transforms)
    }
}

impl EspProposal {
    /// The payload that answers proposal `number`, with the SPI that we receive by.
    #[must_use]
    pub fn to_wire(&self, number: u8, spi: u32) -> SaPayload {
        let transforms = [
            Some(suite_transform(self.suite)),
            self.suite
                .iana_integ()
                .map(|id| transform(TransformKind::Integ, id)),
            self.group
                .map(|group| transform(TransformKind::Ke, group.iana())),
            Some(transform(TransformKind::Esn, self.esn.into())),
        ];
        let spi = Some(spi.to_be_bytes().to_vec());
        single(number, Protocol::Esp, spi, transforms)
    }
}

impl fmt::Display for IkeProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cipher.name())?;
        if let Some(integrity) = self.integrity {
            write!(f, "-{}", integrity.name())?;
        }
        write!(f, "-{}-{}", self.prf.name(), self.group.name())
    }
}

impl fmt::Display for EspProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suite.name())?;
        if let Some(group) = self.group {
            write!(f, "-{}", group.name())?;
        }
        f.write_str(if self.esn { "-esn" } else { "-noesn" })
    }
}

fn transform(kind: TransformKind, id: u16) -> Transform {
    Transform {
        kind,
        id,
        key_bits: None,
        has_unknown_attribute: false,
    }
}

fn cipher_transform(cipher: IkeCipher) -> Transform {
    Transform {
        key_bits: cipher.key_bits(),
        ..transform(TransformKind::Encr, cipher.iana())
    }
}

fn suite_transform(suite: Suite) -> Transform {
    Transform {
        key_bits: suite.key_bits(),
        ..transform(TransformKind::Encr, suite.iana_encr())
    }
}

fn single(
    number: u8,
    protocol: Protocol,
    spi: Option<Vec<u8>>,
    transforms: [Option<Transform>; 4],
) -> SaPayload {
    SaPayload {
        proposals: vec![Proposal {
            number,
            protocol,
            spi: spi.unwrap_or_default(),
            transforms: transforms.into_iter().flatten().collect(),
        }],
    }
}
