//! What AUTH payloads prove (RFC 7296 section 2.15, RFC 7427).

use adit_crypto::{Prf, SecretBytes, constant_time_eq};

/// The auth method of a pre-shared key (RFC 7296 section 3.8).
pub const METHOD_SHARED_KEY: u8 = 2;
/// The auth method of a signature whose algorithm is named beside it (RFC 7427 section 3).
pub const METHOD_DIGITAL_SIGNATURE: u8 = 14;

const KEY_PAD: &[u8] = b"Key Pad for IKEv2";

/// The octets that one end signs: `its first message | the other end's nonce | prf(SK_p, body of its ID payload)`.
///
/// The message is that of IKE_SA_INIT from its SPIs on as it was sent, SK_p is SK_pi for the initiator and SK_pr for the responder, and
/// the ID's body is `type 1 | reserved 3 | data`.
#[must_use]
pub fn signed_octets(
    message: &[u8],
    other_nonce: &[u8],
    prf: Prf,
    sk_p: &SecretBytes,
    id_body: &[u8],
) -> Vec<u8> {
    let maced_id = prf.mac(sk_p.expose(), &[id_body]);
    [message, other_nonce, maced_id.expose()].concat()
}

/// The authentication data of a pre-shared key: `prf( prf(key, "Key Pad for IKEv2"), signed octets)`.
#[must_use]
pub fn psk_auth(prf: Prf, psk: &SecretBytes, signed_octets: &[u8]) -> SecretBytes {
    let key = prf.mac(psk.expose(), &[KEY_PAD]);
    prf.mac(key.expose(), &[signed_octets])
}

/// Whether authentication data is that of the pre-shared key, compared in constant time.
#[must_use]
pub fn psk_is_proven(prf: Prf, psk: &SecretBytes, signed_octets: &[u8], data: &[u8]) -> bool {
    constant_time_eq(psk_auth(prf, psk, signed_octets).expose(), data)
}

/// A signature and its algorithm: `length of the identifier 1 | AlgorithmIdentifier in DER | signature` (RFC 7427 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The AlgorithmIdentifier in DER, at most 255 octets.
    pub algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> Signature<'a> {
    /// Reads authentication data; none when it is shorter than it says, or one of both parts is empty.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let (length, rest) = data.split_first()?;
        let (algorithm, signature) = rest.split_at_checked(usize::from(*length))?;
        let is_whole = !algorithm.is_empty() && !signature.is_empty();
        is_whole.then_some(Self {
            algorithm,
            signature,
        })
    }

    /// The authentication data; none when the identifier is longer than its length octet can say.
    #[must_use]
    pub fn to_wire(&self) -> Option<Vec<u8>> {
        let length = u8::try_from(self.algorithm.len()).ok()?;
        Some([&[length], self.algorithm, self.signature].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_comes_back_from_its_authentication_data() {
        let signature = Signature {
            algorithm: &[0x30, 0x05],
            signature: &[1, 2, 3],
        };
        let data = signature.to_wire().unwrap();
        assert_eq!(data, [2, 0x30, 0x05, 1, 2, 3]);
        assert_eq!(Signature::parse(&data), Some(signature));
    }

    #[test]
    fn authentication_data_that_ends_early_is_no_signature() {
        for data in [
            &[][..],
            &[0],
            &[0, 1],
            &[2, 0x30],
            &[2, 0x30, 0x05],
            &[255; 255],
        ] {
            assert_eq!(Signature::parse(data), None, "{data:?}");
        }
        let algorithm = [0x30; 256];
        let signature = &[1];
        let long = Signature {
            algorithm: &algorithm,
            signature,
        };
        assert_eq!(long.to_wire(), None);
    }

    #[test]
    fn another_key_or_another_octet_does_not_prove_the_pre_shared_key() {
        let psk = SecretBytes::from_slice(b"first");
        let other = SecretBytes::from_slice(b"second");
        let auth = psk_auth(Prf::HmacSha256, &psk, b"octets");
        let data = auth.expose();
        let proves =
            |psk, octets: &[u8], data: &[u8]| psk_is_proven(Prf::HmacSha256, psk, octets, data);
        assert!(proves(&psk, b"octets", data));
        assert!(!proves(&psk, b"octetz", data) && !proves(&other, b"octets", data));
        assert!(!proves(&psk, b"octets", &data[..31]) && !proves(&psk, b"octets", &[]));
    }
}
