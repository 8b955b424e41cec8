//! The keys of an ISAKMP SA with a pre-shared key, and of the IPsec SAs that it makes (RFC 2409 sections 5 and 5.5, appendix B).
//!
//! | name | octets | whose |
//! |---|---|---|
//! | SKEYID | digest | key of HASH_I and HASH_R |
//! | SKEYID_d | digest | seed of IPsec SAs' keys |
//! | SKEYID_a | digest | key of the HASH of each message behind phase 1 |
//! | Ka | key of the cipher | SKEYID_e, or what is expanded from it |

use adit_crypto::v1::{CbcKey, Cipher, Hash};
use adit_crypto::{KeymatLength, SecretBytes};

/// Octets of the longest digest.
const DIGEST_OCTETS_MAX: usize = 64;

/// What both ends sent in the clear to make an ISAKMP SA.
#[derive(Clone, Copy, Debug)]
pub struct Seeds<'a> {
    /// Ni_b: the initiator's nonce, without the payload's header.
    pub ni: &'a [u8],
    /// Nr_b: the responder's.
    pub nr: &'a [u8],
    /// CKY-I.
    pub cky_i: u64,
    /// CKY-R.
    pub cky_r: u64,
}

/// The keys of an ISAKMP SA.
#[derive(Debug)]
pub struct IsakmpKeys {
    /// SKEYID.
    pub skeyid: SecretBytes,
    /// SKEYID_d.
    pub skeyid_d: SecretBytes,
    /// SKEYID_a.
    pub skeyid_a: SecretBytes,
    /// SKEYID_e.
    pub skeyid_e: SecretBytes,
}

impl IsakmpKeys {
    /// The keys of an SA whose ends share `psk`: `SKEYID = prf(psk, Ni_b | Nr_b)` (RFC 2409 section 5.4), and
    ///
    /// ```text
    /// SKEYID_d = prf(SKEYID, g^xy | CKY-I | CKY-R | 0)
    /// SKEYID_a = prf(SKEYID, SKEYID_d | g^xy | CKY-I | CKY-R | 1)
    /// SKEYID_e = prf(SKEYID, SKEYID_a | g^xy | CKY-I | CKY-R | 2)
    /// ```
    #[must_use]
    pub fn derive(hash: Hash, psk: &SecretBytes, seeds: &Seeds<'_>, g_xy: &SecretBytes) -> Self {
        let skeyid = hash.prf(psk.expose(), &[seeds.ni, seeds.nr]);
        let (cky_i, cky_r) = (seeds.cky_i.to_be_bytes(), seeds.cky_r.to_be_bytes());
        let next = |last: &[u8], number: u8| {
            let parts = [last, g_xy.expose(), &cky_i, &cky_r, &[number]];
            hash.prf(skeyid.expose(), &parts)
        };
        let skeyid_d = next(&[], 0);
        let skeyid_a = next(skeyid_d.expose(), 1);
        let skeyid_e = next(skeyid_a.expose(), 2);
        Self {
            skeyid,
            skeyid_d,
            skeyid_a,
            skeyid_e,
        }
    }

    /// What encrypts the SA's messages: the first octets of SKEYID_e, or where these are too few of
    /// `Ka = K1 | K2 | …`, `K1 = prf(SKEYID_e, 0)`, `Kn = prf(SKEYID_e, Kn-1)` (appendix B).
    ///
    /// # Errors
    /// [`KeymatLength`] never, unless the cipher wants another length than it says.
    pub fn cipher_key(&self, hash: Hash, cipher: Cipher) -> Result<CbcKey, KeymatLength> {
        let key = self.encryption_key(hash, cipher.key_octets());
        CbcKey::new(cipher, key.expose())
    }

    pub(super) fn encryption_key(&self, hash: Hash, octets: usize) -> SecretBytes {
        if let Some(key) = self.skeyid_e.expose().get(..octets) {
            return SecretBytes::from_slice(key);
        }
        expand(octets, |last| {
            hash.prf(self.skeyid_e.expose(), &[last.unwrap_or(&[0])])
        })
    }
}

/// What makes up an IPsec SA's keys besides SKEYID_d (RFC 2409 section 5.5).
#[derive(Clone, Copy, Debug)]
pub struct ChildSeeds<'a> {
    /// The shared secret of quick mode's own key exchange; none without perfect forward secrecy.
    pub g_xy: Option<&'a SecretBytes>,
    /// The protocol's number: 3 for ESP.
    pub protocol: u8,
    /// The SPI of that direction, which its receiver chose.
    pub spi: u32,
    /// Ni_b of the quick mode.
    pub ni: &'a [u8],
    /// Nr_b of the quick mode.
    pub nr: &'a [u8],
}

/// The keying material of one direction of an IPsec SA: `KEYMAT = K1 | K2 | …` with
/// `K1 = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)` and
/// `Kn = prf(SKEYID_d, Kn-1 | [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)`.
#[must_use]
pub fn child_keymat(
    hash: Hash,
    skeyid_d: &SecretBytes,
    seeds: &ChildSeeds<'_>,
    octets: usize,
) -> SecretBytes {
    let g_xy = seeds.g_xy.map_or(&[][..], |g_xy| g_xy.expose());
    let (protocol, spi) = ([seeds.protocol], seeds.spi.to_be_bytes());
    expand(octets, |last| {
        let last = last.unwrap_or_default();
        let parts = [last, g_xy, &protocol, &spi, seeds.ni, seeds.nr];
        hash.prf(skeyid_d.expose(), &parts)
    })
}

/// The first `octets` of the blocks that `next` makes of the last one.
fn expand(octets: usize, next: impl Fn(Option<&[u8]>) -> SecretBytes) -> SecretBytes {
    // With room for all of it, so that no part stays behind where it grew.
    let mut all = Vec::with_capacity(octets + DIGEST_OCTETS_MAX);
    let mut last: Option<SecretBytes> = None;
    while all.len() < octets {
        let block = next(last.as_ref().map(SecretBytes::expose));
        all.extend_from_slice(block.expose());
        last = Some(block);
    }
    let mut all = SecretBytes::new(all);
    all.take(octets).unwrap_or(all)
}
