//! What a request carries so that nobody else can make its answer: `sequence 4 | time µs 4 | SipHash-2-4 of sequence, time,
//! tunnel id 8`, big-endian, the digest little-endian.

use adit_crypto::{DIGEST_OCTETS, SipHash24};

/// Octets of a proof.
pub(super) const PROOF_OCTETS: usize = 8 + DIGEST_OCTETS;

/// The proof of request `seq` of tunnel `tunnel_id`, sent at `time_us` of a clock of the caller's.
pub(super) fn make(mac: &SipHash24, tunnel_id: u32, seq: u32, time_us: u32) -> [u8; PROOF_OCTETS] {
    let [a, b, c, d] = seq.to_be_bytes();
    let [e, f, g, h] = time_us.to_be_bytes();
    let head = [a, b, c, d, e, f, g, h];
    let digest = mac.digest(&[&head, &tunnel_id.to_be_bytes()]);
    let mut octets = [0; PROOF_OCTETS];
    for (place, octet) in octets.iter_mut().zip(head.into_iter().chain(digest)) {
        *place = octet;
    }
    octets
}

/// The sequence number of the request of tunnel `tunnel_id` that these octets prove, if they prove one.
pub(super) fn verify(mac: &SipHash24, tunnel_id: u32, octets: &[u8]) -> Option<u32> {
    if octets.len() != PROOF_OCTETS {
        return None;
    }
    let (seq, rest) = octets.split_first_chunk::<4>()?;
    let (time, digest) = rest.split_first_chunk::<4>()?;
    mac.verify(&[seq, time, &tunnel_id.to_be_bytes()], digest)
        .then(|| u32::from_be_bytes(*seq))
}
