//! Finds the rows of a page without decoding them: one pass over the bytes, nothing is copied.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use super::PageError;

/// What a page holds, still as text.
#[derive(Debug, Default)]
pub(super) struct Found<'de> {
    pub rows: Vec<&'de RawValue>,
    pub total: Option<&'de RawValue>,
}

/// Finds the rows and the total; each place is the keys that lead to it.
pub(super) fn find<'de>(body: &'de [u8], rows: &[String], total: Option<&[String]>) -> Result<Found<'de>, PageError> {
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let walk = Walk { rows: Some(rows), total, found: &mut found };
    walk.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| match error.classify() {
        Category::Data => PageError::Shape(error),
        Category::Syntax | Category::Eof | Category::Io => PageError::NotJson(error),
    })?;
    Ok(found)
}

/// A value on the way: which keys still lead from it to the rows and to the total, if any do.
struct Walk<'w, 'de> {
    rows: Option<&'w [String]>,
    total: Option<&'w [String]>,
    found: &'w mut Found<'de>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        match (self.rows, self.total) {
            (None, None) => IgnoredAny::deserialize(value).map(drop),
            (Some([]), _) => {
                // a key that comes twice must not cost the rows that came first
                let rows: Option<Vec<&'de RawValue>> = Deserialize::deserialize(value)?;
                self.found.rows.extend(rows.unwrap_or_default());
                Ok(())
            }
            (_, Some([])) => {
                self.found.total = Some(Deserialize::deserialize(value)?);
                Ok(())
            }
            _ => value.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that leads to the rows")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        fn step<'w>(place: Option<&'w [String]>, key: &str) -> Option<&'w [String]> {
            place?.split_first().filter(|(first, _)| *first == key).map(|(_, rest)| rest)
        }
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let found = &mut *self.found;
            map.next_value_seed(Walk { rows: step(self.rows, &key), total: step(self.total, &key), found })?;
        }
        Ok(())
    }
}
