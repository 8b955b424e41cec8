//! The text of a key file: `SUITE 0xHEX` on one line, between empty lines and lines that begin with `#`.

use std::fmt;

use adit_crypto::{Secret, Suite};
use zeroize::Zeroizing;

/// Octets of the longest keying material: a key of 32 and a salt of 4.
pub(super) const KEYMAT_MAX: usize = 36;

const PREFIX: &str = "0x";
const NOTE: &str = "# Key and salt of one direction of one security association. Keep it secret; never use it for another.\n";

/// A text that is no key. Its message repeats nothing of the text, which may be a key in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// Octets that are not UTF-8.
    NotText,
    /// No line but empty ones and comments.
    NoKey,
    /// A second key, in this line.
    SecondKey(usize),
    /// A line that does not begin with the name of a suite of [`Suite::COMBINED`].
    Suite(usize),
    /// A line that ends behind its suite.
    NoKeymat(usize),
    /// Keying material that does not begin with 0x.
    Prefix(usize),
    /// Something behind the keying material.
    Trailing(usize),
    /// Something else than hexadecimal digits.
    Digit(usize),
    /// Keying material of a length that is not its suite's.
    Length {
        /// The line.
        line: usize,
        /// The suite.
        suite: Suite,
        /// How many hexadecimal digits there are.
        digits: usize,
    },
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotText => f.write_str("not a text"),
            Self::NoKey => f.write_str("no line with a key: SUITE 0xHEX"),
            Self::SecondKey(line) => {
                write!(f, "line {line}: a second key; a file holds one")
            }
            Self::Suite(line) => {
                write!(f, "line {line}: does not begin with a suite (")?;
                for (at, suite) in Suite::COMBINED.iter().enumerate() {
                    write!(f, "{}{suite}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::NoKeymat(line) => write!(f, "line {line}: no key behind the suite"),
            Self::Prefix(line) => write!(f, "line {line}: the key does not begin with 0x"),
            Self::Trailing(line) => write!(f, "line {line}: something behind the key"),
            Self::Digit(line) => {
                write!(f, "line {line}: the key has other than hexadecimal digits")
            }
            Self::Length {
                line,
                suite,
                digits,
            } => {
                let wanted = suite.keymat_octets();
                write!(
                    f,
                    "line {line}: the key has {digits} hexadecimal digits, {suite} takes {} (key {} octets, salt 4)",
                    2 * wanted,
                    wanted - 4
                )
            }
        }
    }
}

impl std::error::Error for TextError {}

/// Reads the suite and its keying material, behind which the secret is zero.
pub(super) fn parse(octets: &[u8]) -> Result<(Suite, Secret<KEYMAT_MAX>), TextError> {
    let text = str::from_utf8(octets).map_err(|_| TextError::NotText)?;
    let mut found = None;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if found.is_some() {
            return Err(TextError::SecondKey(line));
        }
        found = Some(parse_line(line, text)?);
    }
    found.ok_or(TextError::NoKey)
}

fn parse_line(line: usize, text: &str) -> Result<(Suite, Secret<KEYMAT_MAX>), TextError> {
    let mut words = text.split_whitespace();
    let suite = words
        .next()
        .and_then(Suite::parse)
        .filter(|suite| Suite::COMBINED.contains(suite))
        .ok_or(TextError::Suite(line))?;
    let keymat = words.next().ok_or(TextError::NoKeymat(line))?;
    let digits = keymat
        .strip_prefix(PREFIX)
        .ok_or(TextError::Prefix(line))?
        .as_bytes();
    if words.next().is_some() {
        return Err(TextError::Trailing(line));
    }
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(TextError::Digit(line));
    }
    if digits.len() != 2 * suite.keymat_octets() {
        return Err(TextError::Length {
            line,
            suite,
            digits: digits.len(),
        });
    }
    let mut octets = [0; KEYMAT_MAX];
    for (octet, pair) in octets.iter_mut().zip(digits.as_chunks::<2>().0) {
        let &[high, low] = pair;
        *octet = nibble(high) << 4 | nibble(low);
    }
    Ok((suite, Secret::new(&mut octets)))
}

/// The value of an ASCII hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a') + 10,
    }
}

/// The text that [`parse`] reads.
pub(super) fn emit(suite: Suite, keymat: &[u8]) -> Zeroizing<String> {
    // Room for all of it at once: a string that grows leaves copies behind.
    let octets = NOTE.len() + suite.name().len() + 2 * keymat.len() + 8;
    let mut text = Zeroizing::new(String::with_capacity(octets));
    text.push_str(NOTE);
    text.push_str(suite.name());
    text.push(' ');
    text.push_str(PREFIX);
    for octet in keymat {
        for nibble in [octet >> 4, octet & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> TextError {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn key_and_salt_are_read_in_the_order_of_the_digits() {
        let text =
            "# note\r\n\n  aes128gcm16\t0x000102030405060708090a0b0c0d0e0fA0b1C2d3  \r\n# end";
        let (suite, keymat) = parse(text.as_bytes()).unwrap();
        assert_eq!(suite, Suite::Aes128Gcm16);
        assert_eq!(
            keymat.expose()[..20],
            [
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xa0, 0xb1, 0xc2, 0xd3
            ]
        );
        assert_eq!(keymat.expose()[20..], [0; 16]);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line() {
        let key = format!("aes128gcm16 0x{}", "ab".repeat(20));
        assert_eq!(error(""), TextError::NoKey);
        assert_eq!(error("\n# only a note\n"), TextError::NoKey);
        assert_eq!(error(&format!("{key}\n\n{key}\n")), TextError::SecondKey(3));
        assert_eq!(error(&key[12..]), TextError::Suite(1));
        assert_eq!(error("\naes256gcm8 0x00"), TextError::Suite(2));
        let chained = format!("aes128-sha256 0x{}", "ab".repeat(48));
        assert_eq!(error(&chained), TextError::Suite(1));
        assert_eq!(error("aes128gcm16"), TextError::NoKeymat(1));
        assert_eq!(error(&key.replace("0x", "")), TextError::Prefix(1));
        assert_eq!(error(&format!("{key} abab")), TextError::Trailing(1));
        assert_eq!(error(&key.replace('a', "g")), TextError::Suite(1));
        assert_eq!(error(&key.replace('b', "g")), TextError::Digit(1));
        assert_eq!(
            parse(b"aes128gcm16 0x\xff").unwrap_err(),
            TextError::NotText
        );
    }

    #[test]
    fn each_suite_takes_its_own_length_only() {
        for &suite in Suite::COMBINED {
            for octets in 0..40 {
                let text = format!("{suite} 0x{}", "5a".repeat(octets));
                let found = parse(text.as_bytes());
                if octets == suite.keymat_octets() {
                    assert_eq!(found.unwrap().0, suite);
                } else {
                    let digits = 2 * octets;
                    assert_eq!(
                        found.unwrap_err(),
                        TextError::Length {
                            line: 1,
                            suite,
                            digits
                        }
                    );
                }
            }
        }
        assert_eq!(
            error("chacha20poly1305 0xabc").to_string(),
            "line 1: the key has 3 hexadecimal digits, chacha20poly1305 takes 72 (key 32 octets, salt 4)"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(which in 0..Suite::COMBINED.len(), octets: [u8; 32], salt: [u8; 4]) {
            let suite = Suite::COMBINED[which];
            let keymat = [&octets[..suite.keymat_octets() - 4], &salt].concat();
            let text = emit(suite, &keymat);
            let (read, secret) = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read, suite);
            prop_assert_eq!(&secret.expose()[..keymat.len()], &keymat[..]);
        }
    }
}
