//! A parsed TOML table against the table of keys: unknown keys, missing keys, types and ranges.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Absent, KEYS, Key, Kind, List, Section};
use super::report::Problem;
use super::scalar::{self, Fault};
use super::time;
use super::value::{Node, Table, Value};

/// The longest tunnel name, in octets.
const TUNNEL_NAME_OCTETS: usize = 64;

/// The problems found so far, and where the reader stands.
pub(super) struct Reader<'a> {
    pub(super) problems: Vec<Problem>,
    source: &'a str,
    place: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self {
            problems: Vec::new(),
            source,
            place: String::new(),
        }
    }

    /// Reads the whole file.
    pub(super) fn file(&mut self, table: &DeTable<'_>) -> Table {
        let first_line = self.source.find(['\n', '\r']).unwrap_or(self.source.len());
        self.table(Section::Top, "", table, 0..first_line)
    }

    fn table(
        &mut self,
        section: Section,
        path: &str,
        table: &DeTable<'_>,
        span: Range<usize>,
    ) -> Table {
        let mut entries = BTreeMap::new();
        for (name, node) in table {
            let Some(key) = section.key(name.get_ref()) else {
                self.unknown_key(section, path, name.get_ref(), name.span());
                continue;
            };
            entries.insert(key.name, self.value(&key.kind, &join(path, key.name), node));
        }
        for key in section.keys() {
            if let Absent::Required(example) = key.default
                && !entries.contains_key(key.name)
            {
                self.missing_key(key, path, example, span.clone());
            }
        }
        Table {
            section,
            entries,
            span,
        }
    }

    fn unknown_key(&mut self, section: Section, path: &str, name: &str, span: Range<usize>) {
        if let Some(fault) = of_other_version(section, name) {
            return self.fault(&format!("{} ", join(path, name)), fault, span);
        }
        let message = format!(
            "{}unknown key {}",
            self.place,
            scalar::quoted(&join(path, name))
        );
        let problem = Problem::error(message, span, "unknown key");
        let near = scalar::nearest(name, section.keys().map(|key| key.name));
        let elsewhere = || KEYS.iter().find(|key| key.name == name);
        self.problems.push(match (near, elsewhere()) {
            (Some(near), _) => problem.help(format!("did you mean \"{near}\"?")),
            (None, Some(key)) if key.section == Section::Top => {
                problem.help(format!("\"{name}\" stands at the top of the file"))
            }
            (None, Some(key)) => problem.help(format!(
                "\"{name}\" is a key of [{}]",
                key.section.heading()
            )),
            (None, None) => {
                let keys: Vec<_> = section.keys().map(|key| key.name).collect();
                problem.help(format!("the keys here are {}", keys.join(", ")))
            }
        });
    }

    fn missing_key(&mut self, key: &Key, path: &str, example: &str, span: Range<usize>) {
        if matches!(key.kind, Kind::Tunnels) {
            return self.no_tunnel(span);
        }
        let message = format!("{}{} missing", self.place, join(path, key.name));
        self.problems
            .push(Problem::error(message, span, "").help(format!("add {} = {example}", key.name)));
    }

    fn no_tunnel(&mut self, span: Range<usize>) {
        self.problems.push(
            Problem::error("no tunnel".to_owned(), span, "").help("add a table [tunnel.NAME]"),
        );
    }

    pub(super) fn value(&mut self, whole: &Kind, path: &str, node: &Spanned<DeValue<'_>>) -> Node {
        let span = node.span();
        let Some(kind) = admitted(whole, node.get_ref()) else {
            let fault = self.mismatch(whole, node);
            self.fault(&format!("{path} "), fault, span.clone());
            return Node {
                value: Value::Invalid,
                span,
            };
        };
        let read = match (kind, node.get_ref()) {
            (Kind::List(list), DeValue::Array(items)) => Ok(self.list(list, path, items, &span)),
            (Kind::Table(section), DeValue::Table(table)) => {
                let section = of_version(*section, table);
                Ok(Value::Table(self.table(section, path, table, span.clone())))
            }
            (Kind::Tunnels, DeValue::Table(table)) => Ok(self.tunnels(table, &span)),
            (Kind::Word(words), DeValue::String(text)) => word(whole, words, text).map(Value::Word),
            (kind, DeValue::String(text)) => string(kind, text),
            (Kind::Integer(min, max), DeValue::Integer(integer)) => {
                let shown = self.source.get(span.clone()).unwrap_or("");
                scalar::integer(shown, integer.as_str(), integer.radix(), *min, *max)
                    .map(Value::Integer)
            }
            (_, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
            _ => Err(self.mismatch(kind, node)),
        };
        let value = read.unwrap_or_else(|fault| {
            self.fault(&format!("{path} "), fault, span.clone());
            Value::Invalid
        });
        Node { value, span }
    }

    fn list(
        &mut self,
        list: &List,
        path: &str,
        items: &[Spanned<DeValue<'_>>],
        span: &Range<usize>,
    ) -> Value {
        let (count, List { min, max, .. }) = (items.len(), list);
        if count < *min || count > *max {
            let bound = if count < *min {
                format!("minimum {min}")
            } else {
                format!("maximum {max}")
            };
            let side = if count < *min { "below" } else { "above" };
            let fault = Fault::new(format!("of {count} elements {side} {bound}"), bound);
            self.fault(&format!("{path} "), fault, span.clone());
            return Value::Invalid;
        }
        let nodes: Vec<Node> = items
            .iter()
            .map(|item| self.value(&list.of, path, item))
            .collect();
        let repeated = list.unique && self.repeated(path, items, &nodes);
        if repeated
            || nodes
                .iter()
                .any(|node| matches!(node.value, Value::Invalid))
        {
            return Value::Invalid;
        }
        Value::List(nodes)
    }

    /// Whether an element stands twice.
    fn repeated(&mut self, path: &str, items: &[Spanned<DeValue<'_>>], nodes: &[Node]) -> bool {
        let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut found = false;
        for (node, item) in nodes.iter().zip(items) {
            let Some(identity) = node.value.identity() else {
                continue;
            };
            if let Some(first) = seen.get(&identity) {
                let shown = item.get_ref().as_str().map_or(identity, scalar::quoted);
                let message = format!("{}{path} has {shown} twice", self.place);
                let problem = Problem::error(message, node.span.clone(), "again")
                    .related(first.clone(), "first here");
                self.problems.push(problem);
                found = true;
            } else {
                seen.insert(identity, node.span.clone());
            }
        }
        found
    }

    fn tunnels(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        if entries.is_empty() {
            self.no_tunnel(span.clone());
        }
        let mut tunnels = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            let shown = scalar::quoted(name.get_ref());
            if let Err(fault) = tunnel_name(name.get_ref()) {
                self.fault("tunnel ", fault, name.span());
            }
            let DeValue::Table(table) = node.get_ref() else {
                let words = format!("{shown} is {}, expected a table", type_name(node.get_ref()));
                self.fault(
                    "tunnel ",
                    Fault::new(words, "expected a table"),
                    node.span(),
                );
                continue;
            };
            self.place = format!("tunnel {shown}: ");
            tunnels.push((
                name.get_ref().to_string(),
                self.table(Section::Tunnel, "", table, node.span()),
            ));
            self.place.clear();
        }
        Value::Tunnels(tunnels)
    }

    fn mismatch(&self, kind: &Kind, node: &Spanned<DeValue<'_>>) -> Fault {
        let value = node.get_ref();
        let shown = self.source.get(node.span()).unwrap_or("");
        if let (Kind::Time(..), DeValue::Integer(_)) = (kind, value) {
            return time::no_unit(shown, shown);
        }
        let expected = kind.describe();
        let fault = Fault::new(
            format!("is {}, expected {expected}", type_name(value)),
            type_name(value),
        );
        if let Some(text) = value.as_str().filter(|text| bare_would_do(kind, text)) {
            return fault.help(format!("write {text} without quotes"));
        }
        let listable =
            |kind: &Kind| matches!(kind, Kind::List(list) if admitted(&list.of, value).is_some());
        if alternative(kind, listable).is_some() && shown.len() <= TUNNEL_NAME_OCTETS {
            return fault.help(format!("write [{shown}]"));
        }
        fault
    }

    /// Puts a fault on the list, after the tunnel's name and `subject`.
    pub(super) fn fault(&mut self, subject: &str, fault: Fault, span: Range<usize>) {
        let problem = Problem::error(
            format!("{}{subject}{}", self.place, fault.words),
            span,
            fault.label,
        );
        self.problems.push(Problem {
            help: fault.help,
            ..problem
        });
    }
}

/// The keys of a table of IKE depend on its version.
fn of_version(section: Section, table: &DeTable<'_>) -> Section {
    let is_first = |value: &DeValue<'_>| matches!(value, DeValue::Integer(version) if u64::from_str_radix(version.as_str(), version.radix()) == Ok(1));
    let version = table
        .iter()
        .find(|(name, _)| name.get_ref() == "version")
        .map(|(_, value)| value.get_ref());
    if section == Section::Ike && version.is_some_and(is_first) {
        return Section::IkeV1;
    }
    section
}

/// Why a key of one version of IKE does not stand with the other.
fn of_other_version(section: Section, name: &str) -> Option<Fault> {
    if section == Section::Ike {
        Section::IkeV1.key(name)?;
        let fault = Fault::new("needs version 1", "needs version 1");
        return Some(fault.help("leave it out, or add version = 1"));
    }
    if section != Section::IkeV1 {
        return None;
    }
    Section::Ike.key(name)?;
    let why = match name {
        "child-octets" => "whose lives are in kilobytes: see child-kilobytes",
        "fragment-octets" => "whose messages leave in one piece",
        _ => "where both ends prove themselves by a pre-shared key",
    };
    let words = format!("has no meaning with version 1, {why}");
    Some(Fault::new(words, "needs version 2").help("leave it out"))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn tunnel_name(name: &str) -> Result<(), Fault> {
    let octets = name.len();
    if !(1..=TUNNEL_NAME_OCTETS).contains(&octets) {
        let bound = if name.is_empty() {
            "below minimum 1"
        } else {
            "above maximum 64"
        };
        return Err(Fault::new(
            format!("{}: name of {octets} octets {bound}", scalar::quoted(name)),
            bound,
        ));
    }
    let forbidden = |c: &char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-');
    match name.chars().find(forbidden) {
        Some(c) => Err(Fault::new(
            format!("{}: name holds {c:?}", scalar::quoted(name)),
            "1 to 64 of A-Z a-z 0-9 _ . -",
        )),
        None => Ok(()),
    }
}

fn string(kind: &Kind, text: &str) -> Result<Value, Fault> {
    match *kind {
        Kind::Time(min, max) => time::time(text, min, max).map(Value::Time),
        Kind::Address => scalar::address(text).map(Value::Address),
        Kind::InterfaceAddress => scalar::interface_address(text).map(Value::Prefix),
        Kind::Network => scalar::network(text).map(Value::Prefix),
        Kind::Remote => scalar::remote(text).map(Value::Remote),
        Kind::Interface => scalar::interface(text).map(Value::Text),
        Kind::Netns => scalar::netns(text).map(Value::Netns),
        Kind::AbsolutePath(octets) => scalar::absolute_path(text, octets).map(Value::Path),
        Kind::File => scalar::file(text).map(Value::Path),
        Kind::Text => scalar::text(text).map(Value::Text),
        Kind::Name(octets) => scalar::name(text, octets).map(Value::Text),
        Kind::Identity => scalar::parsed(text, "not an identity").map(Value::Identity),
        Kind::IkeProposal => scalar::parsed(text, "not available").map(Value::IkeOffer),
        Kind::EspProposal => scalar::parsed(text, "not available").map(Value::EspOffer),
        Kind::IkeV1Proposal => scalar::parsed(text, "not available").map(Value::IkeV1),
        Kind::EspV1Proposal => scalar::parsed(text, "not available").map(Value::EspV1),
        Kind::Flag
        | Kind::Off
        | Kind::Integer(..)
        | Kind::Word(_)
        | Kind::List(_)
        | Kind::Table(_)
        | Kind::Tunnels
        | Kind::Any(_) => Ok(Value::Invalid),
    }
}

/// One of the words; `whole` has the alternatives that a refusal speaks of.
fn word(whole: &Kind, words: &[&'static str], text: &str) -> Result<&'static str, Fault> {
    scalar::word(text, words, &whole.describe()).map_err(|fault| match bare_would_do(whole, text) {
        true => fault.help(format!("write {text} without quotes")),
        false => fault,
    })
}

/// The kind, or the one of its alternatives, whose TOML type the value has.
fn admitted<'k>(kind: &'k Kind, value: &DeValue<'_>) -> Option<&'k Kind> {
    alternative(kind, |kind| match kind {
        Kind::Flag => matches!(value, DeValue::Boolean(_)),
        Kind::Off => matches!(value, DeValue::Boolean(false)),
        Kind::Integer(..) => matches!(value, DeValue::Integer(_)),
        Kind::List(_) => matches!(value, DeValue::Array(_)),
        Kind::Table(_) | Kind::Tunnels => matches!(value, DeValue::Table(_)),
        Kind::Any(_) => false,
        Kind::Word(_)
        | Kind::Time(..)
        | Kind::Address
        | Kind::InterfaceAddress
        | Kind::Network
        | Kind::Remote
        | Kind::Interface
        | Kind::Netns
        | Kind::AbsolutePath(_)
        | Kind::File
        | Kind::Text
        | Kind::Name(_)
        | Kind::Identity
        | Kind::IkeProposal
        | Kind::EspProposal
        | Kind::IkeV1Proposal
        | Kind::EspV1Proposal => matches!(value, DeValue::String(_)),
    })
}

fn alternative(kind: &Kind, matches: impl Fn(&Kind) -> bool) -> Option<&Kind> {
    if let Kind::Any(kinds) = kind {
        return kinds.iter().find(|kind| matches(kind));
    }
    matches(kind).then_some(kind)
}

/// Whether the string would do as an integer or a boolean without its quotes.
fn bare_would_do(kind: &Kind, text: &str) -> bool {
    let would_do = |kind: &Kind| {
        if let Kind::Integer(min, max) = kind {
            return text
                .parse::<u64>()
                .is_ok_and(|value| (*min..=*max).contains(&value));
        }
        matches!(kind, Kind::Flag) && matches!(text, "true" | "false")
            || matches!(kind, Kind::Off) && text == "false"
    };
    alternative(kind, would_do).is_some()
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
