//! Data attributes (RFC 2408 section 3.3): `1 and type 2 | value 2`, or `0 and type 2 | length 2 | value`.

use std::fmt;

use crate::wire::malformed::{Malformed, Reader, Why};

/// The most attributes in a transform or an attributes payload.
pub const ATTRIBUTES_MAX: usize = 256;
/// Octets of the longest value.
pub const VALUE_OCTETS_MAX: usize = u16::MAX as usize;

/// The attribute format bit: the value stands in place of a length.
const SHORT_FORMAT: u16 = 0x8000;

/// Types of phase 1 (RFC 2409 appendix A).
pub mod phase_1 {
    /// Encryption algorithm.
    pub const ENCRYPTION: u16 = 1;
    /// Hash algorithm.
    pub const HASH: u16 = 2;
    /// Authentication method.
    pub const AUTHENTICATION: u16 = 3;
    /// Group description.
    pub const GROUP: u16 = 4;
    /// Life type, of the life duration that follows it.
    pub const LIFE_TYPE: u16 = 11;
    /// Life duration.
    pub const LIFE_DURATION: u16 = 12;
    /// Key length in bits.
    pub const KEY_LENGTH: u16 = 14;
}

/// Types of phase 2 (RFC 2407 section 4.5).
pub mod phase_2 {
    /// SA life type, of the life duration that follows it.
    pub const LIFE_TYPE: u16 = 1;
    /// SA life duration.
    pub const LIFE_DURATION: u16 = 2;
    /// Group description.
    pub const GROUP: u16 = 3;
    /// Encapsulation mode.
    pub const ENCAPSULATION: u16 = 4;
    /// Authentication algorithm.
    pub const AUTHENTICATION: u16 = 5;
    /// Key length in bits.
    pub const KEY_LENGTH: u16 = 6;
}

/// Types of Mode Config (draft-dukes-ike-mode-cfg-02 section 3.3).
pub mod config {
    /// INTERNAL_IP4_ADDRESS.
    pub const IP4_ADDRESS: u16 = 1;
    /// INTERNAL_IP4_NETMASK.
    pub const IP4_NETMASK: u16 = 2;
    /// INTERNAL_IP4_DNS.
    pub const IP4_DNS: u16 = 3;
    /// INTERNAL_IP4_NBNS.
    pub const IP4_NBNS: u16 = 4;
    /// INTERNAL_ADDRESS_EXPIRY, in seconds.
    pub const ADDRESS_EXPIRY: u16 = 5;
    /// APPLICATION_VERSION.
    pub const APPLICATION_VERSION: u16 = 7;
    /// INTERNAL_IP6_ADDRESS.
    pub const IP6_ADDRESS: u16 = 8;
    /// INTERNAL_IP6_DNS.
    pub const IP6_DNS: u16 = 10;
    /// INTERNAL_IP4_SUBNET: an address and a mask.
    pub const IP4_SUBNET: u16 = 13;
}

/// Types of XAUTH (draft-beaulieu-ike-xauth-02 section 6.2).
pub mod xauth {
    /// XAUTH-TYPE.
    pub const TYPE: u16 = 16520;
    /// XAUTH-USER-NAME.
    pub const USER_NAME: u16 = 16521;
    /// XAUTH-USER-PASSWORD.
    pub const USER_PASSWORD: u16 = 16522;
    /// XAUTH-PASSCODE.
    pub const PASSCODE: u16 = 16523;
    /// XAUTH-MESSAGE.
    pub const MESSAGE: u16 = 16524;
    /// XAUTH-CHALLENGE.
    pub const CHALLENGE: u16 = 16525;
    /// XAUTH-DOMAIN.
    pub const DOMAIN: u16 = 16526;
    /// XAUTH-STATUS.
    pub const STATUS: u16 = 16527;
    /// XAUTH-NEXT-PIN.
    pub const NEXT_PIN: u16 = 16528;
    /// XAUTH-ANSWER.
    pub const ANSWER: u16 = 16529;
}

/// The routers' own types of Mode Config.
pub mod unity {
    /// A text for the user.
    pub const BANNER: u16 = 28672;
    /// Whether the client may keep the password.
    pub const SAVE_PASSWORD: u16 = 28673;
    /// The domain of names without one.
    pub const DEFAULT_DOMAIN: u16 = 28674;
    /// Domains that the server's name servers answer for.
    pub const SPLIT_DNS: u16 = 28675;
    /// Networks that are reached through the tunnel, which alone are.
    pub const SPLIT_INCLUDE: u16 = 28676;
    /// Networks that are not.
    pub const SPLIT_EXCLUDE: u16 = 28678;
    /// Whether quick mode has a key exchange of its own.
    pub const PFS: u16 = 28679;
    /// Other servers to try.
    pub const BACKUP_SERVERS: u16 = 28681;
}

/// An attribute's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of two octets, in place of a length.
    Short(u16),
    /// Of any length.
    Long(&'a [u8]),
}

/// An attribute. Its Debug shows the length of a long value only, which may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type, without the format bit; what it means depends on the payload.
    pub kind: u16,
    /// Its value.
    pub value: Value<'a>,
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(value) => write!(f, "Short({value})"),
            Self::Long(octets) => write!(f, "Long({} octets)", octets.len()),
        }
    }
}

impl Value<'_> {
    /// The value as a number: the short one, or a long one of at most eight octets, big-endian.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match *self {
            Self::Short(value) => Some(value.into()),
            Self::Long(octets) if (1..=8).contains(&octets.len()) => {
                let add = |sum: u64, octet: &u8| sum << 8 | u64::from(*octet);
                Some(octets.iter().fold(0, add))
            }
            Self::Long(_) => None,
        }
    }
}

impl<'a> Attribute<'a> {
    /// An attribute of two octets in the short format.
    #[must_use]
    pub const fn short(kind: u16, value: u16) -> Self {
        Self {
            kind,
            value: Value::Short(value),
        }
    }

    /// An attribute in the long format.
    #[must_use]
    pub const fn long(kind: u16, value: &'a [u8]) -> Self {
        Self {
            kind,
            value: Value::Long(value),
        }
    }

    /// Appends it; a value of more than [`VALUE_OCTETS_MAX`] octets is cut off there.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let kind = self.kind & !SHORT_FORMAT;
        match self.value {
            Value::Short(value) => {
                out.extend((kind | SHORT_FORMAT).to_be_bytes());
                out.extend(value.to_be_bytes());
            }
            Value::Long(octets) => {
                let octets = octets.get(..VALUE_OCTETS_MAX).unwrap_or(octets);
                let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
                out.extend(kind.to_be_bytes());
                out.extend(length.to_be_bytes());
                out.extend_from_slice(octets);
            }
        }
    }
}

/// Attributes one behind the other, as they stand in a payload.
#[must_use]
pub fn body(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for attribute in attributes {
        attribute.write(&mut octets);
    }
    octets
}

/// The attributes that these octets are, as [`body`] writes them.
///
/// # Errors
/// [`Malformed`] when one is cut off, or there are more than [`ATTRIBUTES_MAX`].
pub fn attributes(octets: &[u8]) -> Result<Vec<Attribute<'_>>, Malformed> {
    parse(Reader::new("attributes", octets))
}

/// All attributes to the end of `reader`.
pub(super) fn parse(mut reader: Reader<'_>) -> Result<Vec<Attribute<'_>>, Malformed> {
    let mut attributes = Vec::new();
    while !reader.is_empty() {
        if attributes.len() == ATTRIBUTES_MAX {
            return Err(reader.error(Why::TooMany(ATTRIBUTES_MAX)));
        }
        let (kind, value) = (reader.u16()?, reader.u16()?);
        let value = match kind & SHORT_FORMAT {
            0 => Value::Long(reader.take(usize::from(value))?),
            _ => Value::Short(value),
        };
        attributes.push(Attribute {
            kind: kind & !SHORT_FORMAT,
            value,
        });
    }
    Ok(attributes)
}
