//! Any octets are a key of its suite's length, which reads back from its canonical line, or are refused with a message that repeats no
//! octet of a key.

use std::fmt::Write as _;

use adit::keys::KeyFile;

/// More hexadecimal digits in a row than any message has of its own.
const DIGITS: usize = 8;

/// Replays one input: a key file.
pub fn run(octets: &[u8]) {
    match KeyFile::parse(octets) {
        Ok(key) => {
            assert_eq!(key.keymat().len(), key.suite().keymat_octets());
            let mut line = format!("{} 0x", key.suite());
            for octet in key.keymat() {
                write!(line, "{octet:02X}").expect("a string takes everything");
            }
            let again = KeyFile::parse(line.as_bytes()).expect("a canonical line is a key");
            assert!(key.is_same_key(&again));
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty());
            assert!(
                message
                    .split(|c: char| !c.is_ascii_hexdigit())
                    .all(|digits| digits.len() < DIGITS),
                "{message}"
            );
        }
    }
}
