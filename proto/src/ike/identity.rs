//! Who an end says it is: the ID payloads (RFC 7296 section 3.5).

mod dn;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use adit_crypto::Certificate;

use crate::wire::ike::Id;

const ID_IPV4_ADDR: u8 = 1;
const ID_FQDN: u8 = 2;
const ID_RFC822_ADDR: u8 = 3;
const ID_IPV6_ADDR: u8 = 5;
const ID_DER_ASN1_DN: u8 = 9;
const ID_KEY_ID: u8 = 11;
const KEY_ID_PREFIX: &str = "keyid:";
/// The longest name or key ID.
const OCTETS_MAX: usize = 1024;

/// An identity. Two are equal as RFC 7296 section 3.5 and RFC 5280 section 7 compare them: host names and distinguished names without
/// regard to the case of ASCII letters, the part of a mail address before its `@` and a key ID octet by octet.
#[derive(Clone, Debug)]
pub enum Identity {
    /// ID_FQDN: printable ASCII.
    Fqdn(String),
    /// ID_RFC822_ADDR: printable ASCII.
    Email(String),
    /// ID_IPV4_ADDR.
    Ipv4(Ipv4Addr),
    /// ID_IPV6_ADDR.
    Ipv6(Ipv6Addr),
    /// ID_DER_ASN1_DN: an X.501 Name in DER.
    Dn(Vec<u8>),
    /// ID_KEY_ID: octets that only the two ends know the meaning of.
    KeyId(Vec<u8>),
}

/// Why an identity cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIdentity {
    /// An ID type that is not supported.
    Kind(u8),
    /// No octets.
    Empty,
    /// More octets than are taken.
    Long,
    /// An address of that many octets.
    AddressOctets(usize),
    /// A name with an octet that is not printable ASCII.
    NotPrintable,
    /// A distinguished name that is not `KEY=value, KEY=value` of known keys, or not such a name in DER.
    DistinguishedName,
    /// A key ID after `0x` that is not pairs of hexadecimal digits.
    Hexadecimal,
}

impl fmt::Display for BadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "ID type {kind} is not supported"),
            Self::Empty => f.write_str("identity is empty"),
            Self::Long => write!(f, "identity of more than {OCTETS_MAX} octets"),
            Self::AddressOctets(octets) => write!(f, "address of {octets} octets"),
            Self::NotPrintable => f.write_str("name with an octet that is not printable ASCII"),
            Self::DistinguishedName => {
                f.write_str("no distinguished name: \"C=…, O=…, OU=…, CN=…\" is one")
            }
            Self::Hexadecimal => f.write_str("key ID after 0x is not pairs of hexadecimal digits"),
        }
    }
}

impl Error for BadIdentity {}

impl Identity {
    /// The identity of an ID payload.
    ///
    /// # Errors
    /// [`BadIdentity`].
    pub fn from_wire(id: Id<'_>) -> Result<Self, BadIdentity> {
        let data = bounded(id.data)?;
        match id.kind {
            ID_IPV4_ADDR => Ok(Self::Ipv4(octets::<4>(data)?.into())),
            ID_IPV6_ADDR => Ok(Self::Ipv6(octets::<16>(data)?.into())),
            ID_FQDN => Ok(Self::Fqdn(name(data)?)),
            ID_RFC822_ADDR => Ok(Self::Email(name(data)?)),
            ID_DER_ASN1_DN => match dn::Name::parse(data) {
                Some(_) => Ok(Self::Dn(data.to_vec())),
                None => Err(BadIdentity::DistinguishedName),
            },
            ID_KEY_ID => Ok(Self::KeyId(data.to_vec())),
            kind => Err(BadIdentity::Kind(kind)),
        }
    }

    /// The ID type and the identification data.
    #[must_use]
    pub fn to_wire(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Ipv4(address) => (ID_IPV4_ADDR, address.octets().to_vec()),
            Self::Ipv6(address) => (ID_IPV6_ADDR, address.octets().to_vec()),
            Self::Fqdn(name) => (ID_FQDN, name.clone().into_bytes()),
            Self::Email(name) => (ID_RFC822_ADDR, name.clone().into_bytes()),
            Self::Dn(der) => (ID_DER_ASN1_DN, der.clone()),
            Self::KeyId(octets) => (ID_KEY_ID, octets.clone()),
        }
    }

    /// Whether a certificate is of this identity (RFC 7296 section 3.5, RFC 4945 section 3.1): a subjectAltName of its kind, or its
    /// subject. A key ID is no certificate's, and a name with wildcards is only itself.
    #[must_use]
    pub fn is_certified_by(&self, certificate: &Certificate) -> bool {
        let is_self = |other: Self| other == *self;
        match self {
            Self::Fqdn(_) => certificate
                .san_dns()
                .iter()
                .cloned()
                .map(Self::Fqdn)
                .any(is_self),
            Self::Email(_) => certificate
                .san_email()
                .iter()
                .cloned()
                .map(Self::Email)
                .any(is_self),
            Self::Ipv4(_) | Self::Ipv6(_) => certificate
                .san_ip()
                .iter()
                .copied()
                .map(Self::from)
                .any(is_self),
            Self::Dn(_) => is_self(Self::Dn(certificate.subject_der().to_vec())),
            Self::KeyId(_) => false,
        }
    }

    /// The body of its ID payload, which AUTH signs: `type 1 | reserved 3 | data`.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let (kind, data) = self.to_wire();
        body(Id { kind, data: &data })
    }
}

/// The body of an ID payload, which AUTH signs: `type 1 | reserved 3 | data`.
#[must_use]
pub fn body(id: Id<'_>) -> Vec<u8> {
    [&[id.kind, 0, 0, 0], id.data].concat()
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fqdn(a), Self::Fqdn(b)) => a.eq_ignore_ascii_case(b),
            (Self::Email(a), Self::Email(b)) => same_mailbox(a, b),
            (Self::Ipv4(a), Self::Ipv4(b)) => a == b,
            (Self::Ipv6(a), Self::Ipv6(b)) => a == b,
            (Self::Dn(a), Self::Dn(b)) => a == b || dn::same(a, b),
            (Self::KeyId(a), Self::KeyId(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Identity {}

impl FromStr for Identity {
    type Err = BadIdentity;

    /// `"keyid:text"` and `"keyid:0x0a0b"`, an address, `"CN=…, O=…"`, `"user@host"`; anything else is a host name.
    fn from_str(text: &str) -> Result<Self, BadIdentity> {
        bounded(text.as_bytes())?;
        if let Some(key_id) = text.strip_prefix(KEY_ID_PREFIX) {
            return key_id_of(key_id).map(Self::KeyId);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        if text.contains('=') {
            return dn::encode(text)
                .map(Self::Dn)
                .ok_or(BadIdentity::DistinguishedName);
        }
        let name = name(text.as_bytes())?;
        Ok(match name.contains('@') {
            true => Self::Email(name),
            false => Self::Fqdn(name),
        })
    }
}

impl From<IpAddr> for Identity {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fqdn(name) | Self::Email(name) => f.write_str(name),
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Dn(der) => match dn::Name::parse(der) {
                Some(name) => name.fmt(f),
                None => f.write_str("(no distinguished name)"),
            },
            Self::KeyId(octets) => match name(octets) {
                Ok(text) if !text.starts_with("0x") => write!(f, "{KEY_ID_PREFIX}{text}"),
                _ => {
                    write!(f, "{KEY_ID_PREFIX}0x")?;
                    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
                }
            },
        }
    }
}

fn bounded(data: &[u8]) -> Result<&[u8], BadIdentity> {
    match data.len() {
        0 => Err(BadIdentity::Empty),
        1..=OCTETS_MAX => Ok(data),
        _ => Err(BadIdentity::Long),
    }
}

fn octets<const N: usize>(data: &[u8]) -> Result<[u8; N], BadIdentity> {
    data.try_into()
        .map_err(|_| BadIdentity::AddressOctets(data.len()))
}

fn name(data: &[u8]) -> Result<String, BadIdentity> {
    match std::str::from_utf8(data) {
        Ok(text) if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic()) => {
            Ok(text.to_owned())
        }
        Ok("") => Err(BadIdentity::Empty),
        _ => Err(BadIdentity::NotPrintable),
    }
}

fn key_id_of(text: &str) -> Result<Vec<u8>, BadIdentity> {
    bounded(text.as_bytes())?;
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(text.as_bytes().to_vec());
    };
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair).ok()?;
        let is_pair = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        u8::from_str_radix(digits, 16).ok().filter(|_| is_pair)
    });
    let octets: Option<Vec<u8>> = pairs.collect();
    octets
        .filter(|octets| !octets.is_empty())
        .ok_or(BadIdentity::Hexadecimal)
}

/// A mail host is compared as host names are, what is before it octet by octet (RFC 5280 section 7.5).
fn same_mailbox(a: &str, b: &str) -> bool {
    match (a.rsplit_once('@'), b.rsplit_once('@')) {
        (Some((a, a_host)), Some((b, b_host))) => a == b && a_host.eq_ignore_ascii_case(b_host),
        _ => a == b,
    }
}
