//! What proves that a message is its sender's: HASH_I and HASH_R of phase 1, and the HASH of each message behind it (RFC 2409 section 5).

use adit_crypto::v1::Hash;
use adit_crypto::{SecretBytes, constant_time_eq};

use crate::wire::isakmp::Opened;

/// What the proofs of phase 1 are of, besides an identity.
#[derive(Clone, Copy, Debug)]
pub struct Exchanged<'a> {
    /// g^xi: the initiator's public key.
    pub g_xi: &'a [u8],
    /// g^xr: the responder's.
    pub g_xr: &'a [u8],
    /// CKY-I.
    pub cky_i: u64,
    /// CKY-R.
    pub cky_r: u64,
    /// SAi_b: the body of the initiator's SA payload, with everything that it offered.
    pub sai_b: &'a [u8],
}

impl Exchanged<'_> {
    /// `HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)`; `idii_b` is the body of the initiator's ID payload.
    #[must_use]
    pub fn hash_i(&self, hash: Hash, skeyid: &SecretBytes, idii_b: &[u8]) -> SecretBytes {
        let (cky_i, cky_r) = (self.cky_i.to_be_bytes(), self.cky_r.to_be_bytes());
        let parts = [self.g_xi, self.g_xr, &cky_i, &cky_r, self.sai_b, idii_b];
        hash.prf(skeyid.expose(), &parts)
    }

    /// `HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)`; `idir_b` is the body of the responder's ID payload.
    #[must_use]
    pub fn hash_r(&self, hash: Hash, skeyid: &SecretBytes, idir_b: &[u8]) -> SecretBytes {
        let (cky_i, cky_r) = (self.cky_i.to_be_bytes(), self.cky_r.to_be_bytes());
        let parts = [self.g_xr, self.g_xi, &cky_r, &cky_i, self.sai_b, idir_b];
        hash.prf(skeyid.expose(), &parts)
    }
}

/// Which HASH a message behind phase 1 carries.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// HASH(1) of quick mode, and that of informational and transaction messages: `prf(SKEYID_a, M-ID | rest)`.
    First,
    /// HASH(2) of quick mode: `prf(SKEYID_a, M-ID | Ni_b | rest)`.
    Second {
        /// Ni_b.
        ni: &'a [u8],
    },
    /// HASH(3) of quick mode: `prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)`, whatever the rest.
    Third {
        /// Ni_b.
        ni: &'a [u8],
        /// Nr_b.
        nr: &'a [u8],
    },
}

/// The HASH of a message; `rest` is the chain behind the HASH payload, headers of payloads included and padding not.
#[must_use]
pub fn of_message(
    hash: Hash,
    skeyid_a: &SecretBytes,
    message_id: u32,
    which: Which<'_>,
    rest: &[u8],
) -> SecretBytes {
    let message_id = message_id.to_be_bytes();
    let key = skeyid_a.expose();
    match which {
        Which::First => hash.prf(key, &[&message_id, rest]),
        Which::Second { ni } => hash.prf(key, &[&message_id, ni, rest]),
        Which::Third { ni, nr } => hash.prf(key, &[&[0], &message_id, ni, nr]),
    }
}

/// Whether a decrypted message begins with the HASH that only its sender can have made. Nothing in it is to be believed before.
#[must_use]
pub fn proves(
    hash: Hash,
    skeyid_a: &SecretBytes,
    message_id: u32,
    which: Which<'_>,
    opened: &Opened<'_>,
) -> bool {
    opened.hash_and_rest().is_some_and(|(said, rest)| {
        let made = of_message(hash, skeyid_a, message_id, which, rest);
        constant_time_eq(made.expose(), said)
    })
}
