//! What the columns of a row must hold, told from its JSON by `serde_json` and an own walk.
//!
//! Every value of the row is in its column unchanged, or in `_extra` as it came. The walk knows the
//! types of Arrow and the forms of values, and no code of the decoder.

use std::{borrow::Cow, collections::BTreeMap};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::DataType,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::scalar_oracle::{fits_scalar, scalar};

/// The column of what has no place in the others.
const EXTRA: &str = "_extra";

/// Compares a row of a batch with its JSON.
///
/// # Errors
/// The first value that is not where it should be, with its path.
pub fn compare(json: &str, batch: &RecordBatch, row: usize) -> Result<(), String> {
    let Object(members) = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut walk = Walk::default();
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let fields = fields.filter(|(field, _)| field.name() != EXTRA);
    let columns = fields.map(|(field, column)| (field.name().as_str(), &**column));
    walk.object(&members, &columns.collect::<Vec<_>>(), row, "")?;
    let Some(extra) = batch.column_by_name(EXTRA) else { return Ok(()) };
    let stored = if extra.is_null(row) { BTreeMap::new() } else { entries(&**extra, row) };
    // of a row with very many such values the whole field, or the whole row, is there instead
    let whole = |path: &str| {
        members
            .iter()
            .rev()
            .find(|(key, _)| member("", &key.name) == path)
            .map(|(_, raw)| raw.get())
    };
    let is_whole = |path: &str, raw: &Option<String>| {
        path == "$" && raw.as_deref() == Some(json)
            || raw.is_some() && raw.as_deref() == whole(path)
    };
    for (path, raw) in &walk.misplaced {
        let is_kept = stored.iter().any(|(stored, text)| {
            let is_same = stored == path && text.as_ref() == Some(raw);
            is_same || (stored == "$" || path.starts_with(stored)) && is_whole(stored, text)
        });
        if !is_kept {
            return Err(format!("{path}: {raw} has no column, `{EXTRA}` has {stored:?}"));
        }
    }
    let superfluous = stored.iter().find(|(path, raw)| {
        !walk.misplaced.contains_key(path.as_str())
            && (walk.misplaced.is_empty() || !is_whole(path, raw))
    });
    match superfluous {
        Some((path, _)) if !walk.has_duplicate_keys => {
            Err(format!("{path}: `{EXTRA}` has what has its column"))
        }
        _ => Ok(()),
    }
}

/// The members of an object in their order, those of one key all of them.
pub struct Object<'a>(pub Vec<(Key<'a>, &'a RawValue)>);

/// A key of an object.
pub struct Key<'a> {
    /// Its characters. If it is no text, its JSON.
    pub name: Cow<'a, str>,
    /// Whether it is a text. A key with half of a character is none.
    is_text: bool,
}

impl<'a> Key<'a> {
    fn new(raw: &'a RawValue) -> Self {
        match serde_json::from_str::<String>(raw.get()) {
            Ok(name) => Self { name: name.into(), is_text: true },
            Err(_) => Self { name: raw.get().into(), is_text: false },
        }
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> de::Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, text: &mut std::fmt::Formatter) -> std::fmt::Result {
                text.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<&RawValue>()? {
                    members.push((Key::new(key), map.next_value()?));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[derive(Default)]
struct Walk {
    /// The values that have no column or do not fit it, by their paths.
    misplaced: BTreeMap<String, String>,
    has_duplicate_keys: bool,
}

impl Walk {
    fn object(
        &mut self,
        members: &[(Key, &RawValue)],
        columns: &[(&str, &dyn Array)],
        row: usize,
        path: &str,
    ) -> Result<(), String> {
        let mut last = BTreeMap::new();
        for (key, value) in members {
            self.has_duplicate_keys |= last.insert(&*key.name, *value).is_some();
        }
        for (name, column) in columns {
            match last.remove(*name) {
                Some(value) => self.value(value, *column, row, &member(path, name))?,
                None if column.is_null(row) => {}
                None => return Err(format!("{}: not in the JSON", member(path, name))),
            }
        }
        for (key, value) in last {
            self.misplace(member(path, key), value);
        }
        Ok(())
    }

    /// Notes a value that must be kept, which null is not.
    fn misplace(&mut self, path: String, value: &RawValue) {
        if value.get() != "null" {
            let earlier = self.misplaced.insert(path, value.get().to_owned());
            self.has_duplicate_keys |= earlier.is_some();
        }
    }

    /// A value that has a column, which is null if the value does not fit.
    fn value(
        &mut self,
        value: &RawValue,
        column: &dyn Array,
        row: usize,
        path: &str,
    ) -> Result<(), String> {
        let text = value.get();
        let is_null = column.is_null(row);
        let is_absent = match column.data_type() {
            DataType::Utf8 => text == "null",
            DataType::List(_) => text == "null" || is_blank(text, "\"\""),
            DataType::Struct(_) | DataType::Map(..) => {
                text == "null" || is_blank(text, "\"\"") || is_blank(text, "[]")
            }
            _ => text == "null" || is_empty_text(text),
        };
        if is_absent {
            return if is_null { Ok(()) } else { Err(format!("{path}: {text} is not null")) };
        }
        let fits = match column.data_type() {
            DataType::Struct(_) => text.starts_with('{'),
            DataType::Map(..) => text.starts_with('{'),
            DataType::List(_) => text.starts_with('['),
            _ => {
                return match fits_scalar(scalar(text).as_ref(), column, row) {
                    Some(true) => Ok(()),
                    Some(false) => Err(format!("{path}: {text} was changed")),
                    None => {
                        self.misplace(path.to_owned(), value);
                        Ok(())
                    }
                };
            }
        };
        if !fits {
            self.misplace(path.to_owned(), value);
            return if is_null { Ok(()) } else { Err(format!("{path}: {text} is not null")) };
        }
        if is_null {
            return Err(format!("{path}: {text} is null"));
        }
        self.nested(text, column, row, path)
    }

    /// A list, an object or a map that fits its column.
    fn nested(
        &mut self,
        text: &str,
        column: &dyn Array,
        row: usize,
        path: &str,
    ) -> Result<(), String> {
        let error = |error: serde_json::Error| format!("{path}: {error}");
        match column.data_type() {
            DataType::List(_) => {
                let values: Vec<&RawValue> = serde_json::from_str(text).map_err(error)?;
                let elements = column.as_list::<i32>().value(row);
                if elements.len() != values.len() {
                    return Err(format!("{path}: {} of {} elements", elements.len(), values.len()));
                }
                for (at, value) in values.into_iter().enumerate() {
                    self.value(value, &*elements, at, &format!("{path}[{at}]"))?;
                }
                Ok(())
            }
            DataType::Struct(fields) => {
                let Object(members) = serde_json::from_str(text).map_err(error)?;
                let columns = fields.iter().zip(column.as_struct().columns());
                let columns = columns.map(|(field, column)| (field.name().as_str(), &**column));
                self.object(&members, &columns.collect::<Vec<_>>(), row, path)
            }
            _ => {
                let Object(members) = serde_json::from_str(text).map_err(error)?;
                let entries = column.as_map().value(row);
                let keys = entries.column(0).as_string::<i32>();
                let mut columns = BTreeMap::new();
                for at in 0..entries.len() {
                    if columns.insert(keys.value(at), at).is_some() {
                        return Err(format!("{path}: `{}` twice", keys.value(at)));
                    }
                }
                let mut last = BTreeMap::new();
                for (key, value) in &members {
                    if !key.is_text {
                        // it cannot be a key of the map
                        self.misplace(member(path, &key.name), value);
                        continue;
                    }
                    self.has_duplicate_keys |= last.insert(&*key.name, *value).is_some();
                }
                if !last.keys().eq(columns.keys()) {
                    return Err(format!("{path}: the keys are {:?}", columns.keys()));
                }
                for (key, value) in last {
                    self.value(value, &**entries.column(1), columns[key], &member(path, key))?;
                }
                Ok(())
            }
        }
    }
}

/// The path of a member of an object.
fn member(path: &str, name: &str) -> String {
    let is_word = |one: char| one.is_alphanumeric() || "_-$@:".contains(one);
    let is_plain = name.chars().all(is_word) && !name.is_empty();
    match (path, is_plain) {
        ("", true) => name.to_owned(),
        (_, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{}]", serde_json::to_string(name).unwrap_or_default()),
    }
}

/// The entries of a map of texts.
fn entries(column: &dyn Array, row: usize) -> BTreeMap<String, Option<String>> {
    let entries = column.as_map().value(row);
    let [keys, values] = [0, 1].map(|at| entries.column(at).as_string::<i32>().clone());
    let value = |at: usize| values.is_valid(at).then(|| values.value(at).to_owned());
    (0..entries.len()).map(|at| (keys.value(at).to_owned(), value(at))).collect()
}

fn is_empty_text(text: &str) -> bool {
    serde_json::from_str::<String>(text).is_ok_and(|text| text.trim().is_empty())
}

/// Whether a value has nothing but space between these marks.
fn is_blank(text: &str, marks: &str) -> bool {
    text.chars().filter(|one| !one.is_ascii_whitespace()).eq(marks.chars())
}
