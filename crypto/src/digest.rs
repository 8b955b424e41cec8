//! SHA-1 where IKE asks for it by name, as an identifier and never as a protection.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// The SHA-1 digest of `parts`, one after the other: the hash of a `NAT_DETECTION_*_IP` notification (RFC 7296 section 2.23)
/// and of an authority in a CERTREQ payload (RFC 7296 section 3.7).
#[must_use]
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 20];
    for (to, from) in digest.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha1_of_abc_is_that_of_fips_180() {
        let digest = [
            0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50,
            0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d,
        ];
        assert_eq!(sha1(&[b"abc"]), digest);
        assert_eq!(sha1(&[b"a", b"", b"bc"]), digest);
    }
}
