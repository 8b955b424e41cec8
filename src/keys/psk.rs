//! Pre-shared keys: read from a line, drawn, and judged (RFC 7296 section 2.15).

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use adit_crypto::{RandomUnavailable, Secret, SecretBytes};
use zeroize::Zeroizing;

use super::private::{self, FileError};

const HEXADECIMAL: &[u8] = b"0x";
/// The longest password that an Easy VPN server can ask its RADIUS server about (RFC 2865 section 5.2), in octets.
const PASSWORD_OCTETS_MAX: usize = 128;
/// What a pre-shared key should be worth at least, in bits: who has an exchange can try keys without asking anybody.
const STRONG_BITS: f64 = 128.0;
/// Fewer distinct octets than this are a pattern, however many there are.
const STRONG_DISTINCT: usize = 8;

/// What is wrong with a pre-shared key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PskFault {
    /// There is none.
    Empty,
    /// More than one line.
    Lines,
    /// Something else than pairs of hexadecimal digits behind 0x.
    Hexadecimal,
}

impl fmt::Display for PskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no pre-shared key in it",
            Self::Lines => "more than one line; a pre-shared key has one",
            Self::Hexadecimal => "something else than pairs of hexadecimal digits behind 0x",
        })
    }
}

/// What is wrong with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFault {
    /// There is none.
    Empty,
    /// More than one line.
    Lines,
    /// That many octets: more than servers take.
    Long(usize),
}

impl fmt::Display for PasswordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no password in it"),
            Self::Lines => f.write_str("more than one line; a password has one"),
            Self::Long(octets) => write!(
                f,
                "password of {octets} octets above maximum {PASSWORD_OCTETS_MAX}"
            ),
        }
    }
}

/// Reads the one line of a file.
pub(super) fn parse(file: &[u8]) -> Result<SecretBytes, PskFault> {
    let line = only_line(file).ok_or(PskFault::Lines)?;
    let octets = match line.strip_prefix(HEXADECIMAL) {
        None => SecretBytes::from_slice(line),
        Some(digits) => SecretBytes::new(unhexed(digits).ok_or(PskFault::Hexadecimal)?),
    };
    if octets.is_empty() {
        return Err(PskFault::Empty);
    }
    Ok(octets)
}

/// Reads the one line of a file of a password, as it stands there.
pub(super) fn parse_password(file: &[u8]) -> Result<SecretBytes, PasswordFault> {
    let line = only_line(file).ok_or(PasswordFault::Lines)?;
    match line.len() {
        0 => Err(PasswordFault::Empty),
        octets if octets > PASSWORD_OCTETS_MAX => Err(PasswordFault::Long(octets)),
        _ => Ok(SecretBytes::from_slice(line)),
    }
}

/// The line without its end; none where there are more.
fn only_line(file: &[u8]) -> Option<&[u8]> {
    let line = file.strip_suffix(b"\n").unwrap_or(file);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (!line.contains(&b'\n')).then_some(line)
}

/// The octets of pairs of hexadecimal digits. The vector has its room from the start: one that grows leaves copies behind.
fn unhexed(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut octets = Vec::with_capacity(pairs.len());
    let digit = |octet: u8| {
        char::from(octet)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    for &[high, low] in pairs {
        octets.push(digit(high)? << 4 | digit(low)?);
    }
    Some(octets)
}

/// Whether a pre-shared key may be found by trying: fewer than 128 bits if each of its characters was drawn from all of its sort, or
/// fewer than 8 different ones. Words and names are worth less than this can see.
#[must_use]
pub fn is_weak_psk(psk: &SecretBytes) -> bool {
    let octets = psk.expose();
    let distinct: BTreeSet<u8> = octets.iter().copied().collect();
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    let bits = f64::from(length) * f64::from(alphabet(octets)).log2();
    bits < STRONG_BITS || distinct.len() < STRONG_DISTINCT
}

/// Whether two pre-shared keys are the same: both are the operator's own, so the time that it takes tells nobody anything.
#[must_use]
pub fn is_same_psk(one: &SecretBytes, other: &SecretBytes) -> bool {
    one.expose() == other.expose()
}

/// How many characters there are of the sorts that stand in the key.
fn alphabet(octets: &[u8]) -> u32 {
    if !octets.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        return 256;
    }
    let has = |sort: fn(&u8) -> bool| octets.iter().any(sort);
    let all_hexadecimal = |upper: fn(&u8) -> bool| {
        octets
            .iter()
            .all(|octet| octet.is_ascii_hexdigit() && !upper(octet))
    };
    if has(u8::is_ascii_alphabetic)
        && (all_hexadecimal(u8::is_ascii_uppercase) || all_hexadecimal(u8::is_ascii_lowercase))
    {
        return 16;
    }
    let others = |octet: &u8| !octet.is_ascii_alphanumeric();
    let sorts = [
        (has(u8::is_ascii_digit), 10),
        (has(u8::is_ascii_lowercase), 26),
        (has(u8::is_ascii_uppercase), 26),
        (has(others), 33),
    ];
    let counted = sorts.into_iter().filter(|(stands, _)| *stands);
    counted.map(|(_, count)| count).sum::<u32>().max(1)
}

/// Draws a pre-shared key: 64 hexadecimal digits as text, which every peer takes as they stand.
///
/// # Errors
/// [`RandomUnavailable`] when the operating system's generator fails.
pub fn random_psk() -> Result<SecretBytes, RandomUnavailable> {
    let octets = Secret::<32>::random()?;
    let mut text = Vec::with_capacity(64);
    for octet in octets.expose() {
        for nibble in [octet >> 4, octet & 15] {
            let digit = char::from_digit(u32::from(nibble), 16);
            text.extend(digit.and_then(|digit| u8::try_from(digit).ok()));
        }
    }
    Ok(SecretBytes::new(text))
}

/// Writes a pre-shared key to a new file of mode 0600, one line, and brings it and its name to the disk.
///
/// # Errors
/// [`FileError`] when the file exists or cannot be written.
pub fn create_psk(path: &Path, psk: &SecretBytes) -> Result<(), FileError> {
    let mut line = Zeroizing::new(Vec::with_capacity(psk.len() + 1));
    line.extend_from_slice(psk.expose());
    line.push(b'\n');
    private::create(path, &line)?;
    private::sync_folder(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psk(file: &[u8]) -> Vec<u8> {
        parse(file).unwrap().expose().to_vec()
    }

    fn is_weak(text: &str) -> bool {
        is_weak_psk(&SecretBytes::from_slice(text.as_bytes()))
    }

    #[test]
    fn the_line_is_the_key_without_its_end_and_with_its_spaces() {
        assert_eq!(psk(b"secret"), b"secret");
        assert_eq!(psk(b" two words \n"), b" two words ");
        assert_eq!(psk(b"secret\r\n"), b"secret");
        assert_eq!(psk(b"\xff\x00\n"), b"\xff\x00");
    }

    #[test]
    fn hexadecimal_digits_behind_0x_are_octets() {
        assert_eq!(psk(b"0x00fFA1\n"), [0, 0xff, 0xa1]);
        for wrong in [&b"0x0"[..], b"0x0g", b"0x00 ", b"0x+1"] {
            assert_eq!(parse(wrong).unwrap_err(), PskFault::Hexadecimal);
        }
    }

    #[test]
    fn no_line_and_a_second_line_are_no_key() {
        for empty in [&b""[..], b"\n", b"\r\n", b"0x\n"] {
            assert_eq!(parse(empty).unwrap_err(), PskFault::Empty);
        }
        for lines in [&b"a\nb"[..], b"a\n\n", b"\na"] {
            assert_eq!(parse(lines).unwrap_err(), PskFault::Lines);
        }
    }

    #[test]
    fn a_password_is_its_line_whatever_it_looks_like() {
        let read = |file: &[u8]| parse_password(file).map(|password| password.expose().to_vec());
        for (file, password) in [
            (&b"secret\n"[..], &b"secret"[..]),
            (b"0x41 \r\n", b"0x41 "),
            (&[b'p'; 128], &[b'p'; 128]),
        ] {
            assert_eq!(read(file).as_deref(), Ok(password));
        }
        for (file, fault) in [
            (&b"\n"[..], PasswordFault::Empty),
            (b"a\nb\n", PasswordFault::Lines),
            (&[b'p'; 129], PasswordFault::Long(129)),
        ] {
            assert_eq!(read(file), Err(fault));
        }
    }

    /// CVE-2018-5389: who sees one main mode may guess at its key for as long as he likes.
    #[test]
    fn short_keys_keys_of_few_sorts_and_patterns_are_weak() {
        for weak in [
            "secret",
            "Tr0ub4dor&3",
            "correct horse battery",
            "1234567890123456789012345678",
            "abababababababababababababababababababab",
            "0123456789abcdef0123456789abcde",
        ] {
            assert!(is_weak(weak), "{weak}");
        }
        for strong in [
            "0f8a6c2e4b9d71350f8a6c2e4b9d7135",
            "mZ3vQx81LrTn0KcWd7Ypb2",
            "correct horse battery staple",
        ] {
            assert!(!is_weak(strong), "{strong}");
        }
    }

    #[test]
    fn sixteen_octets_that_are_no_text_are_strong_and_fewer_are_weak() {
        let octets: Vec<u8> = (0x90..0xa0).collect();
        assert!(!is_weak_psk(&SecretBytes::from_slice(&octets)));
        assert!(is_weak_psk(&SecretBytes::from_slice(&octets[1..])));
    }

    #[test]
    fn a_drawn_key_is_strong_and_reads_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hq.psk");
        let drawn = random_psk().unwrap();
        assert_eq!(drawn.len(), 64);
        assert!(!is_weak_psk(&drawn));
        assert_ne!(drawn.expose(), random_psk().unwrap().expose());
        create_psk(&path, &drawn).unwrap();
        let read = crate::keys::read_psk(&path).unwrap();
        assert_eq!(read.expose(), drawn.expose());
        assert!(create_psk(&path, &drawn).is_err());
    }
}
