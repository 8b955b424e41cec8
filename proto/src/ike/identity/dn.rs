//! Distinguished names: read from DER and from words, written, and compared (RFC 5280 sections 4.1.2.4 and 7.1).

use std::fmt;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// The most attributes of a name.
const ATTRIBUTES_MAX: usize = 32;

/// The keys of attributes that have one, and their object identifiers' contents.
const KEYS: &[(&str, &[u8])] = &[
    ("CN", &[0x55, 4, 3]),
    ("SN", &[0x55, 4, 4]),
    ("serialNumber", &[0x55, 4, 5]),
    ("C", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("STREET", &[0x55, 4, 9]),
    ("O", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("T", &[0x55, 4, 12]),
    ("G", &[0x55, 4, 42]),
    (
        "DC",
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
    ),
    ("E", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]),
];
/// The keys whose values are IA5 strings.
const IA5_KEYS: [&str; 2] = ["DC", "E"];

/// One attribute of a name.
#[derive(Debug)]
struct Attribute<'a> {
    oid: &'a [u8],
    tag: u8,
    value: &'a [u8],
    /// Whether it is in one set with the attribute before it.
    joined: bool,
}

/// A name, borrowed from its DER.
#[derive(Debug)]
pub(super) struct Name<'a>(Vec<Attribute<'a>>);

impl<'a> Name<'a> {
    /// Reads `SEQUENCE OF SET OF SEQUENCE { type, value }`; none when it is anything else, has nothing in it or more than follows it.
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = Der(der);
        let mut sets = Der(outer.expect(SEQUENCE)?);
        let mut attributes = Vec::new();
        while !sets.0.is_empty() {
            let mut set = Der(sets.expect(SET)?);
            let mut joined = false;
            while !set.0.is_empty() || !joined {
                let mut pair = Der(set.expect(SEQUENCE)?);
                let oid = pair.expect(OBJECT_IDENTIFIER)?;
                let (tag, value) = pair.next()?;
                let is_whole = pair.0.is_empty() && !oid.is_empty();
                if !is_whole || attributes.len() == ATTRIBUTES_MAX {
                    return None;
                }
                attributes.push(Attribute {
                    oid,
                    tag,
                    value,
                    joined,
                });
                joined = true;
            }
        }
        (outer.0.is_empty() && !attributes.is_empty()).then_some(Self(attributes))
    }
}

/// Whether two names are the same: as many attributes in the same order and sets, of the same types, whose texts differ in the kind of
/// string, the case of ASCII letters and the number of blanks only. What is no name is the same as nothing.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    let (Some(a), Some(b)) = (Name::parse(a), Name::parse(b)) else {
        return false;
    };
    let same_attribute = |(a, b): (&Attribute<'_>, &Attribute<'_>)| {
        let same_value = match (a.text(), b.text()) {
            (Some(a), Some(b)) => {
                let folded = |text: &str| text.to_ascii_lowercase();
                let (a, b) = (folded(a), folded(b));
                a.split_ascii_whitespace().eq(b.split_ascii_whitespace())
            }
            _ => (a.tag, a.value) == (b.tag, b.value),
        };
        (a.oid, a.joined) == (b.oid, b.joined) && same_value
    };
    a.0.len() == b.0.len() && a.0.iter().zip(&b.0).all(same_attribute)
}

/// The DER of `"C=XX, O=Example, CN=a"`, in that order; none when a key is unknown, or a value empty or no printable text. A comma in a
/// value is written `\,`.
pub(super) fn encode(text: &str) -> Option<Vec<u8>> {
    let mut sets = Vec::new();
    let mut count = 0;
    for part in split(text) {
        let (key, value) = part.split_once('=')?;
        let (key, oid) = known(key.trim())?;
        let value = value.trim();
        count += 1;
        if value.is_empty() || value.chars().any(char::is_control) || count > ATTRIBUTES_MAX {
            return None;
        }
        let oid = element(OBJECT_IDENTIFIER, oid);
        let pair = [oid, element(string_tag(key, value), value.as_bytes())].concat();
        sets.extend(element(SET, &element(SEQUENCE, &pair)));
    }
    (count > 0).then(|| element(SEQUENCE, &sets))
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, attribute) in self.0.iter().enumerate() {
            f.write_str(match (place, attribute.joined) {
                (0, _) => "",
                (_, true) => " + ",
                (_, false) => ", ",
            })?;
            match KEYS.iter().find(|(_, oid)| *oid == attribute.oid) {
                Some((key, _)) => f.write_str(key)?,
                None => hexadecimal(f, attribute.oid)?,
            }
            f.write_str("=")?;
            match attribute.text() {
                Some(text) => f.write_str(&text.replace('\\', "\\\\").replace(',', "\\,"))?,
                None => hexadecimal(f, attribute.value)?,
            }
        }
        Ok(())
    }
}

fn hexadecimal(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    f.write_str("#")?;
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

impl Attribute<'_> {
    /// The value as text that can be shown; none of another kind of string, or with control characters in it.
    fn text(&self) -> Option<&str> {
        let is_text = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(&self.tag);
        let text = std::str::from_utf8(self.value).ok()?;
        (is_text && !text.chars().any(char::is_control)).then_some(text)
    }
}

fn known(key: &str) -> Option<(&'static str, &'static [u8])> {
    let key = match key {
        "emailAddress" | "Email" => "E",
        "S" => "ST",
        key => key,
    };
    let mut keys = KEYS.iter().copied();
    keys.find(|(known, _)| known.eq_ignore_ascii_case(key))
}

fn string_tag(key: &str, value: &str) -> u8 {
    let is_printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
    if IA5_KEYS.contains(&key) && value.is_ascii() {
        IA5_STRING
    } else if value.chars().all(is_printable) {
        PRINTABLE_STRING
    } else {
        UTF8_STRING
    }
}

/// The parts between commas, `\,` made a comma.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        match (character, escaped) {
            ('\\', false) => escaped = true,
            (',', false) => parts.push(String::new()),
            (character, _) => {
                escaped = false;
                if let Some(part) = parts.last_mut() {
                    part.push(character);
                }
            }
        }
    }
    parts
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let [high, low] = u16::try_from(contents.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    match (high, low) {
        (0, 0..0x80) => element.push(low),
        (0, _) => element.extend([0x81, low]),
        _ => element.extend([0x82, high, low]),
    }
    element.extend_from_slice(contents);
    element
}

/// Elements of DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and contents; none without one, with a length that is not DER's, or beyond the end.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, length, rest) = match *self.0 {
            [tag, length @ 0..=0x7f, ref rest @ ..] => (tag, usize::from(length), rest),
            [tag, 0x81, length @ 0x80..=0xff, ref rest @ ..] => (tag, usize::from(length), rest),
            [tag, 0x82, high @ 1..=0xff, low, ref rest @ ..] => {
                (tag, usize::from(u16::from_be_bytes([high, low])), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, contents) = self.next()?;
        (found == tag).then_some(contents)
    }
}
