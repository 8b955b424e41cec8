//! What `swanctl --pretty` prints, as values.

use serde_json::{Map, Value};

/// The sections that a listing holds, one for each line that is `header {`.
pub(crate) fn sections(text: &str, header: &str) -> Vec<Value> {
    let opening = format!("{header} {{");
    let mut lines = text.lines().map(str::trim);
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line == opening {
            // Each holds one section by the connection's name.
            let event = section(&mut lines);
            found.extend(event.into_iter().map(|(_, value)| value));
        }
    }
    found
}

fn section<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Map<String, Value> {
    let mut values = Map::new();
    while let Some(line) = lines.next().filter(|&line| line != "}") {
        if let Some(name) = line.strip_suffix(" {") {
            values.insert(name.to_owned(), Value::Object(section(lines)));
        } else if let Some(name) = line.strip_suffix(" = [") {
            let list = lines.by_ref().take_while(|&line| line != "]");
            values.insert(name.to_owned(), list.map(Value::from).collect());
        } else if let Some((name, value)) = line.split_once(" = ") {
            values.insert(name.to_owned(), value.into());
        }
    }
    values
}
