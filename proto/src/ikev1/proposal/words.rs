//! Algorithms in strongSwan's words: `aes256-sha256-modp2048`, and which of the words have to be allowed first.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use adit_crypto::Suite;
use adit_crypto::v1::{Cipher, Group, Hash};

use super::{EspProposal, IkeProposal};

/// Why a proposal cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadProposal {
    /// A word that names no algorithm of the kind that stands there.
    Unavailable {
        /// The word.
        word: String,
        /// The kind.
        kind: &'static str,
        /// Those that there are.
        available: String,
    },
    /// An algorithm is missing.
    Missing {
        /// The kind.
        kind: &'static str,
        /// Those that there are.
        available: String,
    },
    /// A word behind the last algorithm.
    Surplus {
        /// The word.
        word: String,
    },
}

impl fmt::Display for BadProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable {
                word,
                kind,
                available,
            } => write!(
                f,
                "{word:?} is not available as {kind} of version 1; there is {available}"
            ),
            Self::Missing { kind, available } => {
                write!(f, "{kind} is missing; there is {available}")
            }
            Self::Surplus { word } => write!(
                f,
                "{word:?} is one word too many: a proposal of version 1 has one algorithm of each kind"
            ),
        }
    }
}

impl Error for BadProposal {}

impl IkeProposal {
    /// What is offered when nothing is configured.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let groups = [
            Group::X25519,
            Group::EcpP384,
            Group::EcpP256,
            Group::Modp4096,
            Group::Modp3072,
            Group::Modp2048,
        ];
        groups.into_iter().flat_map(Self::of_group).collect()
    }

    /// The same for aggressive mode, whose first message has the one group.
    #[must_use]
    pub fn aggressive_defaults() -> Vec<Self> {
        Self::of_group(Group::Modp2048).collect()
    }

    fn of_group(group: Group) -> impl Iterator<Item = Self> {
        [Cipher::Aes256Cbc, Cipher::Aes128Cbc]
            .into_iter()
            .map(move |cipher| Self {
                cipher,
                hash: Hash::Sha256,
                group,
            })
    }

    /// The words of its algorithms that need to be allowed.
    pub fn insecure(&self) -> impl Iterator<Item = &'static str> + use<> {
        let Self {
            cipher,
            hash,
            group,
        } = *self;
        [
            cipher.is_insecure().then(|| cipher.name()),
            hash.is_insecure().then(|| hash.name()),
            group.is_insecure().then(|| group.name()),
        ]
        .into_iter()
        .flatten()
    }
}

impl EspProposal {
    /// What is offered when nothing is configured.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let suites = [
            Suite::Aes256Gcm16,
            Suite::Aes128Gcm16,
            Suite::Aes256CbcHmacSha256,
            Suite::Aes128CbcHmacSha256,
        ];
        let group = None;
        suites.map(|suite| Self { suite, group }).to_vec()
    }

    /// The words of its algorithms that need to be allowed.
    pub fn insecure(&self) -> impl Iterator<Item = &'static str> + use<> {
        let is_insecure = |word: &&str| {
            Cipher::parse(word).is_some_and(Cipher::is_insecure)
                || Hash::parse(word).is_some_and(Hash::is_insecure)
        };
        let group = self.group.filter(|group| group.is_insecure());
        let words = self.suite.name().split('-').filter(is_insecure);
        words.chain(group.map(Group::name))
    }
}

impl FromStr for IkeProposal {
    type Err = BadProposal;

    fn from_str(text: &str) -> Result<Self, BadProposal> {
        let mut words = text.split('-');
        let proposal = Self {
            cipher: one("a cipher", words.next(), Cipher::ALL, Cipher::name)?,
            hash: one("a hash", words.next(), Hash::ALL, Hash::name)?,
            group: group(words.next())?,
        };
        nothing_more(words.next())?;
        Ok(proposal)
    }
}

impl FromStr for EspProposal {
    type Err = BadProposal;

    fn from_str(text: &str) -> Result<Self, BadProposal> {
        let suites: Vec<Suite> = suites().collect();
        let is_suite = |words: &str| suites.iter().any(|suite| suite.name() == words);
        // A suite is one word, or a cipher and an integrity algorithm.
        let octets = match text.match_indices('-').map(|(at, _)| at).next() {
            Some(first) if !is_suite(text.get(..first).unwrap_or(text)) => text
                .get(first + 1..)
                .and_then(|rest| rest.find('-'))
                .map_or(text.len(), |second| first + 1 + second),
            Some(first) => first,
            None => text.len(),
        };
        let (suite, rest) = text.split_at_checked(octets).unwrap_or((text, ""));
        let mut rest = rest.split('-').skip(1);
        let proposal = Self {
            suite: one("an algorithm", Some(suite), &suites, Suite::name)?,
            group: match rest.next() {
                None => None,
                word => Some(group(word)?),
            },
        };
        nothing_more(rest.next())?;
        Ok(proposal)
    }
}

/// Every suite that IKEv1 has: all but ChaCha20-Poly1305, which has no number there.
fn suites() -> impl Iterator<Item = Suite> {
    let all = Suite::ALL.iter().chain(Suite::INSECURE).copied();
    all.filter(|suite| *suite != Suite::ChaCha20Poly1305)
}

/// Curve25519 has two names.
fn group(word: Option<&str>) -> Result<Group, BadProposal> {
    let word = word.map(|word| if word == "curve25519" { "x25519" } else { word });
    one("a group", word, Group::ALL, Group::name)
}

/// The one of that name.
fn one<T: Copy>(
    kind: &'static str,
    word: Option<&str>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, BadProposal> {
    let available = || {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        names.join(", ")
    };
    let Some(word) = word else {
        let available = available();
        return Err(BadProposal::Missing { kind, available });
    };
    let found = all.iter().copied().find(|one| name(*one) == word);
    found.ok_or_else(|| BadProposal::Unavailable {
        word: word.to_owned(),
        kind,
        available: available(),
    })
}

fn nothing_more(word: Option<&str>) -> Result<(), BadProposal> {
    match word {
        Some(word) => Err(BadProposal::Surplus {
            word: word.to_owned(),
        }),
        None => Ok(()),
    }
}

impl fmt::Display for IkeProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cipher, hash, group) = (self.cipher.name(), self.hash.name(), self.group.name());
        write!(f, "{cipher}-{hash}-{group}")
    }
}

impl fmt::Display for EspProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suite.name())?;
        match self.group {
            Some(group) => write!(f, "-{}", group.name()),
            None => Ok(()),
        }
    }
}
