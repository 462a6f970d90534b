//! One walk over the JSON of a reply, which finds what its pointers lead to.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::decode::{
    PageError,
    page_parser::{quoted, row_ranges::RowRanges},
};

/// The most keys of a reply that are remembered (G8).
pub(crate) const MAX_KEYS: usize = 100;

/// What one walk over a reply finds, as raw JSON.
#[derive(Debug)]
pub(super) struct Found<'de> {
    /// The reply.
    body: &'de [u8],
    pub rows: RowRanges,
    /// Whether there is a list of rows, or null in its place.
    pub has_list: bool,
    pub total: Option<&'de RawValue>,
    pub next: Option<&'de RawValue>,
    pub pages: Option<&'de RawValue>,
    /// The pointers of the members of the objects on the path to the rows, at most [`MAX_KEYS`].
    pub keys: Vec<String>,
}

impl<'de> Found<'de> {
    /// Nothing yet, in this reply.
    pub(super) fn new(body: &'de [u8]) -> Self {
        Self {
            body,
            rows: RowRanges::default(),
            has_list: false,
            total: None,
            next: None,
            pages: None,
            keys: Vec::new(),
        }
    }

    /// Adds a row, which lies in the reply.
    fn add_row(&mut self, row: &'de RawValue) -> Result<(), PageError> {
        let from = row.get().as_ptr() as usize - self.body.as_ptr() as usize;
        self.rows.push(from..from + row.get().len())
    }

    fn add_key(&mut self, parent: &str, key: &str) {
        if self.keys.len() < MAX_KEYS {
            self.keys.push(format!("{parent}/{key}"));
        }
    }
}

/// Pointers to the rows, the total, the next cursor and the number of pages. `None` if a reply has
/// no such value, or if it is found in another way.
pub(super) type Pointers<'w> = [Option<&'w [String]>; 4];

/// The JSON pointer as a text.
pub(super) fn pointer_text(pointer: &[String]) -> String {
    pointer.iter().map(|key| format!("/{key}")).collect()
}

/// Walks over a reply.
///
/// # Errors
/// If it is not JSON, or has something else than a list where the rows should be.
pub(super) fn walk<'de>(
    body: &'de [u8],
    pointers: Pointers<'_>,
    found: &mut Found<'de>,
) -> Result<(), PageError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let rows = pointers[0].unwrap_or_default();
    let walk = PageWalk { rows, paths: pointers, found };
    walk.deserialize(&mut json).and_then(|()| json.end()).map_err(classify)
}

/// Tells JSON without a list from what is not JSON.
pub(super) fn classify(error: serde_json::Error) -> PageError {
    match error.classify() {
        Category::Data => PageError::Shape(error),
        Category::Syntax | Category::Eof | Category::Io => PageError::NotJson(error),
    }
}

/// Finds the only list of a body: the body itself, a field of it, or a field one level deeper.
///
/// # Errors
/// If there are several.
pub(super) fn find_only_list<'de>(
    body: &'de [u8],
    found: &mut Found<'de>,
) -> Result<(), PageError> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(classify)?;
    let mut level = vec![(String::new(), whole)];
    let (mut nulls, mut others) = (0, 0);
    found.keys.clear();
    for _ in 0..3 {
        let lists: Vec<_> = level.iter().filter(|(_, raw)| raw.get().starts_with('[')).collect();
        match lists.as_slice() {
            [] => {}
            [(_, list)] => {
                let rows: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(classify)?;
                for row in rows {
                    found.add_row(row)?;
                }
                found.has_list = true;
                return Ok(());
            }
            more => {
                let names = more.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
                return Err(PageError::Shape(serde_json::Error::custom(format!(
                    "there are several lists: {}",
                    names.join(", ")
                ))));
            }
        }
        let mut below = Vec::new();
        for (name, raw) in &level {
            match raw.get().as_bytes().first() {
                Some(b'{') => {
                    let fields: BTreeMap<Cow<'_, str>, &RawValue> =
                        serde_json::from_str(raw.get()).map_err(classify)?;
                    for (key, raw) in fields {
                        found.add_key(name, &key);
                        below.push((format!("{name}/{key}"), raw));
                    }
                }
                Some(b'n') => nulls += 1,
                _ => others += 1,
            }
        }
        level = below;
    }
    // nothing but nulls: one of them stands for the list
    found.has_list = nulls > 0 && others == 0;
    Ok(())
}

/// Visits one value of a reply.
struct PageWalk<'w, 'f, 'de> {
    /// The whole path to the rows.
    rows: &'w [String],
    /// The remaining keys of each path. `None` if it does not lead through the current value.
    paths: Pointers<'w>,
    found: &'f mut Found<'de>,
}

impl PageWalk<'_, '_, '_> {
    /// Where the current value is, if the path to the rows leads through it.
    fn place(&self) -> String {
        let remaining = self.paths[0].map_or(0, <[String]>::len);
        pointer_text(&self.rows[..self.rows.len() - remaining])
    }

    /// The error of a value that is neither a list nor on the path to one.
    fn unexpected<E: Error>(&self, what: &str) -> E {
        let place = match self.place() {
            place if place.is_empty() => "the response".to_owned(),
            place => format!("`{place}`"),
        };
        E::custom(format!("{place} is {what}"))
    }
}

impl<'de> DeserializeSeed<'de> for PageWalk<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        match self.paths {
            [None, None, None, None] => IgnoredAny::deserialize(value).map(drop),
            [_, Some([]), ..] => {
                self.found.total = Some(Deserialize::deserialize(value)?);
                Ok(())
            }
            [_, _, Some([]), _] => {
                self.found.next = Some(Deserialize::deserialize(value)?);
                Ok(())
            }
            [_, _, _, Some([])] => {
                self.found.pages = Some(Deserialize::deserialize(value)?);
                Ok(())
            }
            // only the path to the rows must exist: some APIs write an empty object as `[]`
            [None, ..] => {
                let raw: &'de RawValue = Deserialize::deserialize(value)?;
                let mut json = serde_json::Deserializer::from_str(raw.get());
                let walked =
                    if raw.get().starts_with('{') { json.deserialize_map(self) } else { Ok(()) };
                walked.map_err(D::Error::custom)
            }
            _ => value.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for PageWalk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.found.has_list = true;
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        Err(self.unexpected(if value { "true" } else { "false" }))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Err(self.unexpected("a number"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Err(self.unexpected("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(self.unexpected("a number"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(self.unexpected("a text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.paths[0] == Some(&[]) {
            // a repeated key must not lose the rows of its first occurrence
            self.found.has_list = true;
            while let Some(row) = list.next_element()? {
                self.found.add_row(row).map_err(A::Error::custom)?;
            }
            return Ok(());
        }
        // an empty object that is written as `[]` has no list
        match list.next_element::<IgnoredAny>()? {
            Some(_) => Err(self.unexpected("a list")),
            None => Ok(()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        fn step<'w>(path: Option<&'w [String]>, key: &str) -> Option<&'w [String]> {
            path?.split_first().filter(|(first, _)| *first == key).map(|(_, rest)| rest)
        }
        let place = self.paths[0].map(|_| self.place());
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if let Some(place) = &place {
                self.found.add_key(place, &key);
            }
            let paths = self.paths.map(|path| step(path, &key));
            map.next_value_seed(PageWalk { rows: self.rows, paths, found: &mut *self.found })?;
        }
        match self.paths[0] {
            Some([]) => {
                let keys = quoted(self.found.keys.iter());
                Err(self.unexpected(&format!("an object; the response has {keys}")))
            }
            _ => Ok(()),
        }
    }
}
