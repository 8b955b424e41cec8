//! Cookies: a responder keeps nothing of an initiator that has not shown that it receives at its address (RFC 7296 section 2.6).
//!
//! `epoch 1 | HMAC-SHA-256(secret of that epoch, SPIi 8 | address 16 | Ni) 32`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::{Prf, Secret, constant_time_eq};

/// How long a secret makes cookies; they are taken for as long again.
pub const SECRET_LIFETIME: Duration = Duration::from_secs(60);
/// Octets of a cookie, within the 1 to 64 that RFC 7296 allows.
pub const COOKIE_OCTETS: usize = 33;

/// The secret that cookies are made with, and the one before it.
#[derive(Debug)]
pub struct Cookies {
    epoch: u8,
    since: Instant,
    current: Secret<32>,
    previous: Option<Secret<32>>,
}

impl Cookies {
    /// Cookies of a random secret.
    #[must_use]
    pub fn new(now: Instant, secret: Secret<32>) -> Self {
        Self {
            epoch: 0,
            since: now,
            current: secret,
            previous: None,
        }
    }

    /// Whether the secret is so old that [`Self::rotate`] has to come before [`Self::make`].
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.age(now) >= SECRET_LIFETIME
    }

    /// Makes cookies of a new random secret from now on.
    pub fn rotate(&mut self, now: Instant, secret: Secret<32>) {
        let is_recent = self.age(now) < 2 * SECRET_LIFETIME;
        let old = std::mem::replace(&mut self.current, secret);
        self.previous = is_recent.then_some(old);
        self.epoch = self.epoch.wrapping_add(1);
        self.since = now;
    }

    /// The cookie for the initiator of that SPI and nonce at that address.
    #[must_use]
    pub fn make(&self, ni: &[u8], address: IpAddr, spi_i: u64) -> Vec<u8> {
        cookie(self.epoch, &self.current, ni, address, spi_i)
    }

    /// Whether the initiator of that SPI and nonce at that address shows a cookie that we made for it a short time ago.
    #[must_use]
    pub fn check(
        &self,
        now: Instant,
        shown: &[u8],
        ni: &[u8],
        address: IpAddr,
        spi_i: u64,
    ) -> bool {
        let secret = match shown.first() {
            Some(epoch) if *epoch == self.epoch && self.age(now) < 2 * SECRET_LIFETIME => {
                Some(&self.current)
            }
            Some(epoch) if *epoch == self.epoch.wrapping_sub(1) && !self.is_due(now) => {
                self.previous.as_ref()
            }
            _ => None,
        };
        let (Some(epoch), Some(secret)) = (shown.first(), secret) else {
            return false;
        };
        constant_time_eq(&cookie(*epoch, secret, ni, address, spi_i), shown)
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

fn cookie(epoch: u8, secret: &Secret<32>, ni: &[u8], address: IpAddr, spi_i: u64) -> Vec<u8> {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let parts = [&spi_i.to_be_bytes()[..], &address, ni];
    let mac = Prf::HmacSha256.mac(secret.expose(), &parts);
    [&[epoch], mac.expose()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::epoch;

    const NI: &[u8] = &[9; 32];

    fn secret(octet: u8) -> Secret<32> {
        Secret::new(&mut [octet; 32])
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_taken(cookies: &Cookies, now: Instant, cookie: &[u8]) -> bool {
        cookies.check(now, cookie, NI, address("192.0.2.1"), 7)
    }

    #[test]
    fn a_cookie_holds_only_for_its_address_spi_and_nonce() {
        let now = epoch();
        let cookies = Cookies::new(now, secret(1));
        let cookie = cookies.make(NI, address("192.0.2.1"), 7);
        assert_eq!(cookie.len(), COOKIE_OCTETS);
        assert!(is_taken(&cookies, now, &cookie));
        assert!(!cookies.check(now, &cookie, NI, address("192.0.2.2"), 7));
        assert!(!cookies.check(now, &cookie, NI, address("192.0.2.1"), 8));
        assert!(!cookies.check(now, &cookie, &[9; 31], address("192.0.2.1"), 7));
    }

    #[test]
    fn any_changed_octet_and_any_other_length_is_refused() {
        let now = epoch();
        let cookies = Cookies::new(now, secret(1));
        let cookie = cookies.make(NI, address("192.0.2.1"), 7);
        for place in 0..cookie.len() {
            let mut changed = cookie.clone();
            changed[place] ^= 1;
            assert!(!is_taken(&cookies, now, &changed));
            assert!(!is_taken(&cookies, now, &cookie[..place]));
        }
        assert!(!is_taken(&cookies, now, &[&cookie[..], &[0]].concat()));
    }

    #[test]
    fn a_cookie_outlives_one_rotation_and_not_two() {
        let start = epoch();
        let mut cookies = Cookies::new(start, secret(1));
        let cookie = cookies.make(NI, address("192.0.2.1"), 7);
        let mut now = start + SECRET_LIFETIME;
        assert!(cookies.is_due(now) && is_taken(&cookies, now, &cookie));
        cookies.rotate(now, secret(2));
        assert!(!cookies.is_due(now) && is_taken(&cookies, now, &cookie));
        assert_ne!(cookies.make(NI, address("192.0.2.1"), 7), cookie);
        now += SECRET_LIFETIME;
        assert!(!is_taken(&cookies, now, &cookie));
        cookies.rotate(now, secret(3));
        assert!(!is_taken(&cookies, now, &cookie));
    }

    #[test]
    fn a_cookie_ends_though_nothing_rotates_the_secret() {
        let start = epoch();
        let mut cookies = Cookies::new(start, secret(1));
        let cookie = cookies.make(NI, address("192.0.2.1"), 7);
        let late = start + 2 * SECRET_LIFETIME;
        assert!(!is_taken(&cookies, late, &cookie));
        cookies.rotate(late, secret(2));
        assert!(!is_taken(&cookies, late, &cookie));
    }
}
