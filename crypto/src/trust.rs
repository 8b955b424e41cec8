//! Certification authorities, and the chains of certificates that end at one (RFC 5280 section 6, RFC 4945 section 5.1.3.12).

use std::fmt;

use rustls_pki_types::{SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, ring,
};

use crate::{BadCertificate, Certificate, sha1};

const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    ring::ECDSA_P256_SHA256,
    ring::ECDSA_P256_SHA384,
    ring::ECDSA_P384_SHA256,
    ring::ECDSA_P384_SHA384,
    ring::ED25519,
];

/// Extended key usages, one of which a certificate has that has any: id-kp-ipsecIKE, ikeIntermediate, serverAuth and clientAuth as
/// the tools of VPNs write them, anyExtendedKeyUsage.
const USES: &[KeyPurposeId<'static>] = &[
    KeyPurposeId::new(b"\x2b\x06\x01\x05\x05\x07\x03\x11"),
    KeyPurposeId::new(b"\x2b\x06\x01\x05\x05\x08\x02\x02"),
    KeyPurposeId::new(b"\x2b\x06\x01\x05\x05\x07\x03\x01"),
    KeyPurposeId::new(b"\x2b\x06\x01\x05\x05\x07\x03\x02"),
    KeyPurposeId::new(b"\x55\x1d\x25\x00"),
];

/// Why a chain of certificates proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateRefused {
    /// No chain leads to a certification authority that is trusted.
    UnknownIssuer,
    /// A certificate's signature is not its issuer's.
    BadSignature,
    /// A certificate is signed with an algorithm that is not available.
    Algorithm,
    /// A certificate's validity has ended.
    Expired,
    /// A certificate's validity has not begun.
    NotYetValid,
    /// The end entity's certificate is that of an authority, or an authority's is none.
    Authority,
    /// A usage, an extended one or not, does not allow IKE.
    Usage,
    /// A name is outside of an issuer's constraints, or a path is longer.
    Constraint,
    /// A critical extension that is not understood.
    CriticalExtension,
    /// More certificates than are tried.
    TooMany,
    /// Not what RFC 5280 asks of a certificate.
    Malformed,
}

impl fmt::Display for CertificateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "no chain to a trusted certification authority",
            Self::BadSignature => "the signature of a certificate is not its issuer's",
            Self::Algorithm => {
                "a certificate is signed with other than ECDSA on P-256 or P-384, or Ed25519"
            }
            Self::Expired => "a certificate has expired",
            Self::NotYetValid => "a certificate is not valid yet",
            Self::Authority => {
                "a certification authority is the end entity, or an end entity issued"
            }
            Self::Usage => "the usage of a certificate does not allow IKE",
            Self::Constraint => "a certificate is outside of its issuer's constraints",
            Self::CriticalExtension => {
                "a certificate has a critical extension that is not understood"
            }
            Self::TooMany => "a chain has too many certificates",
            Self::Malformed => "a certificate is malformed",
        })
    }
}

impl std::error::Error for CertificateRefused {}

/// Certification authorities that are trusted.
#[derive(Debug)]
pub struct TrustAnchors {
    anchors: Vec<TrustAnchor<'static>>,
    key_ids: Vec<[u8; 20]>,
}

impl TrustAnchors {
    /// Reads every certificate of a PEM file as that of a trusted authority.
    ///
    /// # Errors
    /// [`BadCertificate`], for any of them.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadCertificate> {
        let certificates = Certificate::from_pem(pem)?;
        let anchor = |certificate: &Certificate| {
            webpki::anchor_from_trusted_cert(certificate.as_pki_type())
                .map(|anchor| anchor.to_owned())
                .map_err(|_| BadCertificate::Malformed)
        };
        let key_id = |certificate: &Certificate| sha1(&[certificate.spki()]);
        Ok(Self {
            anchors: certificates.iter().map(anchor).collect::<Result<_, _>>()?,
            key_ids: certificates.iter().map(key_id).collect(),
        })
    }

    /// The SHA-1 digest of each authority's `SubjectPublicKeyInfo`, as a CERTREQ payload lists them (RFC 7296 section 3.7).
    #[must_use]
    pub fn key_ids(&self) -> Vec<[u8; 20]> {
        self.key_ids.clone()
    }

    /// Verifies that the end entity's certificate is valid, allows IKE, and that a chain of `intermediates`, in any order and not all of
    /// them of it, leads to an authority that is trusted. Whether the certificate names the peer's identity is not looked at, and
    /// neither is any revocation list.
    ///
    /// # Errors
    /// [`CertificateRefused`], with what came closest to a chain.
    pub fn verify_chain(
        &self,
        end_entity: &Certificate,
        intermediates: &[Certificate],
        unix_time_secs: u64,
    ) -> Result<(), CertificateRefused> {
        let subject = EndEntityCert::try_from(end_entity.as_pki_type()).map_err(refused)?;
        let between: Vec<_> = intermediates
            .iter()
            .map(|certificate| certificate.as_pki_type().clone())
            .collect();
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(unix_time_secs));
        subject
            .verify_for_usage(ALGORITHMS, &self.anchors, &between, time, Ike, None, None)
            .map_err(refused)?;
        if end_entity.may_sign() {
            Ok(())
        } else {
            Err(CertificateRefused::Usage)
        }
    }
}

/// That an extended key usage, where there is one, allows IKE.
struct Ike;

impl ExtendedKeyUsageValidator for Ike {
    fn validate(&self, uses: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let mut is_limited = false;
        for one in uses {
            is_limited = true;
            if USES.contains(&one?) {
                return Ok(());
            }
        }
        if is_limited {
            Err(Error::EmptyEkuExtension)
        } else {
            Ok(())
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a dependency's enum that is not exhaustive; what it may say besides is of malformed certificates"
)]
fn refused(error: Error) -> CertificateRefused {
    match error {
        Error::UnknownIssuer => CertificateRefused::UnknownIssuer,
        Error::InvalidSignatureForPublicKey | Error::SignatureAlgorithmMismatch => {
            CertificateRefused::BadSignature
        }
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            CertificateRefused::Algorithm
        }
        Error::CertExpired { .. } => CertificateRefused::Expired,
        Error::CertNotValidYet { .. } => CertificateRefused::NotYetValid,
        Error::CaUsedAsEndEntity | Error::EndEntityUsedAsCa => CertificateRefused::Authority,
        Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => {
            CertificateRefused::Usage
        }
        Error::NameConstraintViolation | Error::PathLenConstraintViolated => {
            CertificateRefused::Constraint
        }
        Error::UnsupportedCriticalExtension => CertificateRefused::CriticalExtension,
        Error::MaximumPathDepthExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => CertificateRefused::TooMany,
        _ => CertificateRefused::Malformed,
    }
}

#[cfg(test)]
mod tests;
