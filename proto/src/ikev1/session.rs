//! What phase 1 leaves to the messages behind it: hash, keys and the place in the chain of IVs.

use adit_crypto::v1::{CbcKey, Hash};
use adit_crypto::{SecretBytes, Suite};

use super::chain::{self, Iv};
use super::hash::{Exchanged, Which, of_message, proves};
use super::keys::{ChildSeeds, IsakmpKeys, Seeds, child_keymat};
use super::message::Contents;
use super::proposal::IkeProposal;
use super::sa::Phase1;
use crate::wire::isakmp::{Header, Opened, Writer, behind_hash};

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    hash: Hash,
    keys: IsakmpKeys,
    cipher: CbcKey,
}

/// An encrypted message, and the IV of the next one.
pub(super) struct Sealed {
    pub(super) octets: Vec<u8>,
    pub(super) iv: Iv,
}

impl Session {
    /// None if the cipher does not take the keys.
    pub(super) fn new(
        proposal: &IkeProposal,
        psk: &SecretBytes,
        exchange: &Phase1,
        (cky_i, cky_r): (u64, u64),
        g_xy: &SecretBytes,
    ) -> Option<Self> {
        let seeds = Seeds {
            ni: &exchange.nonce_i,
            nr: &exchange.nonce_r,
            cky_i,
            cky_r,
        };
        let keys = IsakmpKeys::derive(proposal.hash, psk, &seeds, g_xy);
        let cipher = keys.cipher_key(proposal.hash, proposal.cipher).ok()?;
        Some(Self {
            hash: proposal.hash,
            keys,
            cipher,
        })
    }

    /// The IV of the first encrypted message of phase 1.
    pub(super) fn first_iv(&self, exchange: &Phase1) -> Iv {
        Iv::of_phase_1(
            self.hash,
            self.cipher.cipher(),
            &exchange.g_xi,
            &exchange.g_xr,
        )
    }

    /// The IV of the first message of an exchange behind phase 1.
    pub(super) fn exchange_iv(&self, phase_1: &Iv, message_id: u32) -> Iv {
        phase_1.of_exchange(self.hash, self.cipher.cipher(), message_id)
    }

    /// HASH_I or HASH_R, of that identity's body.
    pub(super) fn proof(
        &self,
        exchange: &Phase1,
        (cky_i, cky_r): (u64, u64),
        of_initiator: bool,
        id_body: &[u8],
    ) -> SecretBytes {
        let exchanged = Exchanged {
            g_xi: &exchange.g_xi,
            g_xr: &exchange.g_xr,
            cky_i,
            cky_r,
            sai_b: &exchange.sa_i,
        };
        if of_initiator {
            exchanged.hash_i(self.hash, &self.keys.skeyid, id_body)
        } else {
            exchanged.hash_r(self.hash, &self.keys.skeyid, id_body)
        }
    }

    /// Whether the message begins with that HASH.
    pub(super) fn proves(&self, which: Which<'_>, contents: &Contents<'_>) -> bool {
        let opened = Opened {
            payloads: contents.payloads.clone(),
            chain: contents.chain,
        };
        let message_id = contents.header.message_id;
        proves(self.hash, &self.keys.skeyid_a, message_id, which, &opened)
    }

    /// The payloads with that HASH in front: the type of the first, and the chain.
    pub(super) fn hashed(&self, message_id: u32, which: Which<'_>, writer: &mut Writer) -> Vec<u8> {
        let (first, rest) = writer.finish();
        // What is in it may be a password.
        let rest = SecretBytes::new(rest);
        let key = &self.keys.skeyid_a;
        let hash = of_message(self.hash, key, message_id, which, rest.expose());
        behind_hash(hash.expose(), first, rest.expose())
    }

    /// Encrypts a message.
    pub(super) fn seal(
        &self,
        iv: &Iv,
        header: &Header,
        first: u8,
        chain: Vec<u8>,
    ) -> Option<Sealed> {
        let (octets, iv) = chain::seal(&self.cipher, iv, header, first, chain).ok()?;
        Some(Sealed { octets, iv })
    }

    /// Decrypts a message into `chain`, padding and all, and reads it; its IV is to be kept if it proves to be the peer's. A wrong key gives
    /// noise, which hardly ever reads as payloads.
    pub(super) fn open<'a>(
        &self,
        iv: &Iv,
        (header, octets): (Header, &'a [u8]),
        chain: &'a mut Vec<u8>,
    ) -> Option<Contents<'a>> {
        let (decrypted, next_iv) = chain::open(&self.cipher, iv, &header, octets).ok()?;
        *chain = decrypted;
        Contents::decrypted(header, octets, chain, next_iv)
    }

    /// The keys of the ESP SA that receives by `spi`.
    pub(super) fn keymat(
        &self,
        suite: Suite,
        spi: u32,
        (ni, nr): (&[u8], &[u8]),
        g_xy: Option<&SecretBytes>,
    ) -> SecretBytes {
        let seeds = ChildSeeds {
            g_xy,
            protocol: 3,
            spi,
            ni,
            nr,
        };
        child_keymat(
            self.hash,
            &self.keys.skeyid_d,
            &seeds,
            suite.keymat_octets(),
        )
    }
}
