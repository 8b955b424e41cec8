//! Certificates: what IKE reads of them (RFC 5280, RFC 4945 section 5).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Class, Decode, Encode, Tag, TagNumber, Tagged};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::name::Name;

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// Kinds of a `GeneralName` (RFC 5280 section 4.2.1.6).
const RFC822_NAME: u32 = 1;
const DNS_NAME: u32 = 2;
const IP_ADDRESS: u32 = 7;

/// Bits of a `KeyUsage` that allow to sign: digitalSignature and nonRepudiation.
const SIGNING_USES: u8 = 0b1100_0000;

/// No certificate, or one whose names no identity can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCertificate {
    /// A section of a PEM file that does not end, or is not base64.
    Pem,
    /// No section of a PEM file is a certificate.
    NotFound,
    /// No X.509 certificate in DER.
    Malformed,
    /// An alternative name that is no printable text, or no address.
    Name,
}

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "a section in PEM does not end or is not base64",
            Self::NotFound => "no certificate in PEM",
            Self::Malformed => "certificate is no X.509 in DER",
            Self::Name => {
                "certificate has an alternative name that is no printable text or no address"
            }
        })
    }
}

impl std::error::Error for BadCertificate {}

/// A certificate that was read and that nobody vouches for yet: see [`crate::TrustAnchors::verify_chain`].
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject_der: Vec<u8>,
    subject_display: String,
    spki: Vec<u8>,
    names: AlternativeNames,
    not_before: u64,
    not_after: u64,
    may_sign: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AlternativeNames {
    dns: Vec<String>,
    email: Vec<String>,
    ip: Vec<IpAddr>,
}

impl Certificate {
    /// Reads the DER of one certificate, and nothing behind it.
    ///
    /// # Errors
    /// [`BadCertificate::Malformed`], [`BadCertificate::Name`].
    pub fn from_der(der: &[u8]) -> Result<Self, BadCertificate> {
        let malformed = |_| BadCertificate::Malformed;
        let certificate = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        let body = certificate.tbs_certificate();
        let extension = |oid| {
            let mut extensions = body.extensions().into_iter().flatten();
            extensions.find(|extension| extension.extn_id == oid)
        };
        let names = extension(SUBJECT_ALT_NAME)
            .map(|extension| AlternativeNames::read(extension.extn_value.as_bytes()));
        let uses = extension(KEY_USAGE).map(|extension| signs(extension.extn_value.as_bytes()));
        let validity = body.validity();
        Ok(Self {
            der: CertificateDer::from(der.to_vec()),
            subject_der: body.subject().to_der().map_err(malformed)?,
            subject_display: display(body.subject()),
            spki: body.subject_public_key_info().to_der().map_err(malformed)?,
            names: names.transpose()?.unwrap_or_default(),
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
            may_sign: uses.transpose()?.unwrap_or(true),
        })
    }

    /// Reads every certificate of a PEM file, in its order; sections of other kinds are left out.
    ///
    /// # Errors
    /// [`BadCertificate`]: as [`Certificate::from_der`] for each, and if there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, BadCertificate> {
        let mut all = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            all.push(Self::from_der(&der.map_err(|_| BadCertificate::Pem)?)?);
        }
        if all.is_empty() {
            return Err(BadCertificate::NotFound);
        }
        Ok(all)
    }

    /// The certificate's DER, as a CERT payload carries it.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The DER of its subject, a `Name`: what an identity of kind ID_DER_ASN1_DN is compared with.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// Its subject for people, in the order of the certificate: `C=XX, O=Lab, CN=a.example`.
    #[must_use]
    pub fn subject_display(&self) -> &str {
        &self.subject_display
    }

    /// The dNSNames among its alternative names, as they are written.
    #[must_use]
    pub fn san_dns(&self) -> &[String] {
        &self.names.dns
    }

    /// The rfc822Names among its alternative names, as they are written.
    #[must_use]
    pub fn san_email(&self) -> &[String] {
        &self.names.email
    }

    /// The iPAddresses among its alternative names.
    #[must_use]
    pub fn san_ip(&self) -> &[IpAddr] {
        &self.names.ip
    }

    /// The DER of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether `time` is in its validity, the ends of which are (RFC 5280 section 4.1.2.5).
    #[must_use]
    pub fn is_valid_at(&self, time: SystemTime) -> bool {
        let since = time.duration_since(UNIX_EPOCH);
        since.is_ok_and(|since| (self.not_before..=self.not_after).contains(&since.as_secs()))
    }

    /// Whether its key usage allows to sign an AUTH payload (RFC 4945 section 5.1.3.2).
    pub(crate) const fn may_sign(&self) -> bool {
        self.may_sign
    }

    pub(crate) const fn as_pki_type(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject_display)
    }
}

impl AlternativeNames {
    fn read(der: &[u8]) -> Result<Self, BadCertificate> {
        let mut names = Self::default();
        let all = Vec::<AnyRef<'_>>::from_der(der).map_err(|_| BadCertificate::Malformed)?;
        for name in all {
            if name.tag().class() != Class::ContextSpecific {
                return Err(BadCertificate::Malformed);
            }
            match name.tag().number() {
                TagNumber(DNS_NAME) => names.dns.push(text(name.value())?),
                TagNumber(RFC822_NAME) => names.email.push(text(name.value())?),
                TagNumber(IP_ADDRESS) => names.ip.push(address(name.value())?),
                _ => {}
            }
        }
        Ok(names)
    }
}

fn text(octets: &[u8]) -> Result<String, BadCertificate> {
    let is_text = octets.iter().all(u8::is_ascii_graphic);
    let text = str::from_utf8(octets).ok().filter(|_| is_text);
    text.map(str::to_owned).ok_or(BadCertificate::Name)
}

fn address(octets: &[u8]) -> Result<IpAddr, BadCertificate> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = || <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).into());
    v4.or_else(|_| v6()).map_err(|_| BadCertificate::Name)
}

fn signs(key_usage: &[u8]) -> Result<bool, BadCertificate> {
    let bits = AnyRef::from_der(key_usage).ok();
    let bits = bits.filter(|bits| bits.tag() == Tag::BitString);
    match bits.map(|bits| bits.value()) {
        Some([_, first, ..]) => Ok(first & SIGNING_USES != 0),
        Some(_) => Ok(false),
        None => Err(BadCertificate::Malformed),
    }
}

fn display(name: &Name) -> String {
    let parts: Vec<String> = name.iter_rdn().map(ToString::to_string).collect();
    let is_shown = |c: &char| !c.is_control();
    parts.join(", ").chars().filter(is_shown).collect()
}

#[cfg(test)]
mod tests;
