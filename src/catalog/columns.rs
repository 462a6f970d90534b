//! Column types: from the words of a catalogue to an Arrow schema.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use toml::Spanned;

use super::Flaw;

/// The types of a file, by name; of each, its columns and their types as the file writes them.
pub(super) type Types = BTreeMap<String, BTreeMap<String, Spanned<String>>>;

/// A point in time: milliseconds, as in the APIs, and in UTC, which Parquet records as such.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The columns of the type `name`, in the order of the file, all of them nullable: null keys are
/// absent in the APIs.
///
/// `outer` holds the types that are being resolved around it.
pub(super) fn columns<'t>(types: &'t Types, name: &'t str, outer: &[&str]) -> Result<Fields, Flaw> {
    let key = format!("type.{name}");
    let columns = types.get(name).ok_or_else(|| Flaw::new(&key, "there is no such type"))?;
    if columns.is_empty() {
        return Err(Flaw::new(&key, "a type needs a column"));
    }
    if outer.contains(&name) {
        return Err(Flaw::new(&key, format!("contains itself: {} → {name}", outer.join(" → "))));
    }
    let inner = [outer, &[name]].concat();
    // `toml` sorts keys; their places in the text keep the order that the author chose
    let mut columns: Vec<_> = columns.iter().collect();
    columns.sort_unstable_by_key(|(_, text)| text.span().start);
    let field = |(column, text): (&'t String, &'t Spanned<String>)| {
        let data_type = data_type(types, text.as_ref(), &format!("{key}.{column}"), &inner)?;
        Ok(Field::new(column, data_type, true))
    };
    columns.into_iter().map(field).collect()
}

fn data_type<'t>(types: &'t Types, text: &'t str, key: &str, outer: &[&str]) -> Result<DataType, Flaw> {
    if let Some(inner) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return Ok(DataType::List(Field::new("element", data_type(types, inner, key, outer)?, true).into()));
    }
    Ok(match text {
        "string" => DataType::Utf8,
        "timestamp" => timestamp(),
        "int64" => DataType::Int64,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "map" => map(),
        name if types.contains_key(name) => DataType::Struct(columns(types, name, outer)?),
        name => return Err(Flaw::new(key, format!("`{name}` is neither a column type nor a type of this file"))),
    })
}

/// Text by text. The names inside, like a list's `element`, are those of the Parquet format.
fn map() -> DataType {
    let entry = [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    DataType::Map(Field::new("key_value", DataType::Struct(Vec::from(entry).into()), false).into(), false)
}
