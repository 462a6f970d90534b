//! Column types: from the words of a catalogue to an Arrow schema.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use toml::Spanned;

use crate::catalog::InvalidKey;

/// The types of a file, by name; of each, its columns and their types as the file writes them.
pub(crate) type Types = BTreeMap<String, BTreeMap<String, Spanned<String>>>;

/// A point in time: milliseconds, as in the APIs, and in UTC, which Parquet records as such.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// How replies write the values of a column where JSON's own forms do not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireForm {
    /// An ISO 8601 interval, of which the start counts.
    Interval,
    /// An ISO 8601 duration, which becomes seconds.
    Duration,
}

impl WireForm {
    /// The form that the catalogue writes like a type.
    fn read(text: &str) -> Option<Self> {
        match text {
            "interval" => Some(Self::Interval),
            "duration" => Some(Self::Duration),
            _ => None,
        }
    }
}

/// The columns of the type that is a row, and the forms of those that have one.
pub(crate) fn row(
    types: &Types,
    name: &str,
) -> Result<(Fields, BTreeMap<String, WireForm>), InvalidKey> {
    let forms = types.get(name).into_iter().flatten();
    let forms =
        forms.filter_map(|(column, text)| Some((column.clone(), WireForm::read(text.as_ref())?)));
    Ok((columns(types, name, &[])?, forms.collect()))
}

/// The columns that the keys of a dataset name, where nobody has described the others: times, and
/// texts for the rest.
pub(crate) fn bare<'n>(
    id: &'n [String],
    times: impl Iterator<Item = &'n String>,
    others: impl Iterator<Item = &'n String>,
) -> (Fields, BTreeMap<String, WireForm>) {
    let texts = id.iter().chain(others).map(|name| (name, DataType::Utf8));
    let fields: BTreeMap<_, _> = texts.chain(times.map(|name| (name, timestamp()))).collect();
    (
        fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect(),
        BTreeMap::new(),
    )
}

/// Whether a column can be one of several of an id: it is a time, or none is inside it.
pub(crate) fn fits_id(data_type: &DataType) -> bool {
    *data_type == timestamp() || !has_time(data_type)
}

fn has_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| has_time(field.data_type())),
        DataType::List(element) => has_time(element.data_type()),
        other => *other == timestamp(),
    }
}

/// The fields without the one at the end of `path`, which leads through structs and lists.
pub(crate) fn without(fields: &Fields, path: &[&str]) -> Fields {
    let Some((first, rest)) = path.split_first() else { return fields.clone() };
    let keep = |field: &Arc<Field>| match rest {
        _ if field.name() != first => Some(Arc::clone(field)),
        [] => None,
        rest => Some(Arc::new(Field::clone(field).with_data_type(inside(field.data_type(), rest)))),
    };
    fields.iter().filter_map(keep).collect()
}

fn inside(data_type: &DataType, path: &[&str]) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(without(fields, path)),
        DataType::List(element) => {
            let data_type = inside(element.data_type(), path);
            DataType::List(Arc::new(Field::clone(element).with_data_type(data_type)))
        }
        other => other.clone(),
    }
}

/// The columns of the type `name`, in the order of the file, all of them nullable: null keys are
/// absent in the APIs.
///
/// `outer` holds the types that are being resolved around it.
pub(crate) fn columns<'t>(
    types: &'t Types,
    name: &'t str,
    outer: &[&str],
) -> Result<Fields, InvalidKey> {
    let key = format!("type.{name}");
    let columns = types.get(name).ok_or_else(|| InvalidKey::new(&key, "there is no such type"))?;
    if columns.is_empty() {
        return Err(InvalidKey::new(&key, "a type needs a column"));
    }
    if outer.contains(&name) {
        return Err(InvalidKey::new(
            &key,
            format!("contains itself: {} → {name}", outer.join(" → ")),
        ));
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

fn data_type<'t>(
    types: &'t Types,
    text: &'t str,
    key: &str,
    outer: &[&str],
) -> Result<DataType, InvalidKey> {
    if let Some(inner) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return Ok(DataType::List(
            Field::new("element", data_type(types, inner, key, outer)?, true).into(),
        ));
    }
    Ok(match text {
        "string" => DataType::Utf8,
        "timestamp" => timestamp(),
        "int64" => DataType::Int64,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "map" => map(),
        // what is read by its form stands on top of a row
        "interval" if outer.len() == 1 => timestamp(),
        "duration" if outer.len() == 1 => DataType::Float64,
        name if types.contains_key(name) => DataType::Struct(columns(types, name, outer)?),
        name => {
            return Err(InvalidKey::new(
                key,
                format!("`{name}` is neither a column type nor a type of this file"),
            ));
        }
    })
}

/// Text by text. The names inside, like a list's `element`, are those of the Parquet format.
fn map() -> DataType {
    let entry =
        [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    DataType::Map(
        Field::new("key_value", DataType::Struct(Vec::from(entry).into()), false).into(),
        false,
    )
}
