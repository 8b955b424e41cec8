//! Vendor IDs: by which an end says which extensions it speaks (RFC 2408 section 3.16).

use std::fmt;

/// A vendor ID that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VendorId {
    /// Dead peer detection, version 1.0 (RFC 3706 section 5.1).
    Dpd,
    /// NAT traversal (RFC 3947 section 3.1).
    NatT,
    /// NAT traversal of draft-ietf-ipsec-nat-t-ike-02 or -03, which numbers payloads and modes otherwise.
    NatTDraft,
    /// XAUTH (draft-beaulieu-ike-xauth-02 section 2).
    Xauth,
    /// The routers' Mode Config attributes.
    Unity,
    /// Fragmentation of IKEv1 messages.
    Fragmentation,
}

const DPD: [u8; 16] = *b"\xaf\xca\xd7\x13\x68\xa1\xf1\xc9\x6b\x86\x96\xfc\x77\x57\x01\x00";
const NAT_T: [u8; 16] = *b"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f";
const NAT_T_DRAFTS: [[u8; 16]; 3] = [
    *b"\x90\xcb\x80\x91\x3e\xbb\x69\x6e\x08\x63\x81\xb5\xec\x42\x7b\x1f",
    *b"\xcd\x60\x46\x43\x35\xdf\x21\xf8\x7c\xfd\xb2\xfc\x68\xb6\xa4\x48",
    *b"\x7d\x94\x19\xa6\x53\x10\xca\x6f\x2c\x17\x9d\x92\x15\x52\x9d\x56",
];
const XAUTH: [u8; 8] = *b"\x09\x00\x26\x89\xdf\xd6\xb7\x12";
const UNITY: [u8; 16] = *b"\x12\xf5\xf2\x8c\x45\x71\x68\xa9\x70\x2d\x9f\xe2\x74\xcc\x01\x00";
const FRAGMENTATION: [u8; 16] =
    *b"\x40\x48\xb7\xd5\x6e\xbc\xe8\x85\x25\xe7\xde\x7f\x00\xd6\xc2\xd3";
/// Octets of DPD's and Unity's that no version changes.
const WITHOUT_VERSION: usize = 14;

impl VendorId {
    /// What a payload's octets stand for. The version at the end of DPD and Unity may be another one, and capabilities may follow
    /// that of fragmentation.
    #[must_use]
    pub fn recognise(octets: &[u8]) -> Option<Self> {
        let is_of = |known: &[u8; 16]| {
            octets.len() == known.len()
                && octets.get(..WITHOUT_VERSION) == known.get(..WITHOUT_VERSION)
        };
        Some(match octets {
            _ if is_of(&DPD) => Self::Dpd,
            _ if is_of(&UNITY) => Self::Unity,
            _ if octets == NAT_T => Self::NatT,
            _ if octets == XAUTH => Self::Xauth,
            _ if NAT_T_DRAFTS.iter().any(|draft| octets == draft) => Self::NatTDraft,
            _ if octets.starts_with(&FRAGMENTATION) => Self::Fragmentation,
            _ => return None,
        })
    }

    /// The octets of its payload; of the drafts those of the second, which most implementations know.
    #[must_use]
    pub const fn octets(self) -> &'static [u8] {
        match self {
            Self::Dpd => &DPD,
            Self::NatT => &NAT_T,
            Self::NatTDraft => {
                let [known, _, _] = &NAT_T_DRAFTS;
                known
            }
            Self::Xauth => &XAUTH,
            Self::Unity => &UNITY,
            Self::Fragmentation => &FRAGMENTATION,
        }
    }
}

impl fmt::Display for VendorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpd => "DPD",
            Self::NatT => "NAT-T RFC 3947",
            Self::NatTDraft => "NAT-T draft",
            Self::Xauth => "XAUTH",
            Self::Unity => "Unity",
            Self::Fragmentation => "fragmentation",
        })
    }
}
