//! Diffie-Hellman groups: key pairs for one agreement each (RFC 2409 section 6, RFC 3526, RFC 5903, RFC 8031).

use std::fmt;

use super::modp::{Exponent, Modulus};
use crate::{RandomUnavailable, SecretBytes, ke};

/// A Diffie-Hellman group (attribute 4 of phase 1, attribute 3 of quick mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The 1024-bit MODP group (2, RFC 2409).
    Modp1024,
    /// The 2048-bit MODP group (14, RFC 3526).
    Modp2048,
    /// The 3072-bit MODP group (15, RFC 3526).
    Modp3072,
    /// The 4096-bit MODP group (16, RFC 3526).
    Modp4096,
    /// The 256-bit random ECP group (19, RFC 5903).
    EcpP256,
    /// The 384-bit random ECP group (20, RFC 5903).
    EcpP384,
    /// Curve25519 (31, RFC 8031).
    X25519,
}

enum Kind {
    Modp(Modulus),
    Elliptic(ke::Group),
}

impl Group {
    /// Every group, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Modp1024,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::EcpP256,
        Self::EcpP384,
        Self::X25519,
    ];

    /// The number in an attribute.
    #[must_use]
    pub const fn iana(self) -> u16 {
        match self {
            Self::Modp1024 => 2,
            Self::Modp2048 => 14,
            Self::Modp3072 => 15,
            Self::Modp4096 => 16,
            Self::EcpP256 => 19,
            Self::EcpP384 => 20,
            Self::X25519 => 31,
        }
    }

    /// The group of that number.
    #[must_use]
    pub fn from_iana(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|group| group.iana() == id)
    }

    /// The name in proposals, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modp1024 => "modp1024",
            Self::Modp2048 => "modp2048",
            Self::Modp3072 => "modp3072",
            Self::Modp4096 => "modp4096",
            Self::EcpP256 => "ecp256",
            Self::EcpP384 => "ecp384",
            Self::X25519 => "x25519",
        }
    }

    /// The group of that name; `curve25519` is another one of [`Group::X25519`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name == "curve25519" {
            return Some(Self::X25519);
        }
        Self::ALL.iter().copied().find(|group| group.name() == name)
    }

    /// Whether it may be used only where a configuration says so by name.
    #[must_use]
    pub const fn is_insecure(self) -> bool {
        match self {
            Self::Modp1024 => true,
            Self::Modp2048
            | Self::Modp3072
            | Self::Modp4096
            | Self::EcpP256
            | Self::EcpP384
            | Self::X25519 => false,
        }
    }

    /// Octets of a public value in a KE payload: those of the prime, x and y, or the one coordinate of Curve25519.
    #[must_use]
    pub const fn public_octets(self) -> usize {
        match self.kind() {
            Kind::Modp(modulus) => modulus.octets(),
            Kind::Elliptic(group) => group.public_octets(),
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Modp1024 => Kind::Modp(Modulus::Bits1024),
            Self::Modp2048 => Kind::Modp(Modulus::Bits2048),
            Self::Modp3072 => Kind::Modp(Modulus::Bits3072),
            Self::Modp4096 => Kind::Modp(Modulus::Bits4096),
            Self::EcpP256 => Kind::Elliptic(ke::Group::EcpP256),
            Self::EcpP384 => Kind::Elliptic(ke::Group::EcpP384),
            Self::X25519 => Kind::Elliptic(ke::Group::X25519),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The peer's public value is not one: its length is not the group's, it is no element of the group, or 1 or the prime less 1, or the
/// shared secret would be one that everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPublic {
    /// The group.
    pub group: Group,
    /// Octets of the value.
    pub octets: usize,
}

impl fmt::Display for BadPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, octets } = self;
        let wanted = group.public_octets();
        if *octets == wanted {
            write!(f, "public value is none of {group}")
        } else {
            write!(
                f,
                "public value of {octets} octets, {wanted} wanted by {group}"
            )
        }
    }
}

impl std::error::Error for BadPublic {}

/// A private value and its public one, good for one agreement. It shows its group only.
pub struct KeyPair {
    group: Group,
    private: Private,
    public: Vec<u8>,
}

enum Private {
    Modp(Modulus, Exponent),
    Elliptic(Box<ke::KeyPair>),
}

impl KeyPair {
    /// Draws a private value.
    ///
    /// # Errors
    /// [`RandomUnavailable`] when the operating system's generator fails.
    pub fn generate(group: Group) -> Result<Self, RandomUnavailable> {
        match group.kind() {
            Kind::Modp(modulus) => Ok(Self::modp(group, modulus, modulus.draw()?)),
            Kind::Elliptic(of) => {
                let pair = ke::KeyPair::generate(of)?;
                Ok(Self {
                    group,
                    public: pair.public().to_vec(),
                    private: Private::Elliptic(Box::new(pair)),
                })
            }
        }
    }

    fn modp(group: Group, modulus: Modulus, exponent: Exponent) -> Self {
        Self {
            group,
            public: modulus.public(&exponent),
            private: Private::Modp(modulus, exponent),
        }
    }

    /// The group.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// The public value as a KE payload carries it: [`Group::public_octets`] of them, with its leading zeros.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The shared secret with `peer`, a KE payload's value: `g^xy` as long as the prime (RFC 2409 section 5), or the x coordinate,
    /// with its leading zeros.
    ///
    /// # Errors
    /// [`BadPublic`] when `peer` is no public value of the group, or leads to a secret of 1 or of zeros.
    pub fn agree(self, peer: &[u8]) -> Result<SecretBytes, BadPublic> {
        let refused = BadPublic {
            group: self.group,
            octets: peer.len(),
        };
        match self.private {
            Private::Modp(modulus, exponent) => modulus.raise(peer, &exponent).ok_or(refused),
            Private::Elliptic(pair) => pair.agree(peer).map_err(|_| refused),
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.group)
    }
}

#[cfg(test)]
mod tests;
