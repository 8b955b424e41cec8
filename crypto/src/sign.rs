//! Digital signatures as IKEv2 carries them: ECDSA on P-256 and P-384, and Ed25519 (RFC 7427, RFC 8420).
//!
//! RSA is left out on purpose: with it come its paddings, its exponents and the forgeries that they have admitted.

mod key_file;

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, EdDSAParameters, KeyPair as _, UnparsedPublicKey,
};

use crate::{RandomUnavailable, Refused};
pub use key_file::BadKey;

/// DER of an `AlgorithmIdentifier` without parameters (RFC 7427 appendix A, RFC 8420 section 3).
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// What a public key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Ed25519,
}

impl Kind {
    const ALL: &[Self] = &[Self::P256, Self::P384, Self::Ed25519];

    /// What precedes the public key in the DER of a `SubjectPublicKeyInfo`, which has one form for each (RFC 5480, RFC 8410).
    const fn spki_start(self) -> &'static [u8] {
        match self {
            Self::P256 => {
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            }
            Self::P384 => {
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"
            }
            Self::Ed25519 => b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
        }
    }

    const fn public_octets(self) -> usize {
        match self {
            Self::P256 => 1 + 2 * 32,
            Self::P384 => 1 + 2 * 48,
            Self::Ed25519 => 32,
        }
    }

    fn of_spki(spki: &[u8]) -> Option<(Self, &[u8])> {
        Self::ALL.iter().find_map(|&kind| {
            let public = spki.strip_prefix(kind.spki_start())?;
            (public.len() == kind.public_octets()).then_some((kind, public))
        })
    }
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key that signs AUTH payloads. It shows nothing of itself.
pub struct SigningKey(Pair);

impl SigningKey {
    /// Reads the first private key of a PEM file: `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` (SEC 1), neither of them encrypted.
    ///
    /// # Errors
    /// [`BadKey`], which repeats nothing of the file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadKey> {
        key_file::read_pem(pem).map(Self)
    }

    /// Reads a private key in DER: PKCS#8 (RFC 5958), or SEC 1 with the curve's name (RFC 5915).
    ///
    /// # Errors
    /// [`BadKey`], which repeats nothing of the key.
    pub fn from_der(der: &[u8]) -> Result<Self, BadKey> {
        key_file::read_der(der).map(Self)
    }

    /// The DER of the `AlgorithmIdentifier` of its signatures.
    #[must_use]
    pub const fn algorithm_identifier(&self) -> &'static [u8] {
        match self.0 {
            Pair::P256(_) => ECDSA_WITH_SHA256,
            Pair::P384(_) => ECDSA_WITH_SHA384,
            Pair::Ed25519(_) => ED25519,
        }
    }

    /// The number of the hash that the peer must have announced in SIGNATURE_HASH_ALGORITHMS: 2 (SHA2-256), 3 (SHA2-384), or 5
    /// (Identity) of Ed25519 (RFC 7427 section 4, RFC 8420 section 2).
    #[must_use]
    pub const fn hash_id(&self) -> u16 {
        match self.0 {
            Pair::P256(_) => 2,
            Pair::P384(_) => 3,
            Pair::Ed25519(_) => 5,
        }
    }

    /// The DER of its public key's `SubjectPublicKeyInfo`: that of [`crate::Certificate::spki`] in a certificate for this key.
    #[must_use]
    pub fn public_spki(&self) -> Vec<u8> {
        match &self.0 {
            Pair::P256(pair) => [Kind::P256.spki_start(), pair.public_key().as_ref()],
            Pair::P384(pair) => [Kind::P384.spki_start(), pair.public_key().as_ref()],
            Pair::Ed25519(pair) => [Kind::Ed25519.spki_start(), pair.public_key().as_ref()],
        }
        .concat()
    }

    /// Signs `message` and gives the DER of the `AlgorithmIdentifier` and the signature, as AUTH method 14 carries them.
    ///
    /// # Errors
    /// [`RandomUnavailable`] when the operating system's generator fails.
    pub fn sign(&self, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), RandomUnavailable> {
        let signature = match &self.0 {
            Pair::P256(pair) | Pair::P384(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map_err(|_| RandomUnavailable)?
                .as_ref()
                .to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        };
        Ok((self.algorithm_identifier().to_vec(), signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Pair::P256(_) => "SigningKey(ECDSA P-256)",
            Pair::P384(_) => "SigningKey(ECDSA P-384)",
            Pair::Ed25519(_) => "SigningKey(Ed25519)",
        })
    }
}

/// Verifies a signature of `message` by the key of a `SubjectPublicKeyInfo`, under the algorithm that its signer names; both in DER.
/// ECDSA with SHA-256 or SHA-384 on P-256 or P-384, and Ed25519: nothing else.
///
/// # Errors
/// [`Refused`] for any other algorithm or key, an algorithm that is not the key's, and a signature that is none.
pub fn verify_signature(
    spki_der: &[u8],
    algorithm_identifier: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refused> {
    let (kind, public) = Kind::of_spki(spki_der).ok_or(Refused)?;
    let verified = match (kind, algorithm_identifier) {
        (Kind::P256, ECDSA_WITH_SHA256) => verify(
            &signature::ECDSA_P256_SHA256_ASN1,
            public,
            message,
            signature,
        ),
        (Kind::P256, ECDSA_WITH_SHA384) => verify(
            &signature::ECDSA_P256_SHA384_ASN1,
            public,
            message,
            signature,
        ),
        (Kind::P384, ECDSA_WITH_SHA256) => verify(
            &signature::ECDSA_P384_SHA256_ASN1,
            public,
            message,
            signature,
        ),
        (Kind::P384, ECDSA_WITH_SHA384) => verify(
            &signature::ECDSA_P384_SHA384_ASN1,
            public,
            message,
            signature,
        ),
        (Kind::Ed25519, ED25519) => {
            let ed25519: &EdDSAParameters = &signature::ED25519;
            verify(ed25519, public, message, signature)
        }
        _ => return Err(Refused),
    };
    verified.then_some(()).ok_or(Refused)
}

fn verify(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let public = UnparsedPublicKey::new(algorithm, public);
    public.verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests;
