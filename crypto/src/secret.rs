//! Key material that is zeroed when dropped and never shown.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
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
        SystemRandom::new()
            .fill(&mut secret.0)
            .map_err(|_| RandomUnavailable)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
