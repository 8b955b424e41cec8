//! Values that their kinds admit, and tables of them with the defaults of the table of keys.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use adit_proto::ike::identity::Identity;
use adit_proto::ike::proposal::{EspOffer, IkeOffer};
use toml::de::DeValue;

use super::ike::v1;
use super::keys::{Absent, Key, Section};
use super::reader::Reader;
use super::types::Remote;
use crate::io::address::Prefix;
use crate::io::netns::Netns;

/// A value and its place in the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// A value that its kind admits.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Flag(bool),
    Integer(u64),
    Word(&'static str),
    Time(Duration),
    Address(IpAddr),
    Prefix(Prefix),
    Remote(Remote),
    Netns(Netns),
    Path(PathBuf),
    Text(String),
    Identity(Identity),
    IkeOffer(IkeOffer),
    EspOffer(EspOffer),
    IkeV1(v1::IkeProposal),
    EspV1(v1::EspProposal),
    List(Vec<Node>),
    Table(Table),
    Tunnels(Vec<(String, Table)>),
    /// Refused; the problem is on the list.
    Invalid,
}

/// One method for each variant: its content, or none for every other variant.
macro_rules! contents {
    ($($name:ident: $variant:ident($content:ty),)*) => {
        impl Value {
            $(pub(super) fn $name(self) -> Option<$content> {
                if let Self::$variant(content) = self { Some(content) } else { None }
            })*
        }
    };
}

contents! {
    flag: Flag(bool),
    integer: Integer(u64),
    word: Word(&'static str),
    time: Time(Duration),
    address: Address(IpAddr),
    prefix: Prefix(Prefix),
    remote: Remote(Remote),
    netns: Netns(Netns),
    path: Path(PathBuf),
    text: Text(String),
    id: Identity(Identity),
    ike_offer: IkeOffer(IkeOffer),
    esp_offer: EspOffer(EspOffer),
    ike_v1: IkeV1(v1::IkeProposal),
    esp_v1: EspV1(v1::EspProposal),
    list: List(Vec<Node>),
    table: Table(Table),
    tunnels: Tunnels(Vec<(String, Table)>),
}

impl Value {
    /// An integer as the type that its range in the table of keys fits.
    pub(super) fn narrow<T: TryFrom<u64>>(self) -> Option<T> {
        T::try_from(self.integer()?).ok()
    }

    /// What makes two elements of an array the same.
    pub(super) fn identity(&self) -> Option<String> {
        match self {
            Self::Integer(value) => Some(value.to_string()),
            Self::Word(value) => Some((*value).to_owned()),
            Self::Address(value) => Some(value.to_string()),
            Self::Prefix(value) => Some(value.to_string()),
            Self::Remote(value) => Some(value.to_string()),
            Self::Text(value) => Some(value.clone()),
            Self::IkeOffer(value) => Some(value.to_string()),
            Self::EspOffer(value) => Some(value.to_string()),
            Self::IkeV1(value) => Some(value.to_string()),
            Self::EspV1(value) => Some(value.to_string()),
            Self::Flag(_)
            | Self::Time(_)
            | Self::Netns(_)
            | Self::Path(_)
            | Self::Identity(_)
            | Self::List(_)
            | Self::Table(_)
            | Self::Tunnels(_)
            | Self::Invalid => None,
        }
    }
}

/// A table whose keys all belong to its section.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) section: Section,
    pub(super) entries: BTreeMap<&'static str, Node>,
    pub(super) span: Range<usize>,
}

impl Table {
    /// A table in which no key is given.
    pub(super) fn empty(section: Section) -> Self {
        Self {
            section,
            entries: BTreeMap::new(),
            span: 0..0,
        }
    }

    /// The entry of this key, if the file has it.
    pub(super) fn given(&self, key: &str) -> Option<&Node> {
        self.entries.get(key)
    }

    /// Whether none of these keys has a refused value.
    pub(super) fn valid(&self, keys: &[&str]) -> bool {
        !keys.iter().any(|key| {
            self.given(key)
                .is_some_and(|node| matches!(node.value, Value::Invalid))
        })
    }

    /// The value of this key: the file's, or the default of the table of keys.
    pub(super) fn value(&self, key: &str) -> Value {
        match self.given(key) {
            Some(Node {
                value: Value::Invalid,
                ..
            })
            | None => default(self.section, key),
            Some(node) => node.value.clone(),
        }
    }
}

fn default(section: Section, key: &str) -> Value {
    let Some(Key {
        kind,
        default: Absent::Value(text),
        ..
    }) = section.key(key)
    else {
        return Value::Invalid;
    };
    match DeValue::parse(text) {
        Ok(node) => Reader::new(text).value(kind, key, &node).value,
        Err(_) => Value::Invalid,
    }
}
