//! The keys of an IKE SA and of its child SAs (RFC 7296 sections 2.13, 2.14, 2.17 and 2.18).
//!
//! | name | octets | whose |
//! |---|---|---|
//! | SK_d | output of the PRF | seed of child SAs' keys and of the next IKE SA's |
//! | SK_ai, SK_ar | key of the integrity algorithm; none with an AEAD | initiator to responder, and back |
//! | SK_ei, SK_er | key of the cipher, with the salt of an AEAD (RFC 5282 section 7.1) | likewise |
//! | SK_pi, SK_pr | output of the PRF | AUTH of the initiator and of the responder |

use adit_crypto::{KeymatLength, Prf, SecretBytes, SkKey, Suite};

use super::proposal::IkeProposal;

/// What both ends sent in the clear to make an IKE SA.
#[derive(Clone, Copy, Debug)]
pub struct Seeds<'a> {
    /// The initiator's nonce, without the payload's header.
    pub ni: &'a [u8],
    /// The responder's.
    pub nr: &'a [u8],
    /// The initiator's SPI of the new IKE SA.
    pub spi_i: u64,
    /// The responder's.
    pub spi_r: u64,
}

/// The keys of one direction of an IKE SA.
#[derive(Debug)]
pub struct DirectionKeys {
    /// SK_ei or SK_er.
    pub encryption: SecretBytes,
    /// SK_ai or SK_ar; empty with an AEAD.
    pub integrity: SecretBytes,
}

/// The keys of an IKE SA.
#[derive(Debug)]
pub struct IkeKeys {
    /// SK_d.
    pub sk_d: SecretBytes,
    /// Of what the initiator sends.
    pub i_to_r: DirectionKeys,
    /// Of what the responder sends.
    pub r_to_i: DirectionKeys,
    /// SK_pi.
    pub sk_pi: SecretBytes,
    /// SK_pr.
    pub sk_pr: SecretBytes,
}

impl DirectionKeys {
    /// What seals and opens the messages of this direction.
    ///
    /// # Errors
    /// [`KeymatLength`] when these are keys of another proposal.
    pub fn sk_key(&self, proposal: &IkeProposal) -> Result<SkKey, KeymatLength> {
        let (encryption, integrity) = (self.encryption.expose(), self.integrity.expose());
        SkKey::new(proposal.cipher, proposal.integrity, encryption, integrity)
    }
}

impl IkeKeys {
    /// The keys of a first IKE SA: `SKEYSEED = prf(Ni | Nr, g^ir)` (section 2.14).
    #[must_use]
    pub fn derive(proposal: &IkeProposal, seeds: &Seeds<'_>, g_ir: &SecretBytes) -> Self {
        let nonces = [seeds.ni, seeds.nr].concat();
        let skeyseed = proposal.prf.mac(&nonces, &[g_ir.expose()]);
        Self::expand(proposal, seeds, &skeyseed)
    }

    /// The keys of the IKE SA that replaces one with `old_sk_d`: `SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr)` by the PRF of the
    /// old one (section 2.18).
    #[must_use]
    pub fn rekey(
        proposal: &IkeProposal,
        seeds: &Seeds<'_>,
        g_ir: &SecretBytes,
        old_prf: Prf,
        old_sk_d: &SecretBytes,
    ) -> Self {
        let parts = [g_ir.expose(), seeds.ni, seeds.nr];
        let skeyseed = old_prf.mac(old_sk_d.expose(), &parts);
        Self::expand(proposal, seeds, &skeyseed)
    }

    /// `{SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+ (SKEYSEED, Ni | Nr | SPIi | SPIr)`.
    fn expand(proposal: &IkeProposal, seeds: &Seeds<'_>, skeyseed: &SecretBytes) -> Self {
        let prf_octets = proposal.prf.output_octets();
        let encryption = proposal.cipher.keymat_octets();
        let integrity = proposal.integrity.map_or(0, |i| i.key_octets());
        let octets = 3 * prf_octets + 2 * (encryption + integrity);
        let (spi_i, spi_r) = (seeds.spi_i.to_be_bytes(), seeds.spi_r.to_be_bytes());
        let seed = [seeds.ni, seeds.nr, &spi_i, &spi_r];
        let keymat = proposal.prf.plus(skeyseed.expose(), &seed, octets);
        let mut rest = Cut(keymat.expose());
        let sk_d = rest.take(prf_octets);
        let (sk_ai, sk_ar) = (rest.take(integrity), rest.take(integrity));
        let (sk_ei, sk_er) = (rest.take(encryption), rest.take(encryption));
        Self {
            sk_d,
            i_to_r: DirectionKeys {
                encryption: sk_ei,
                integrity: sk_ai,
            },
            r_to_i: DirectionKeys {
                encryption: sk_er,
                integrity: sk_ar,
            },
            sk_pi: rest.take(prf_octets),
            sk_pr: rest.take(prf_octets),
        }
    }
}

/// The keying material of a child SA, initiator to responder and back, as [`adit_crypto::Aead`] takes it:
/// `prf+ (SK_d, [g^ir (new) |] Ni | Nr)` (section 2.17). The nonces are those of the exchange that makes the child SA, and the initiator
/// is who started that exchange.
#[must_use]
pub fn child_keymat(
    prf: Prf,
    sk_d: &SecretBytes,
    suite: Suite,
    g_ir: Option<&SecretBytes>,
    ni: &[u8],
    nr: &[u8],
) -> (SecretBytes, SecretBytes) {
    let g_ir = g_ir.map_or(&[][..], |g_ir| g_ir.expose());
    let octets = suite.keymat_octets();
    let keymat = prf.plus(sk_d.expose(), &[g_ir, ni, nr], 2 * octets);
    let mut rest = Cut(keymat.expose());
    (rest.take(octets), rest.take(octets))
}

/// Keying material that is cut up from its front.
struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    /// The next octets; all that are left when these are fewer, which the length that was asked of prf+ rules out.
    fn take(&mut self, octets: usize) -> SecretBytes {
        let (taken, rest) = self.0.split_at_checked(octets).unwrap_or((self.0, &[]));
        self.0 = rest;
        SecretBytes::from_slice(taken)
    }
}
