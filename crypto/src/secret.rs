//! Key material that is zeroed when dropped and never shown.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` octets of key material: zeroed on drop, compared nowhere, printed as its length only.
pub struct Secret<const N: usize>([u8; N]);

/// The operating system gave no random octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomUnavailable;

impl fmt::Display for RandomUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gave no random octets")
    }
}

impl std::error::Error for RandomUnavailable {}

impl<const N: usize> Secret<N> {
    /// Takes `octets` as a secret and zeroes the caller's copy.
    #[must_use]
    pub fn new(octets: &mut [u8; N]) -> Self {
        let secret = Self(*octets);
        octets.zeroize();
        secret
    }

    /// Draws a secret from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomUnavailable`] when the generator fails.
    pub fn random() -> Result<Self, RandomUnavailable> {
        let mut secret = Self([0; N]);
        random(&mut secret.0)?;
        Ok(secret)
    }

    /// The octets, for the primitive that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({N} octets)")
    }
}

/// Key material of a length that only a negotiation tells: zeroed on drop, printed as its length only.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes `octets` as a secret. Spare capacity is zeroed on drop as well.
    #[must_use]
    pub const fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// Copies `octets`; the caller's copy stays the caller's to zero.
    #[must_use]
    pub fn from_slice(octets: &[u8]) -> Self {
        Self(octets.to_vec())
    }

    /// The octets, for the primitive that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many octets there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cuts the first `octets` octets off, as keys are taken from a keying material in order (RFC 7296 section 2.14);
    /// `None`, and nothing is cut, if there are not as many.
    #[must_use]
    pub fn take(&mut self, octets: usize) -> Option<Self> {
        let taken = Self::from_slice(self.0.get(..octets)?);
        let rest = Self::from_slice(self.0.get(octets..)?);
        *self = rest;
        Some(taken)
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} octets)", self.len())
    }
}

/// Fills `out` from the operating system's generator.
///
/// # Errors
/// [`RandomUnavailable`] when the generator fails.
pub fn random(out: &mut [u8]) -> Result<(), RandomUnavailable> {
    SystemRandom::new().fill(out).map_err(|_| RandomUnavailable)
}

/// Whether `a` and `b` are the same octets; takes the same time wherever they differ, and tells their lengths only.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_secret_bytes_shows_the_length_and_no_octet() {
        let secret = SecretBytes::new(vec![0xab; 9]);
        assert_eq!(format!("{secret:?}"), "SecretBytes(9 octets)");
    }

    #[test]
    fn keys_are_taken_from_the_front_until_too_few_are_left() {
        let mut keymat = SecretBytes::from_slice(&[1, 2, 3, 4, 5]);
        assert_eq!(keymat.take(2).unwrap().expose(), [1, 2]);
        assert!(keymat.take(4).is_none());
        assert_eq!(keymat.expose(), [3, 4, 5]);
        assert_eq!(keymat.take(3).unwrap().expose(), [3, 4, 5]);
        assert!(keymat.is_empty());
        assert!(keymat.take(0).unwrap().is_empty());
    }

    #[test]
    fn only_the_same_octets_are_equal_in_constant_time() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
    }

    #[test]
    fn random_fills_every_octet() {
        let mut octets = [0; 64];
        random(&mut octets).unwrap();
        assert!(octets.chunks(16).all(|part| part != [0; 16]));
    }

    #[test]
    fn debug_shows_the_length_and_no_octet() {
        let secret = Secret::new(&mut [0xab; 16]);
        assert_eq!(format!("{secret:?}"), "Secret(16 octets)");
    }

    #[test]
    fn taking_octets_zeroes_the_callers_copy() {
        let mut octets = [7; 16];
        let secret = Secret::new(&mut octets);
        assert_eq!(octets, [0; 16]);
        assert_eq!(secret.expose(), &[7; 16]);
    }

    #[test]
    fn two_random_secrets_differ() {
        let (a, b) = (
            Secret::<16>::random().unwrap(),
            Secret::<16>::random().unwrap(),
        );
        assert_ne!(a.expose(), b.expose());
    }
}
