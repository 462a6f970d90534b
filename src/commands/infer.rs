//! What columns rows have, as far as a page of them tells: a type for a catalogue, to read over and keep.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// What kind of value stands in a place, from all values seen there.
#[derive(Debug, Clone, PartialEq)]
enum InferredType {
    /// There was none but nulls.
    Unknown,
    Boolean,
    Int64,
    Double,
    /// A text that is an RFC 3339 time.
    Timestamp,
    Text,
    List(Box<InferredType>),
    /// Its fields, in the order first seen.
    Object(Vec<(String, InferredType)>),
    /// Values of kinds that no column holds together.
    Mixed,
}

/// The types of rows as TOML, the row's own first: `name` and, of what is nested, its path.
///
/// # Errors
/// Where a row is no JSON object.
pub(crate) fn infer<'r>(
    name: &str,
    rows: impl Iterator<Item = &'r str>,
) -> Result<String, serde_json::Error> {
    let mut kind = InferredType::Object(Vec::new());
    for row in rows {
        kind = kind.with(serde_json::from_str(row)?);
    }
    let mut types = Vec::new();
    match &kind {
        InferredType::Object(fields) => write(name, fields, &mut types),
        _ => return Err(serde_json::Error::custom("a row is not an object")),
    }
    Ok(types.join("\n"))
}

/// Writes the type of an object, and behind it those of the objects inside.
fn write(name: &str, fields: &[(String, InferredType)], types: &mut Vec<String>) {
    let keys: Vec<_> = fields.iter().map(|(key, _)| quoted(key)).collect();
    let width = keys.iter().map(String::len).max().unwrap_or_default();
    let mut text = format!("[type.{}]\n", quoted(name));
    for (key, (field, kind)) in keys.iter().zip(fields) {
        let word = toml::Value::from(kind.word(&format!("{name}-{field}")));
        text += format!("{key:<width$} = {word}{}", kind.doubt()).trim_end();
        text += "\n";
    }
    types.push(text);
    for (key, kind) in fields {
        if let Some(inner) = kind.fields() {
            write(&format!("{name}-{key}"), inner, types);
        }
    }
}

/// A key as TOML writes it.
fn quoted(key: &str) -> String {
    let is_bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_bare { key.to_owned() } else { toml::Value::from(key).to_string() }
}

impl InferredType {
    /// The kind of what is of one or the other.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, kind) | (kind, Self::Unknown) => kind,
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.with(*other))),
            (Self::Object(one), Self::Object(other)) => Self::Object(merge(one, other)),
            (Self::Int64, Self::Double) | (Self::Double, Self::Int64) => Self::Double,
            (one, other) if one == other => one,
            (one, other) if one.is_scalar() && other.is_scalar() => Self::Text,
            _ => Self::Mixed,
        }
    }

    /// Whether a column of texts can hold it.
    fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Object(_) | Self::Mixed)
    }

    /// The word of the catalogue; an object is of the type `name`.
    fn word(&self, name: &str) -> String {
        match self {
            Self::Unknown | Self::Text | Self::Mixed => "string".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::List(element) => format!("list<{}>", element.word(name)),
            Self::Object(fields) if fields.is_empty() => "map".to_owned(),
            Self::Object(_) => name.to_owned(),
        }
    }

    /// A comment where the values do not tell what the column is.
    fn doubt(&self) -> &'static str {
        match self {
            Self::Unknown => "   # null wherever it was seen",
            Self::Mixed => {
                "   # values that do not go together: leave it out, or rows will be set aside"
            }
            Self::Object(fields) if fields.is_empty() => "   # empty wherever it was seen",
            Self::List(element) => element.doubt(),
            _ => "",
        }
    }

    /// The fields of an object, also of one in a list.
    fn fields(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(fields) if !fields.is_empty() => Some(fields),
            Self::List(element) => element.fields(),
            _ => None,
        }
    }
}

fn merge(
    mut one: Vec<(String, InferredType)>,
    other: Vec<(String, InferredType)>,
) -> Vec<(String, InferredType)> {
    for (key, kind) in other {
        match one.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = std::mem::replace(known, InferredType::Unknown).with(kind),
            None => one.push((key, kind)),
        }
    }
    one
}

impl<'de> Deserialize<'de> for InferredType {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Values)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = InferredType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_unit<E: Error>(self) -> Result<InferredType, E> {
        Ok(InferredType::Unknown)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<InferredType, E> {
        Ok(InferredType::Boolean)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<InferredType, E> {
        Ok(InferredType::Int64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<InferredType, E> {
        Ok(if i64::try_from(number).is_ok() { InferredType::Int64 } else { InferredType::Double })
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<InferredType, E> {
        Ok(InferredType::Double)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<InferredType, E> {
        let time: Result<jiff::Timestamp, _> = text.parse();
        Ok(if time.is_ok() { InferredType::Timestamp } else { InferredType::Text })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<InferredType, A::Error> {
        let mut element = InferredType::Unknown;
        while let Some(kind) = list.next_element()? {
            element = element.with(kind);
        }
        Ok(InferredType::List(Box::new(element)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<InferredType, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = object.next_entry()? {
            fields = merge(fields, vec![field]);
        }
        Ok(InferredType::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    const ROWS: [&str; 3] = [
        r#"{"no": 7, "at": "2024-01-01T00:00:00Z", "score": 1, "done": true, "note": null, "closed": null,
            "legs": [{"began": "2024-01-01T00:00:00+02:00"}], "tags": [], "extra": {}, "odd key": "x"}"#,
        r#"{"no": 8, "at": "2024-01-02T00:00:00.5Z", "score": 0.5, "closed": "never", "tags": ["a"], "mixed": 1,
            "legs": [{"seconds": 3, "agent": {"id": "x"}}, {"seconds": 1.5}]}"#,
        r#"{"no": 9, "at": "2024-01-03T00:00:00Z", "closed": "2024-01-04T00:00:00Z", "mixed": [1]}"#,
    ];

    const TYPES: &str = r#"[type.calls]
no        = "int64"
at        = "timestamp"
score     = "double"
done      = "boolean"
note      = "string"   # null wherever it was seen
closed    = "string"
legs      = "list<calls-legs>"
tags      = "list<string>"
extra     = "map"   # empty wherever it was seen
"odd key" = "string"
mixed     = "string"   # values that do not go together: leave it out, or rows will be set aside

[type.calls-legs]
began   = "timestamp"
seconds = "double"
agent   = "calls-legs-agent"

[type.calls-legs-agent]
id = "string"
"#;

    #[test]
    fn a_column_has_the_kind_that_holds_all_its_values() {
        assert_eq!(infer("calls", ROWS.into_iter()).unwrap(), TYPES);
    }

    #[test]
    fn what_is_inferred_is_a_catalogue_that_reads() {
        let dataset = "[dataset.calls]\nversion = 1\nid = 'no'\ntime = 'at'\ncolumns = 'calls'\n\
            query = { path = '/calls', rows = '' }\n";
        let read = catalog::read("calls.toml", &format!("{dataset}{TYPES}")).unwrap();
        assert_eq!(read.datasets["calls"].schema.fields().len(), 11);
    }

    #[test]
    fn a_row_that_is_no_object_has_no_columns() {
        assert_eq!(
            infer("calls", ["7"].into_iter()).unwrap_err().to_string(),
            "a row is not an object"
        );
    }
}
