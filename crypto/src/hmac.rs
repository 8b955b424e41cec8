//! HMAC under each hash that a protocol asks for (RFC 2104): by ring, and MD5's by RustCrypto.

use ::hmac::digest::Digest;
use ::hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use ring::hmac;
use zeroize::Zeroize;

use crate::prf;

const MD5_OCTETS: usize = 16;
const MD5_BLOCK_OCTETS: usize = 64;

/// An HMAC under its key, of any length.
pub(crate) enum HmacKey {
    Ring(hmac::Key),
    Md5(Box<Hmac<Md5>>),
}

/// The output of an HMAC.
pub(crate) enum Tag {
    Ring(hmac::Tag),
    Md5([u8; MD5_OCTETS]),
}

impl HmacKey {
    pub(crate) fn ring(algorithm: hmac::Algorithm, key: &[u8]) -> Self {
        Self::Ring(hmac::Key::new(algorithm, key))
    }

    pub(crate) fn md5(key: &[u8]) -> Self {
        let digest: [u8; MD5_OCTETS];
        let short = if key.len() > MD5_BLOCK_OCTETS {
            digest = Md5::digest(key).into();
            &digest
        } else {
            key
        };
        let mut block = [0; MD5_BLOCK_OCTETS];
        for (to, from) in block.iter_mut().zip(short) {
            *to = *from;
        }
        let keyed = Hmac::new((&block).into());
        block.zeroize();
        Self::Md5(Box::new(keyed))
    }

    /// The tag of `parts`, one after the other.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> Tag {
        match self {
            Self::Ring(key) => Tag::Ring(prf::tag(key, parts)),
            Self::Md5(key) => {
                let mut context = Hmac::clone(key);
                for part in parts {
                    context.update(part);
                }
                Tag::Md5(context.finalize().into_bytes().into())
            }
        }
    }
}

impl AsRef<[u8]> for Tag {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Ring(tag) => tag.as_ref(),
            Self::Md5(tag) => tag,
        }
    }
}
