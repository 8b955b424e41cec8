//! What we offer: read from strongSwan's words, and written to the wire.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use adit_crypto::{Group, IkeCipher, Integrity, Prf, Suite};

use super::{cipher_transform, suite_transform, transform};
use crate::wire::ike::{Proposal, Protocol, SaPayload, Transform, TransformKind};

/// Algorithms for an IKE SA, best first of each kind: `aes256gcm16-aes128gcm16-prfsha384-x25519-ecp256`.
///
/// Ciphers that authenticate and those that do not are never in one offer (RFC 5282 section 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeOffer {
    pub(super) ciphers: Vec<IkeCipher>,
    /// Empty when the ciphers authenticate.
    pub(super) integrities: Vec<Integrity>,
    pub(super) prfs: Vec<Prf>,
    pub(super) groups: Vec<Group>,
}

/// Algorithms for a child SA, best first of each kind: `aes256gcm16-x25519-none-esn-noesn`.
///
/// The suites are every combination of their ciphers and integrity algorithms, since that is what the wire says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspOffer {
    pub(super) suites: Vec<Suite>,
    /// Empty: no key exchange of its own; `None` among others: one is not insisted on.
    pub(super) groups: Vec<Option<Group>>,
    pub(super) esn: Vec<bool>,
}

/// Why a proposal cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferError {
    /// A word that names no algorithm that there is.
    Unavailable {
        /// The word.
        word: String,
        /// What it looks like.
        kind: &'static str,
        /// Those that there are.
        available: String,
    },
    /// No algorithm of a kind that is needed.
    Missing {
        /// The kind.
        kind: &'static str,
        /// Those that there are.
        available: String,
    },
    /// A cipher that authenticates beside one that does not.
    Mixed,
    /// An integrity algorithm beside a cipher that authenticates.
    NeedsNoIntegrity {
        /// The cipher.
        cipher: &'static str,
    },
    /// A cipher and an integrity algorithm that are not available together.
    NotTogether {
        /// The cipher.
        cipher: String,
        /// The integrity algorithm.
        integrity: String,
    },
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable {
                word,
                kind,
                available,
            } => write!(
                f,
                "{word:?} is not available as {kind}; there is {available}"
            ),
            Self::Missing { kind, available } => {
                write!(f, "{kind} is missing; there is {available}")
            }
            Self::Mixed => f.write_str(
                "a cipher that authenticates and one that does not: write two proposals",
            ),
            Self::NeedsNoIntegrity { cipher } => {
                write!(
                    f,
                    "{cipher} authenticates: no integrity algorithm beside it"
                )
            }
            Self::NotTogether { cipher, integrity } => {
                write!(f, "{cipher} with {integrity} is not available")
            }
        }
    }
}

impl Error for OfferError {}

impl IkeOffer {
    /// What is offered when nothing is configured.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let groups = vec![Group::X25519, Group::EcpP384, Group::EcpP256];
        vec![
            Self {
                ciphers: vec![
                    IkeCipher::Aes256Gcm16,
                    IkeCipher::Aes128Gcm16,
                    IkeCipher::ChaCha20Poly1305,
                ],
                integrities: Vec::new(),
                prfs: vec![Prf::HmacSha384, Prf::HmacSha256, Prf::HmacSha512],
                groups: groups.clone(),
            },
            Self {
                ciphers: vec![IkeCipher::Aes256Cbc, IkeCipher::Aes128Cbc],
                integrities: vec![Integrity::HmacSha384_192, Integrity::HmacSha256_128],
                prfs: vec![Prf::HmacSha384, Prf::HmacSha256],
                groups,
            },
        ]
    }

    /// The key exchange methods, best first; never empty.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn transforms(&self) -> Vec<Transform> {
        let integrities = self.integrities.iter();
        let (prfs, groups) = (self.prfs.iter(), self.groups.iter());
        let mut transforms: Vec<_> = self.ciphers.iter().map(|c| cipher_transform(*c)).collect();
        transforms.extend(integrities.map(|i| transform(TransformKind::Integ, i.iana())));
        transforms.extend(prfs.map(|prf| transform(TransformKind::Prf, prf.iana())));
        transforms.extend(groups.map(|group| transform(TransformKind::Ke, group.iana())));
        transforms
    }
}

impl EspOffer {
    /// What is offered when nothing is configured.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let groups = [Group::X25519, Group::EcpP384, Group::EcpP256];
        vec![Self {
            suites: vec![
                Suite::Aes256Gcm16,
                Suite::Aes128Gcm16,
                Suite::ChaCha20Poly1305,
            ],
            groups: groups.into_iter().map(Some).chain([None]).collect(),
            esn: vec![true, false],
        }]
    }

    /// The key exchange methods, best first: none without perfect forward secrecy.
    pub fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.groups.iter().copied().flatten()
    }

    /// The suites, best first; never empty.
    #[must_use]
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    fn transforms(&self, in_ike_auth: bool) -> Vec<Transform> {
        let integrities = self.suites.iter().filter_map(|suite| suite.iana_integ());
        let groups = self.groups.iter().filter(|_| !in_ike_auth);
        let mut transforms = Vec::new();
        let mut add = |transform: Transform| {
            if !transforms.contains(&transform) {
                transforms.push(transform);
            }
        };
        self.suites
            .iter()
            .for_each(|suite| add(suite_transform(*suite)));
        integrities.for_each(|id| add(transform(TransformKind::Integ, id)));
        groups.for_each(|group| {
            add(transform(
                TransformKind::Ke,
                group.map_or(0, |group| group.iana()),
            ));
        });
        self.esn
            .iter()
            .for_each(|esn| add(transform(TransformKind::Esn, (*esn).into())));
        transforms
    }
}

/// The payload that offers an IKE SA, with the SPI of the new one when it is rekeyed.
#[must_use]
pub fn ike_to_wire(offers: &[IkeOffer], spi: Option<u64>) -> SaPayload {
    let spi = spi.map_or_else(Vec::new, |spi| spi.to_be_bytes().to_vec());
    let transforms = offers.iter().map(IkeOffer::transforms);
    numbered(Protocol::Ike, &spi, transforms)
}

/// The payload that offers a child SA, with the SPI that we receive by. IKE_AUTH has no key exchange (RFC 7296 section 1.2), so that
/// nothing is offered for it there.
#[must_use]
pub fn esp_to_wire(offers: &[EspOffer], spi: u32, in_ike_auth: bool) -> SaPayload {
    let transforms = offers.iter().map(|offer| offer.transforms(in_ike_auth));
    numbered(Protocol::Esp, &spi.to_be_bytes(), transforms)
}

fn numbered(
    protocol: Protocol,
    spi: &[u8],
    transforms: impl Iterator<Item = Vec<Transform>>,
) -> SaPayload {
    let proposals = (1..=u8::MAX).zip(transforms).map(|(number, transforms)| {
        let spi = spi.to_vec();
        Proposal {
            number,
            protocol,
            spi,
            transforms,
        }
    });
    SaPayload {
        proposals: proposals.collect(),
    }
}

impl FromStr for IkeOffer {
    type Err = OfferError;

    fn from_str(text: &str) -> Result<Self, OfferError> {
        let mut offer = Self {
            ciphers: Vec::new(),
            integrities: Vec::new(),
            prfs: Vec::new(),
            groups: Vec::new(),
        };
        for word in words(text) {
            let known = add(
                &mut offer.ciphers,
                named(IkeCipher::ALL, IkeCipher::name, &word),
            ) || add(
                &mut offer.integrities,
                named(Integrity::ALL, Integrity::name, &word),
            ) || add(&mut offer.prfs, named(Prf::ALL, Prf::name, &word))
                || add(&mut offer.groups, named(Group::ALL, Group::name, &word));
            if !known {
                return Err(unavailable(word, &ike_ciphers()));
            }
        }
        offer.completed()
    }
}

impl IkeOffer {
    fn completed(mut self) -> Result<Self, OfferError> {
        let Some(first) = self.ciphers.first() else {
            return Err(missing(CIPHER, ike_ciphers()));
        };
        if self.ciphers.iter().any(|c| c.is_aead() != first.is_aead()) {
            return Err(OfferError::Mixed);
        }
        match (first.is_aead(), self.integrities.is_empty()) {
            (true, false) => {
                let cipher = first.name();
                return Err(OfferError::NeedsNoIntegrity { cipher });
            }
            (false, true) => {
                return Err(missing(INTEGRITY, listed(Integrity::ALL, Integrity::name)));
            }
            _ => {}
        }
        if self.prfs.is_empty() {
            self.prfs = self.integrities.iter().map(|i| prf_of(*i)).collect();
        }
        if self.prfs.is_empty() {
            return Err(missing(PRF, listed(Prf::ALL, Prf::name)));
        }
        if self.groups.is_empty() {
            return Err(missing(GROUP, listed(Group::ALL, Group::name)));
        }
        Ok(self)
    }
}

impl FromStr for EspOffer {
    type Err = OfferError;

    fn from_str(text: &str) -> Result<Self, OfferError> {
        let (mut ciphers, mut integrities) = (Vec::new(), Vec::new());
        let (mut groups, mut esn) = (Vec::new(), Vec::new());
        for word in words(text) {
            let known = add(&mut ciphers, suite_word(&word, false))
                || add(&mut integrities, suite_word(&word, true))
                || add(&mut groups, named(Group::ALL, Group::name, &word).map(Some))
                || add(&mut groups, (word == NO_GROUP).then_some(None))
                || add(&mut esn, (word == ESN).then_some(true))
                || add(&mut esn, (word == NO_ESN).then_some(false));
            if !known {
                return Err(unavailable(word, &esp_ciphers()));
            }
        }
        if esn.is_empty() {
            esn = vec![true, false];
        }
        Ok(Self {
            suites: suites(&ciphers, &integrities)?,
            groups,
            esn,
        })
    }
}

/// Every combination of the words of ciphers and of integrity algorithms.
fn suites(
    ciphers: &[&'static str],
    integrities: &[&'static str],
) -> Result<Vec<Suite>, OfferError> {
    let Some(first) = ciphers.first().copied() else {
        return Err(missing(CIPHER, esp_ciphers()));
    };
    let is_aead = |cipher: &str| Suite::parse(cipher).is_some();
    if ciphers
        .iter()
        .any(|cipher| is_aead(cipher) != is_aead(first))
    {
        return Err(OfferError::Mixed);
    }
    match (is_aead(first), integrities.is_empty()) {
        (true, true) => return Ok(ciphers.iter().copied().filter_map(Suite::parse).collect()),
        (true, false) => return Err(OfferError::NeedsNoIntegrity { cipher: first }),
        (false, true) => return Err(missing(INTEGRITY, listed(Integrity::ALL, Integrity::name))),
        (false, false) => {}
    }
    let mut suites = Vec::new();
    for cipher in ciphers {
        for integrity in integrities {
            let Some(suite) = Suite::parse(&format!("{cipher}-{integrity}")) else {
                return Err(OfferError::NotTogether {
                    cipher: (*cipher).to_owned(),
                    integrity: (*integrity).to_owned(),
                });
            };
            suites.push(suite);
        }
    }
    Ok(suites)
}

impl fmt::Display for IkeOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.ciphers.iter().map(|cipher| cipher.name());
        let words = words.chain(self.integrities.iter().map(|integrity| integrity.name()));
        let words = words.chain(self.prfs.iter().map(|prf| prf.name()));
        let words = words.chain(self.groups.iter().map(|group| group.name()));
        f.write_str(&words.collect::<Vec<_>>().join("-"))
    }
}

impl fmt::Display for EspOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut words, mut integrities) = (Vec::new(), Vec::new());
        for suite in &self.suites {
            let (cipher, integrity) = split(*suite);
            add(&mut words, Some(cipher));
            add(&mut integrities, integrity);
        }
        words.extend(integrities);
        words.extend(
            self.groups
                .iter()
                .map(|group| group.map_or(NO_GROUP, |g| g.name())),
        );
        if self.esn != [true, false] {
            words.extend(self.esn.iter().map(|esn| if *esn { ESN } else { NO_ESN }));
        }
        f.write_str(&words.join("-"))
    }
}

const CIPHER: &str = "a cipher";
const INTEGRITY: &str = "an integrity algorithm";
const PRF: &str = "a pseudorandom function";
const GROUP: &str = "a key exchange group";
const NO_GROUP: &str = "none";
const ESN: &str = "esn";
const NO_ESN: &str = "noesn";

/// The words of a proposal, in the one spelling that is known of each.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('-').map(|word| {
        let word = word.trim().to_ascii_lowercase();
        match word.as_str() {
            "aes128gcm128" => "aes128gcm16".to_owned(),
            "aes256gcm128" => "aes256gcm16".to_owned(),
            "sha2_256" => "sha256".to_owned(),
            "sha2_384" => "sha384".to_owned(),
            "curve25519" => "x25519".to_owned(),
            _ => word,
        }
    })
}

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|value| name(*value) == word)
}

fn listed<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> String {
    let names: Vec<_> = all.iter().map(|value| name(*value)).collect();
    names.join(", ")
}

fn ike_ciphers() -> String {
    listed(IkeCipher::ALL, IkeCipher::name)
}

fn esp_ciphers() -> String {
    let mut words = Vec::new();
    for suite in Suite::ALL {
        add(&mut words, Some(split(*suite).0));
    }
    words.join(", ")
}

/// A suite's words for the cipher and, where that does not authenticate, the integrity algorithm.
fn split(suite: Suite) -> (&'static str, Option<&'static str>) {
    match suite.name().split_once('-') {
        Some((cipher, integrity)) => (cipher, Some(integrity)),
        None => (suite.name(), None),
    }
}

fn suite_word(word: &str, integrity: bool) -> Option<&'static str> {
    let words = Suite::ALL.iter().map(|suite| split(*suite));
    let mut words =
        words.filter_map(|(cipher, second)| if integrity { second } else { Some(cipher) });
    words.find(|known| *known == word)
}

/// Whether there is a value; it is appended once.
fn add<T: PartialEq>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let Some(value) = value else {
        return false;
    };
    if !values.contains(&value) {
        values.push(value);
    }
    true
}

/// The pseudorandom function where only an integrity algorithm is named.
const fn prf_of(integrity: Integrity) -> Prf {
    match integrity {
        Integrity::HmacSha256_128 => Prf::HmacSha256,
        Integrity::HmacSha384_192 => Prf::HmacSha384,
    }
}

fn missing(kind: &'static str, available: String) -> OfferError {
    OfferError::Missing { kind, available }
}

fn unavailable(word: String, ciphers: &str) -> OfferError {
    let begins = |starts: &[&str]| starts.iter().any(|start| word.starts_with(start));
    let (kind, available) = if begins(&["prf"]) {
        (PRF, listed(Prf::ALL, Prf::name))
    } else if begins(&[
        "modp", "ecp", "curve", "x25519", "x448", "mlkem", "ke", "none",
    ]) {
        (GROUP, listed(Group::ALL, Group::name))
    } else if begins(&["sha", "md5", "aesxcbc", "aescmac"]) {
        (INTEGRITY, listed(Integrity::ALL, Integrity::name))
    } else {
        (CIPHER, ciphers.to_owned())
    };
    OfferError::Unavailable {
        word,
        kind,
        available,
    }
}
