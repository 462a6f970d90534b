//! Infers the columns of rows from a page: types for a catalog, which a person checks and keeps.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use crate::{catalog::PARTITION, server_text};

/// The comment for a column that a catalog refuses, since it is called like the partition folders.
const PARTITION_COMMENT: &str =
    "   # refused: the folders are called so; rename it, and add the old name to `aliases`";

/// The type of a field, from all values of it.
#[derive(Debug, Clone, PartialEq)]
enum InferredType {
    /// All values are null.
    Unknown,
    Boolean,
    Int64,
    Double,
    /// All values are RFC 3339 times.
    Timestamp,
    Text,
    List(Box<InferredType>),
    /// Fields in the order in which they were first seen.
    Object(Vec<(String, InferredType)>),
    /// Values that no column can hold together.
    Mixed,
}

/// Returns the types of rows as TOML: first that of the row, which is called `name`, then those of
/// nested objects, which are called by their paths.
///
/// # Errors
/// If a row is not a JSON object.
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

/// Writes the type of an object, then those of the objects inside it.
fn write(name: &str, fields: &[(String, InferredType)], types: &mut Vec<String>) {
    let keys: Vec<_> = fields.iter().map(|(key, _)| quoted(key)).collect();
    let width = keys.iter().map(String::len).max().unwrap_or_default();
    let mut text = format!("[type.{}]\n", quoted(name));
    for (key, (field, kind)) in keys.iter().zip(fields) {
        let type_name = toml::Value::from(kind.type_name(&format!("{name}-{field}")));
        let comment = match types.is_empty() && field.eq_ignore_ascii_case(PARTITION) {
            true => PARTITION_COMMENT,
            false => kind.comment(),
        };
        text += format!("{key:<width$} = {type_name}{comment}").trim_end();
        text += "\n";
    }
    types.push(text);
    for (key, kind) in fields {
        if let Some(inner) = kind.fields() {
            write(&format!("{name}-{key}"), inner, types);
        }
    }
}

/// Writes a key, in quotes if TOML needs them.
fn quoted(key: &str) -> String {
    let is_bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_bare {
        return key.to_owned();
    }
    // TOML escapes control characters, but not those that change the direction of writing
    let mut quoted = String::new();
    for character in toml::Value::from(key).to_string().chars() {
        match server_text::is_hidden(character) {
            true => quoted += &format!("\\U{:08X}", u32::from(character)),
            false => quoted.push(character),
        }
    }
    quoted
}

impl InferredType {
    /// The type that holds the values of both.
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

    /// Whether a column of strings can hold the values.
    fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Object(_) | Self::Mixed)
    }

    /// The name of the type in a catalog; that of an object is `name`.
    fn type_name(&self, name: &str) -> String {
        match self {
            Self::Unknown | Self::Text | Self::Mixed => "string".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::List(element) => format!("list<{}>", element.type_name(name)),
            Self::Object(fields) if fields.is_empty() => "map".to_owned(),
            Self::Object(_) => name.to_owned(),
        }
    }

    /// A comment if the values do not tell the type.
    fn comment(&self) -> &'static str {
        match self {
            Self::Unknown => "   # always null here",
            Self::Mixed => "   # values of several types: leave it out, or rows are quarantined",
            Self::Object(fields) if fields.is_empty() => "   # always empty here",
            Self::List(element) => element.comment(),
            _ => "",
        }
    }

    /// The fields of an object, or of the objects in a list.
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
        json.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = InferredType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
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
note      = "string"   # always null here
closed    = "string"
legs      = "list<calls-legs>"
tags      = "list<string>"
extra     = "map"   # always empty here
"odd key" = "string"
mixed     = "string"   # values of several types: leave it out, or rows are quarantined

[type.calls-legs]
began   = "timestamp"
seconds = "double"
agent   = "calls-legs-agent"

[type.calls-legs-agent]
id = "string"
"#;

    #[test]
    fn a_column_has_the_type_that_holds_all_its_values() {
        assert_eq!(infer("calls", ROWS.into_iter()).unwrap(), TYPES);
    }

    #[test]
    fn inferred_types_are_a_valid_catalog() {
        let dataset = "[dataset.calls]\nversion = 1\nid = 'no'\ntime = 'at'\ncolumns = 'calls'\n\
            query = { path = '/calls', rows = '' }\n";
        let read = catalog::read("calls.toml", &format!("{dataset}{TYPES}")).unwrap();
        assert_eq!(read.datasets["calls"].schema.fields().len(), 12);
    }

    #[test]
    fn a_row_that_is_not_an_object_has_no_columns() {
        assert_eq!(
            infer("calls", ["7"].into_iter()).unwrap_err().to_string(),
            "a row is not an object"
        );
    }

    #[test]
    fn a_column_that_is_called_like_the_partition_folder_has_a_comment() {
        let rows = [r#"{"date": "2024-01-01T00:00:00Z", "day": {"Date": "x"}}"#];
        let types = infer("calls", rows.into_iter()).unwrap();
        let comments: Vec<_> = types.lines().filter(|line| line.contains("# refused")).collect();
        assert_eq!(comments.len(), 1, "{types}");
        assert!(comments[0].starts_with("date = \"timestamp\""), "{types}");
    }
}
