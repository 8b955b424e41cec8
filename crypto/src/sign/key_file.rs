//! Private keys in files: PKCS#8 (RFC 5958) and SEC 1 (RFC 5915), as DER and as PEM.

use std::fmt;

use der::asn1::ObjectIdentifier;
use pkcs8::PrivateKeyInfoRef;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

use super::Pair;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// No private key that signs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// No section of a PEM file is a private key, or it is encrypted.
    NotFound,
    /// Neither PKCS#8 nor SEC 1.
    Malformed,
    /// A key of another algorithm or curve.
    Algorithm,
    /// An elliptic curve's key that comes without its public key.
    NoPublicKey,
    /// The public key that comes with it is another's.
    Inconsistent,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no private key in PEM that is not encrypted",
            Self::Malformed => "private key is neither PKCS#8 nor SEC 1",
            Self::Algorithm => "private key is not of P-256, P-384 or Ed25519",
            Self::NoPublicKey => "private key comes without its public key",
            Self::Inconsistent => "private key comes with another's public key",
        })
    }
}

impl std::error::Error for BadKey {}

pub(super) fn read_pem(pem: &[u8]) -> Result<Pair, BadKey> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| BadKey::NotFound)?;
    read_der(Zeroizing::new(key).secret_der())
}

pub(super) fn read_der(der: &[u8]) -> Result<Pair, BadKey> {
    let Ok(info) = PrivateKeyInfoRef::try_from(der) else {
        let key = EcPrivateKey::try_from(der).map_err(|_| BadKey::Malformed)?;
        let curve = key.parameters.and_then(EcParameters::named_curve);
        return ec_pair(curve, &key);
    };
    match info.algorithm.oid {
        EC_PUBLIC_KEY => {
            let key = EcPrivateKey::try_from(info.private_key.as_bytes());
            let curve = info.algorithm.parameters_oid().ok();
            ec_pair(curve, &key.map_err(|_| BadKey::Malformed)?)
        }
        ED25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map(Pair::Ed25519)
            .map_err(|_| BadKey::Inconsistent),
        _ => Err(BadKey::Algorithm),
    }
}

fn ec_pair(curve: Option<ObjectIdentifier>, key: &EcPrivateKey<'_>) -> Result<Pair, BadKey> {
    match curve {
        Some(P256) => ec_pair_of(&ECDSA_P256_SHA256_ASN1_SIGNING, key).map(Pair::P256),
        Some(P384) => ec_pair_of(&ECDSA_P384_SHA384_ASN1_SIGNING, key).map(Pair::P384),
        _ => Err(BadKey::Algorithm),
    }
}

fn ec_pair_of(
    algorithm: &'static EcdsaSigningAlgorithm,
    key: &EcPrivateKey<'_>,
) -> Result<EcdsaKeyPair, BadKey> {
    let public = key.public_key.ok_or(BadKey::NoPublicKey)?;
    let random = SystemRandom::new();
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, key.private_key, public, &random)
        .map_err(|_| BadKey::Inconsistent)
}
