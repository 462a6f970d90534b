//! Column types: from the names that a catalog uses to an Arrow schema.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use toml::Spanned;

use crate::catalog::{EXTRA, InvalidKey};

/// The most types and lists that contain a column. Apache Arrow writes a deeper schema into a file
/// and refuses to read it.
const DEEPEST: usize = 20;
/// The most columns of a row that contain no others.
const MOST_COLUMNS: usize = 2_000;

/// The key of a type that lists the fields that are left out on purpose.
const IGNORE: &str = "ignore";

/// The types of a file by name, each with its keys as the file writes them.
pub(crate) type Types = BTreeMap<String, BTreeMap<String, Spanned<TypeKey>>>;

/// A key of a type: a column, or the fields that are left out on purpose.
pub(crate) enum TypeKey {
    /// The type of the column that the key names.
    Column(String),
    /// The value of `ignore`: names of fields.
    Ignore(Vec<String>),
}

impl TypeKey {
    /// The type of the column that the key names. `None` if it names none.
    pub(crate) fn column_type(&self) -> Option<&str> {
        match self {
            Self::Column(text) => Some(text),
            Self::Ignore(_) => None,
        }
    }

    /// The fields that the key lists as left out.
    pub(crate) fn ignored(&self) -> &[String] {
        match self {
            Self::Column(_) => &[],
            Self::Ignore(names) => names,
        }
    }
}

impl<'de> Deserialize<'de> for TypeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfKey;
        impl<'de> Visitor<'de> for OfKey {
            type Value = TypeKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of names for `ignore`")
            }

            fn visit_str<E>(self, text: &str) -> Result<TypeKey, E> {
                Ok(TypeKey::Column(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TypeKey, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(TypeKey::Ignore(names))
            }
        }
        deserializer.deserialize_any(OfKey)
    }
}

/// A point in time in microseconds, as table formats such as Iceberg require, and in UTC.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A form in which responses write a value that JSON has no type for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireForm {
    /// An ISO 8601 interval; the column gets its start.
    Interval,
    /// An ISO 8601 duration or a number of seconds; the column gets its seconds.
    Duration,
    /// A time as a number of seconds since 1970.
    Seconds,
    /// A time as a number of milliseconds since 1970, of any size.
    Milliseconds,
    /// A time as a number of microseconds since 1970.
    Microseconds,
}

impl WireForm {
    /// The form of values that has this name in a catalog.
    pub(crate) fn read(text: &str) -> Option<Self> {
        match text {
            "interval" => Some(Self::Interval),
            "duration" => Some(Self::Duration),
            "timestamp(s)" => Some(Self::Seconds),
            "timestamp(ms)" => Some(Self::Milliseconds),
            "timestamp(us)" => Some(Self::Microseconds),
            _ => None,
        }
    }
}

/// Returns the columns that the keys of a dataset name, for a dataset whose other columns are not
/// known: timestamps, and strings for the rest.
pub(crate) fn bare<'n>(
    id: &'n [String],
    times: impl Iterator<Item = &'n String>,
    others: impl Iterator<Item = &'n String>,
) -> Fields {
    let texts = id.iter().chain(others).map(|name| (name, DataType::Utf8));
    let fields: BTreeMap<_, _> = texts.chain(times.map(|name| (name, timestamp()))).collect();
    fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

/// Whether a column can be part of an id of several columns: it is a time or contains none.
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

/// Returns the fields without the one at `path`, which leads through structs and lists.
pub(crate) fn without(fields: &Fields, path: &[&str]) -> Fields {
    let Some((first, rest)) = path.split_first() else { return fields.clone() };
    let keep = |field: &Arc<Field>| match rest {
        _ if field.name() != first => Some(Arc::clone(field)),
        [] => None,
        rest => Some(Arc::new(
            Field::clone(field).with_data_type(without_nested(field.data_type(), rest)),
        )),
    };
    fields.iter().filter_map(keep).collect()
}

fn without_nested(data_type: &DataType, path: &[&str]) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(without(fields, path)),
        DataType::List(element) => {
            let data_type = without_nested(element.data_type(), path);
            DataType::List(Arc::new(Field::clone(element).with_data_type(data_type)))
        }
        other => other.clone(),
    }
}

/// The columns inside a column, which is not a list.
pub(crate) fn nested_fields(data_type: &DataType) -> Fields {
    match data_type {
        DataType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    }
}

/// Returns the type of the column to which the names lead from a type, through structs and lists;
/// of a list that of its elements. `None` if there is none.
pub(crate) fn inside(data_type: &DataType, names: &[String]) -> Option<DataType> {
    match (data_type, names) {
        (DataType::List(element), names) => inside(element.data_type(), names),
        (data_type, []) => Some(data_type.clone()),
        (DataType::Struct(fields), [name, rest @ ..]) => {
            inside(fields.find(name)?.1.data_type(), rest)
        }
        _ => None,
    }
}

/// Returns the columns of the type `name` in the order of the file. All are nullable, since APIs
/// leave null keys out.
///
/// # Errors
/// If a type does not exist, contains itself, or nests deeper or has more columns than readers of
/// the files can be expected to take.
pub(crate) fn columns(types: &Types, name: &str) -> Result<Fields, InvalidKey> {
    Expansion { types, columns: 0 }.columns(name, &Nesting { types: &[], depth: 0 })
}

/// Replaces the names of types by their columns.
struct Expansion<'t> {
    types: &'t Types,
    /// Columns so far that contain no others.
    columns: usize,
}

/// Where a column is.
struct Nesting<'n> {
    /// The types that contain it, from the outermost.
    types: &'n [&'n str],
    /// The number of types and lists that contain it.
    depth: usize,
}

impl Expansion<'_> {
    fn columns(&mut self, name: &str, outside: &Nesting) -> Result<Fields, InvalidKey> {
        let key = format!("type.{name}");
        let Some(columns) = self.types.get(name) else {
            return Err(InvalidKey::new(&key, "there is no such type"));
        };
        if columns.values().all(|key| key.as_ref().column_type().is_none()) {
            return Err(InvalidKey::new(&key, "a type needs at least one column"));
        }
        if outside.types.contains(&name) {
            let outer = outside.types.join(" → ");
            return Err(InvalidKey::new(
                &key,
                format!("the type contains itself: {outer} → {name}"),
            ));
        }
        let types = [outside.types, &[name]].concat();
        let inside = Nesting { types: &types, depth: outside.depth + 1 };
        // `toml` sorts keys; their positions in the text keep the author's order
        let mut columns: Vec<_> = columns.iter().collect();
        columns.sort_unstable_by_key(|(_, text)| text.span().start);
        let mut fields = Vec::with_capacity(columns.len());
        for (column, entry) in columns {
            let key = format!("{key}.{column}");
            let Some(text) = entry.as_ref().column_type() else {
                if column == IGNORE {
                    continue;
                }
                let reason = "a list is the value of `ignore`; a column has the name of its type";
                return Err(InvalidKey::new(&key, reason));
            };
            fields.push(Field::new(column, self.data_type(text, &key, &inside)?, true));
        }
        Ok(fields.into())
    }

    fn data_type(
        &mut self,
        text: &str,
        key: &str,
        outside: &Nesting,
    ) -> Result<DataType, InvalidKey> {
        if outside.depth > DEEPEST {
            let reason = format!(
                "it lies deeper than {DEEPEST} types and lists, which readers of the files refuse"
            );
            return Err(InvalidKey::new(key, reason));
        }
        if let Some(element) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
            let inside = Nesting { depth: outside.depth + 1, ..*outside };
            let element = self.data_type(element, key, &inside)?;
            return Ok(DataType::List(Field::new("element", element, true).into()));
        }
        let basic = basic_type(text);
        if self.types.contains_key(text) && basic.is_none() {
            return Ok(DataType::Struct(self.columns(text, outside)?));
        }
        self.columns += 1;
        if self.columns > MOST_COLUMNS {
            let row = outside.types.first().unwrap_or(&"");
            let reason = format!(
                "with it `{row}` has more than {MOST_COLUMNS} columns, those of the types inside \
                 it included, and each of them takes memory in every open file"
            );
            return Err(InvalidKey::new(key, reason));
        }
        basic.ok_or_else(|| {
            let reason = format!("`{text}` is neither a column type nor a type of this file");
            InvalidKey::new(key, reason)
        })
    }
}

/// The type with a name that every file knows. `None` if there is none.
fn basic_type(name: &str) -> Option<DataType> {
    Some(match name {
        "string" => DataType::Utf8,
        "timestamp" => timestamp(),
        "int64" => DataType::Int64,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "map" => map(),
        "interval" | "timestamp(s)" | "timestamp(ms)" | "timestamp(us)" => timestamp(),
        "duration" => DataType::Float64,
        _ => return None,
    })
}

/// The last column of every dataset: the raw JSON of each value that fits no other column, by its
/// path in the row.
pub(crate) fn extra() -> Field {
    Field::new(EXTRA, map(), true)
}

/// A map of strings. The names inside, like a list's `element`, are those of the Parquet format.
pub(crate) fn map() -> DataType {
    let entry =
        [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    DataType::Map(
        Field::new("key_value", DataType::Struct(Vec::from(entry).into()), false).into(),
        false,
    )
}
