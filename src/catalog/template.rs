//! Request bodies as data: a template from the catalogue, filled in for one page.

use serde_json::{Map, Value};

use super::Flaw;
use crate::interval::{Interval, iso};

/// What a template is filled with.
pub(super) struct Request {
    pub interval: Interval,
    pub page: u32,
    pub page_size: u32,
}

/// A value with holes. It has been checked when the catalogue was read, so filling cannot fail.
#[derive(Debug, Clone)]
pub(super) enum Template {
    Fixed(Value),
    Text(Vec<Piece>),
    List(Vec<Template>),
    Table(Vec<(String, Template)>),
}

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Literal(String),
    Slot(Slot),
}

/// A placeholder, by what it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Interval,
    From,
    To,
    Page,
    PageSize,
}

/// How the catalogue writes each placeholder, between braces.
const SLOTS: [(&str, Slot); 5] = [
    ("interval", Slot::Interval),
    ("from", Slot::From),
    ("to", Slot::To),
    ("page", Slot::Page),
    ("page_size", Slot::PageSize),
];

impl Slot {
    fn value(self, request: &Request) -> Value {
        match self {
            Self::Interval => request.interval.to_string().into(),
            Self::From => iso(request.interval.from_ms()).into(),
            Self::To => iso(request.interval.to_ms()).into(),
            Self::Page => request.page.into(),
            Self::PageSize => request.page_size.into(),
        }
    }
}

impl Template {
    /// Reads the value that stands at `key` of a catalogue.
    pub fn read(key: &str, value: toml::Value) -> Result<Self, Flaw> {
        Ok(match value {
            toml::Value::String(text) => Self::Text(pieces(&text).map_err(|reason| Flaw::new(key, reason))?),
            toml::Value::Integer(number) => Self::Fixed(number.into()),
            toml::Value::Float(number) if number.is_finite() => Self::Fixed(number.into()),
            toml::Value::Float(_) => return Err(Flaw::new(key, "json has no such number")),
            toml::Value::Boolean(flag) => Self::Fixed(flag.into()),
            toml::Value::Datetime(time) => Self::Fixed(time.to_string().into()),
            toml::Value::Array(items) => Self::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(at, item)| Self::read(&format!("{key}.{at}"), item))
                    .collect::<Result<_, _>>()?,
            ),
            toml::Value::Table(table) => Self::Table(Self::read_table(key, table)?),
        })
    }

    /// Reads a table's values, as [`read`](Self::read) does one.
    pub fn read_table(key: &str, table: toml::Table) -> Result<Vec<(String, Self)>, Flaw> {
        table
            .into_iter()
            .map(|(name, value)| {
                let template = Self::read(&format!("{key}.{name}"), value)?;
                Ok((name, template))
            })
            .collect()
    }

    /// The value for one request. A text that is wholly one placeholder becomes the placeholder's
    /// own type, so that a page number stays a number.
    pub fn fill(&self, request: &Request) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(pieces) => match pieces.as_slice() {
                [Piece::Slot(slot)] => slot.value(request),
                pieces => pieces.iter().map(|piece| piece.text(request)).collect::<String>().into(),
            },
            Self::List(items) => items.iter().map(|item| item.fill(request)).collect(),
            Self::Table(entries) => Value::Object(fill_table(entries, request)),
        }
    }
}

/// Fills every value of a table.
pub(super) fn fill_table(entries: &[(String, Template)], request: &Request) -> Map<String, Value> {
    entries.iter().map(|(name, template)| (name.clone(), template.fill(request))).collect()
}

impl Piece {
    fn text(&self, request: &Request) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Slot(slot) => match slot.value(request) {
                Value::String(text) => text,
                other => other.to_string(),
            },
        }
    }
}

/// Cuts a text at its placeholders.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("`{text}` opens a brace and does not close it"))?;
        let slot = SLOTS.iter().find(|(known, _)| *known == name).map(|&(_, slot)| slot).ok_or_else(|| {
            let known = SLOTS.map(|(known, _)| format!("{{{known}}}")).join(", ");
            format!("`{{{name}}}` is not a placeholder; there are {known}")
        })?;
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        pieces.push(Piece::Slot(slot));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(toml: &str) -> Result<Value, Flaw> {
        let interval = "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z".parse().unwrap();
        let table = toml.parse().unwrap();
        let filled = Template::read("body", toml::Value::Table(table))?;
        Ok(filled.fill(&Request { interval, page: 3, page_size: 100 }))
    }

    #[test]
    fn a_text_that_is_wholly_one_placeholder_keeps_its_type() {
        let filled = fill(r#"n = "{page}"  s = "page {page} of {page_size}"  e = """#.replace("  ", "\n").as_str());
        assert_eq!(filled.unwrap(), json!({ "n": 3, "s": "page 3 of 100", "e": "" }));
    }

    #[test]
    fn placeholders_stand_at_any_depth() {
        let filled = fill(r#"a = [{ gte = "{from}", lt = "{to}" }, "{interval}", 1, 1.5, true, 2024-01-01]"#).unwrap();
        let (from, to) = ("2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z");
        let expected = json!([{ "gte": from, "lt": to }, format!("{from}/{to}"), 1, 1.5, true, "2024-01-01"]);
        assert_eq!(filled["a"], expected);
    }

    #[test]
    fn an_unknown_or_open_placeholder_is_named_with_its_key() {
        let flaw = fill("a = { b = [\"x\", \"{pages}\"] }").unwrap_err();
        assert_eq!(flaw.key, "body.a.b.1");
        assert!(flaw.reason.starts_with("`{pages}` is not a placeholder; there are {interval}, "), "{}", flaw.reason);
        assert_eq!(fill("a = \"{page\"").unwrap_err().reason, "`{page` opens a brace and does not close it");
        assert_eq!(fill("a = nan").unwrap_err().reason, "json has no such number");
    }
}
