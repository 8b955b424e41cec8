//! Diffie-Hellman groups: key pairs for one agreement each (RFC 5903, RFC 8031).

use std::fmt;

use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::{RandomUnavailable, SecretBytes};

/// What precedes the coordinates of an uncompressed point where ring reads and writes it, and not in a KE payload (RFC 5903 section 7).
const UNCOMPRESSED: u8 = 4;

/// A Diffie-Hellman group (IANA transform type 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The 256-bit random ECP group (IANA 19, RFC 5903).
    EcpP256,
    /// The 384-bit random ECP group (IANA 20, RFC 5903).
    EcpP384,
    /// Curve25519 (IANA 31, RFC 8031).
    X25519,
}

impl Group {
    /// Every group, in the order of their numbers.
    pub const ALL: &[Self] = &[Self::EcpP256, Self::EcpP384, Self::X25519];

    /// The number in a transform and in a KE payload.
    #[must_use]
    pub const fn iana(self) -> u16 {
        match self {
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

    /// Octets of a public value in a KE payload: x and y, or the one coordinate of Curve25519.
    #[must_use]
    pub const fn public_octets(self) -> usize {
        match self {
            Self::EcpP256 => 64,
            Self::EcpP384 => 96,
            Self::X25519 => 32,
        }
    }

    const fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::EcpP256 => &agreement::ECDH_P256,
            Self::EcpP384 => &agreement::ECDH_P384,
            Self::X25519 => &agreement::X25519,
        }
    }

    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::EcpP256 | Self::EcpP384 => &[UNCOMPRESSED],
            Self::X25519 => &[],
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The peer's public value is not one: its length is not the group's, the point is not on the curve, or the shared secret would be zero.
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
            write!(f, "public value is no point of {group}")
        } else {
            write!(
                f,
                "public value of {octets} octets, {wanted} wanted by {group}"
            )
        }
    }
}

impl std::error::Error for BadPublic {}

/// A private value and its public one, good for one agreement.
pub struct KeyPair {
    group: Group,
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl KeyPair {
    /// Draws a private value.
    ///
    /// # Errors
    /// [`RandomUnavailable`] when the operating system's generator fails.
    pub fn generate(group: Group) -> Result<Self, RandomUnavailable> {
        Self::draw(group, &SystemRandom::new())
    }

    fn draw(group: Group, random: &dyn SecureRandom) -> Result<Self, RandomUnavailable> {
        let private = EphemeralPrivateKey::generate(group.algorithm(), random)
            .map_err(|_| RandomUnavailable)?;
        let public = private
            .compute_public_key()
            .map_err(|_| RandomUnavailable)?;
        let public = public.as_ref();
        let public = public.strip_prefix(group.prefix()).unwrap_or(public);
        Ok(Self {
            group,
            private,
            public: public.to_vec(),
        })
    }

    /// The group.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// The public value as a KE payload carries it: [`Group::public_octets`] of them.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The shared secret with `peer`, a KE payload's value: the x coordinate with its leading zeros (RFC 5903 section 9).
    ///
    /// # Errors
    /// [`BadPublic`] when `peer` is no public value of the group, or leads to the all-zero secret (RFC 8031 section 4).
    pub fn agree(self, peer: &[u8]) -> Result<SecretBytes, BadPublic> {
        let Self { group, private, .. } = self;
        let refused = BadPublic {
            group,
            octets: peer.len(),
        };
        if peer.len() != group.public_octets() {
            return Err(refused);
        }
        let peer = [group.prefix(), peer].concat();
        let peer = UnparsedPublicKey::new(group.algorithm(), peer);
        agreement::agree_ephemeral(private, &peer, SecretBytes::from_slice).map_err(|_| refused)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.group)
    }
}

#[cfg(test)]
mod tests;
