//! Where the types of a dataset stand in its rows, and which fields they leave out on purpose.
//!
//! A place is the pattern of a path, as [`join`] writes it: `participants[].sessions[]`. The row is
//! at the empty pattern.

use std::{collections::BTreeMap, fmt::Write as _};

use arrow::datatypes::{DataType, Fields};

use crate::catalog::{
    InvalidKey,
    schema::{Types, nested_fields},
};

/// The most fields that a row may leave out on purpose, those of the types inside it included.
const MOST_IGNORED: usize = 5_000;

/// The types inside a row, and the fields that they leave out on purpose.
#[derive(Debug, Default)]
pub(crate) struct TypePlaces {
    /// The name of the type at each place.
    pub types: BTreeMap<String, String>,
    /// The patterns of the paths that are left out.
    pub ignored: Vec<String>,
}

impl TypePlaces {
    /// The places of the type `row`, whose columns are `fields`, and of the types inside it.
    ///
    /// # Errors
    /// If a field is both a column and left out, or if too many are left out.
    pub(crate) fn new(types: &Types, row: &str, fields: &Fields) -> Result<Self, InvalidKey> {
        let mut places = Self::default();
        places.add(types, row, fields, String::new())?;
        Ok(places)
    }

    fn add(
        &mut self,
        types: &Types,
        name: &str,
        fields: &Fields,
        place: String,
    ) -> Result<(), InvalidKey> {
        for (key, entry) in types.get(name).into_iter().flatten() {
            for ignored in entry.as_ref().ignored() {
                let key = format!("type.{name}.{key}");
                if fields.find(ignored).is_some() {
                    let reason = format!("`{ignored}` is a column of this type: leave one out");
                    return Err(InvalidKey::new(&key, reason));
                }
                if self.ignored.len() == MOST_IGNORED {
                    let reason = format!(
                        "with it a row leaves out more than {MOST_IGNORED} fields, those of the \
                         types inside it included"
                    );
                    return Err(InvalidKey::new(&key, reason));
                }
                self.ignored.push(join(&place, ignored));
            }
        }
        for field in fields {
            let column = types.get(name).and_then(|keys| keys.get(field.name()));
            let mut inner = column.and_then(|entry| entry.as_ref().column_type());
            let (mut place, mut data_type) = (join(&place, field.name()), field.data_type());
            while let DataType::List(element) = data_type {
                place.push_str("[]");
                data_type = element.data_type();
                inner = inner
                    .and_then(|text| text.strip_prefix("list<"))
                    .and_then(|text| text.strip_suffix('>'));
            }
            if let (Some(inner), DataType::Struct(fields)) = (inner, data_type) {
                self.add(types, inner, fields, place)?;
            }
        }
        self.types.insert(place, name.to_owned());
        Ok(())
    }
}

/// The pattern of the field `name` of what is at `place`. A name that could be taken for something
/// else stands in brackets, as in JavaScript: `attributes["first name"]`.
pub(crate) fn join(place: &str, name: &str) -> String {
    let mut path = place.to_owned();
    let is_plain = |c: char| c.is_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        // writing to a string does not fail
        let _ = write!(path, "[{}]", serde_json::Value::from(name));
        return path;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
    path
}

/// The pattern of the column to which these names lead, through structs and lists.
pub(crate) fn place_of<'n>(fields: &Fields, names: impl IntoIterator<Item = &'n str>) -> String {
    let (mut place, mut fields) = (String::new(), fields.clone());
    let mut lists = 0;
    for name in names {
        place.push_str(&"[]".repeat(lists));
        place = join(&place, name);
        let Some((_, field)) = fields.find(name) else { continue };
        let mut data_type = field.data_type().clone();
        lists = 0;
        while let DataType::List(element) = &data_type {
            lists += 1;
            data_type = element.data_type().clone();
        }
        fields = nested_fields(&data_type);
    }
    place
}
