//! Reads known answers in the form of NIST's response files: lines `Name = value`, an empty line behind each record.

use std::collections::BTreeMap;

/// One known answer.
#[derive(Debug)]
pub(crate) struct Record {
    fields: BTreeMap<&'static str, &'static str>,
}

impl Record {
    /// Those of a file. Comments and the headings of groups are left out.
    pub(crate) fn all(text: &'static str) -> Vec<Self> {
        let mut all = vec![BTreeMap::new()];
        for line in text.lines() {
            if line.is_empty() {
                all.push(BTreeMap::new());
            } else if !line.starts_with(['#', '[']) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let earlier = all.last_mut().unwrap().insert(name.trim(), value.trim());
                assert_eq!(earlier, None, "{line}");
            }
        }
        let all = all.into_iter().filter(|fields| !fields.is_empty());
        all.map(|fields| Self { fields }).collect()
    }

    /// What it says under that name; empty where a line is the name alone.
    pub(crate) fn text(&self, name: &str) -> Option<&'static str> {
        self.fields.get(name).copied()
    }

    /// The octets that it must have under that name.
    pub(crate) fn octets(&self, name: &str) -> Vec<u8> {
        let text = self
            .text(name)
            .unwrap_or_else(|| panic!("{name}: {self:?}"));
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        assert_eq!(rest, b"", "{name}: {self:?}");
        let octet = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.iter().map(|pair| octet(pair)).collect()
    }
}
