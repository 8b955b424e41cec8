//! Strings and integers of the file as typed values, each refusal with its bound and what to write instead.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use super::types::{Family, Remote};
use crate::io::address::Prefix;
use crate::io::netns::Netns;

/// The most characters of a value that a message repeats.
const SHOWN_CHARS: usize = 64;
/// IFNAMSIZ minus the final zero octet (netdevice(7)).
const INTERFACE_OCTETS: usize = 15;
/// The longest host name (RFC 1123 §2.1) and the longest label (RFC 1035 §2.3.4), in octets.
const HOST_OCTETS: usize = 253;
const LABEL_OCTETS: usize = 63;
/// PATH_MAX minus the final zero octet.
pub(super) const PATH_OCTETS: usize = 4095;
/// NAME_MAX.
const FILE_NAME_OCTETS: usize = 255;

/// Why a value is refused: the words follow the key's name.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) words: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn new(words: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            label: label.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A string as a message repeats it: quoted, escaped, cut.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or("")),
        None => format!("{text:?}"),
    }
}

/// The candidate that was probably meant.
pub(super) fn nearest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if text.len() > SHOWN_CHARS {
        return None;
    }
    let text = text.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `digits` in this radix, with an optional sign; `shown` is how the file has it.
pub(super) fn integer(
    shown: &str,
    digits: &str,
    radix: u32,
    min: u64,
    max: u64,
) -> Result<u64, Fault> {
    let shown = cut(shown);
    let below = || {
        Fault::new(
            format!("{shown} below minimum {min}"),
            format!("minimum {min}"),
        )
    };
    let above = || {
        Fault::new(
            format!("{shown} above maximum {max}"),
            format!("maximum {max}"),
        )
    };
    if digits.starts_with('-') {
        return Err(below());
    }
    match u64::from_str_radix(digits, radix) {
        Ok(value) if value < min => Err(below()),
        Ok(value) if value <= max => Ok(value),
        Ok(_) | Err(_) => Err(above()),
    }
}

pub(super) fn cut(digits: &str) -> String {
    digits.chars().take(SHOWN_CHARS).collect()
}

pub(super) fn word(
    text: &str,
    words: &[&'static str],
    expected: &str,
) -> Result<&'static str, Fault> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let fault = Fault::new(
        format!("{} unknown, expected {expected}", quoted(text)),
        format!("expected {expected}"),
    );
    Err(match nearest(text, words.iter().copied()) {
        Some(word) => fault.help(format!("did you mean {word:?}?")),
        None => fault,
    })
}

/// `"a", "b" or "c"`
pub(super) fn one_of(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// An address that one peer can have, without a scope.
pub(super) fn address(text: &str) -> Result<IpAddr, Fault> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err(not_an_address(text));
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(mapped(v4));
    }
    let why = not_unicast(address).or_else(|| link_local(address));
    why.map_or(Ok(address), |why| {
        Err(Fault::new(format!("{address} is {why}"), why))
    })
}

fn link_local(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some("link-local, which is reached only through a named interface")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn not_unicast(address: IpAddr) -> Option<&'static str> {
    match address {
        address if address.is_unspecified() => Some("the unspecified address"),
        address if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn mapped(address: Ipv4Addr) -> Fault {
    Fault::new(
        format!("\"::ffff:{address}\" is an IPv4 address in IPv6 form"),
        "IPv4-mapped",
    )
    .help(format!("write \"{address}\""))
}

fn not_an_address(text: &str) -> Fault {
    let fault = Fault::new(
        format!("{} is not an IP address", quoted(text)),
        "expected an IPv4 or IPv6 address",
    );
    let bare = text
        .split(['/', '%'])
        .next()
        .unwrap_or("")
        .trim_matches([' ', '[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(address) if !text.contains('%') => fault.help(format!("write \"{address}\"")),
        Ok(_) => fault.help("addresses with a scope are not supported"),
        Err(_) => fault,
    }
}

pub(super) fn interface_address(text: &str) -> Result<Prefix, Fault> {
    let prefix = prefix(text)?;
    match not_unicast(prefix.address) {
        Some(why) => Err(Fault::new(format!("{} is {why}", quoted(text)), why)),
        None => Ok(prefix),
    }
}

pub(super) fn network(text: &str) -> Result<Prefix, Fault> {
    let prefix = prefix(text)?;
    let network = Prefix {
        address: prefix.network(),
        length: prefix.length,
    };
    if network != prefix {
        return Err(Fault::new(
            format!("{} has host bits set", quoted(text)),
            "host bits set",
        )
        .help(format!("write \"{network}\"")));
    }
    if network.address.is_multicast() {
        return Err(Fault::new(
            format!("{} is a multicast network", quoted(text)),
            "multicast",
        ));
    }
    Ok(prefix)
}

fn prefix(text: &str) -> Result<Prefix, Fault> {
    let (address, length) = text
        .split_once('/')
        .map_or((text, None), |(address, length)| (address, Some(length)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(Fault::new(
            format!("{} is not an address with a prefix length", quoted(text)),
            "expected ADDRESS/LENGTH",
        ));
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(mapped(v4));
    }
    let bits = Family::of(address).bits();
    let Some(length) = length else {
        return Err(Fault::new(
            format!("{} has no prefix length", quoted(text)),
            "expected ADDRESS/LENGTH",
        )
        .help(format!("write \"{address}/{bits}\" for this one address")));
    };
    if length.is_empty() || !length.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Fault::new(
            format!("{} has a prefix length that is not a number", quoted(text)),
            format!("expected 0 to {bits}"),
        ));
    }
    match length.parse::<u8>() {
        Ok(length) if length <= bits => Ok(Prefix::new(address, length)),
        Ok(_) | Err(_) => {
            let words = format!(
                "{} has prefix length {} above maximum {bits}",
                quoted(text),
                cut(length)
            );
            Err(Fault::new(words, format!("maximum {bits}")))
        }
    }
}

pub(super) fn remote(text: &str) -> Result<Remote, Fault> {
    if text == "any" {
        return Ok(Remote::Any);
    }
    let address_like = text.contains([':', '/', '%'])
        || text
            .bytes()
            .all(|octet| octet.is_ascii_digit() || octet == b'.');
    if address_like || text.parse::<IpAddr>().is_ok() {
        return address(text).map(Remote::Address);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > HOST_OCTETS {
        let words = format!(
            "{} of {} octets above maximum {HOST_OCTETS}",
            quoted(text),
            name.len()
        );
        return Err(Fault::new(words, format!("maximum {HOST_OCTETS} octets")));
    }
    let label_is_valid = |label: &str| {
        (1..=LABEL_OCTETS).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    if !name.split('.').all(label_is_valid) {
        return Err(Fault::new(
            format!("{} is neither an address nor a host name", quoted(text)),
            "labels of 1 to 63 letters, digits and hyphens",
        ));
    }
    Ok(Remote::Name(name.to_ascii_lowercase()))
}

pub(super) fn interface(text: &str) -> Result<String, Fault> {
    if !(1..=INTERFACE_OCTETS).contains(&text.len()) {
        let (bound, side) = if text.is_empty() {
            ("minimum 1", "below")
        } else {
            ("maximum 15", "above")
        };
        return Err(Fault::new(
            format!("{} of {} octets {side} {bound}", quoted(text), text.len()),
            bound,
        ));
    }
    let forbidden = |c: char| !c.is_ascii_graphic() || matches!(c, '/' | ':' | '%' | '\\');
    if let Some(character) = text.chars().find(|c| forbidden(*c)) {
        return Err(Fault::new(
            format!(
                "{} holds {character:?}, which no interface name may",
                quoted(text)
            ),
            "not an interface name",
        ));
    }
    // The kernel keeps "all" and "default" for its own directories under /proc/sys/net/ipv4/conf.
    if matches!(text, "." | ".." | "all" | "default") {
        return Err(Fault::new(
            format!("{text:?} is reserved by the kernel"),
            "reserved",
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn netns(text: &str) -> Result<Netns, Fault> {
    if text.starts_with('/') {
        return absolute_path(text, PATH_OCTETS).map(Netns::Path);
    }
    if text.is_empty() || matches!(text, "." | "..") || text.contains(['/', '\0']) {
        return Err(Fault::new(
            format!(
                "{} is neither the name of a namespace nor an absolute path",
                quoted(text)
            ),
            "expected a name under /run/netns or an absolute path",
        ));
    }
    if text.len() > FILE_NAME_OCTETS {
        let words = format!(
            "{} of {} octets above maximum {FILE_NAME_OCTETS}",
            quoted(text),
            text.len()
        );
        return Err(Fault::new(
            words,
            format!("maximum {FILE_NAME_OCTETS} octets"),
        ));
    }
    Ok(Netns::Named(text.to_owned()))
}

pub(super) fn absolute_path(text: &str, max_octets: usize) -> Result<PathBuf, Fault> {
    if !text.starts_with('/') {
        return Err(Fault::new(
            format!("{} is not an absolute path", quoted(text)),
            "expected a path that begins with /",
        ));
    }
    path(text, max_octets)
}

/// The path of a file, absolute or relative to what the key says.
pub(super) fn file(text: &str) -> Result<PathBuf, Fault> {
    if text.is_empty() || text.ends_with('/') {
        return Err(Fault::new(
            format!("{} is not the path of a file", quoted(text)),
            "expected the path of a file",
        ));
    }
    path(text, PATH_OCTETS)
}

fn path(text: &str, max_octets: usize) -> Result<PathBuf, Fault> {
    let text = self::text(text)?;
    if text.len() > max_octets {
        let words = format!(
            "{} of {} octets above maximum {max_octets}",
            quoted(&text),
            text.len()
        );
        return Err(Fault::new(words, format!("maximum {max_octets} octets")));
    }
    Ok(PathBuf::from(text))
}

/// A value that tells itself why it cannot be read.
pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str, label: &str) -> Result<T, Fault> {
    text.parse()
        .map_err(|why| Fault::new(format!("{}: {why}", quoted(text)), label))
}

/// A name of at most this many octets.
pub(super) fn name(text: &str, max_octets: usize) -> Result<String, Fault> {
    let octets = text.len();
    let (bound, side) = if octets == 0 {
        ("minimum 1".to_owned(), "below")
    } else if octets > max_octets {
        (format!("maximum {max_octets}"), "above")
    } else {
        return self::text(text);
    };
    let words = format!("{} of {octets} octets {side} {bound}", quoted(text));
    Err(Fault::new(words, bound))
}

pub(super) fn text(text: &str) -> Result<String, Fault> {
    if text.contains('\0') {
        return Err(Fault::new(
            format!("{} holds a zero octet", quoted(text)),
            "zero octet",
        ));
    }
    Ok(text.to_owned())
}
