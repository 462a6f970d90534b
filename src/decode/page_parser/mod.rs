//! Finds the rows of a reply without decoding them: one pass over the bytes, and nothing is copied
//! where a row stands as it is.

use std::{borrow::Cow, collections::BTreeMap, fmt, io, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::{
    catalog::{Endpoint, JsonPointer, ResponseFormat, RowsAt},
    decode::PageError,
};

/// Where replies of one way hold what.
#[derive(Debug, Clone)]
pub struct PageParser {
    rows: RowsAt,
    explode: Vec<String>,
    total: Option<JsonPointer>,
    next: Option<JsonPointer>,
    format: ResponseFormat,
    /// Columns that the reply does not have, and the text that each row gets there.
    fixed: Vec<(String, String)>,
}

/// A reply, taken apart but not decoded.
#[derive(Debug, Clone, Default)]
pub struct RawPage {
    /// The text that the rows are in.
    text: Bytes,
    rows: Vec<Range<usize>>,
    /// Items in the list: the rows, or what they were taken out of.
    pub items: u64,
    /// The platform's own count of the items of all pages, where it gives one that can be read. A
    /// hint: it moves while the interval is live.
    pub total: Option<u64>,
    /// The cursor or link of the next page.
    pub next: Option<String>,
    /// Whether it said that there is nothing, by status 204.
    pub is_nothing: bool,
}

impl RawPage {
    /// A reply of status 204.
    pub fn nothing() -> Self {
        Self { is_nothing: true, ..Self::default() }
    }

    /// The rows' JSON.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &str> {
        // JSON that was read is UTF-8
        self.rows.iter().map(|row| str::from_utf8(&self.text[row.clone()]).unwrap_or_default())
    }
}

impl PageParser {
    /// Finds in the replies of `endpoint`; each row gets the `fixed` columns.
    pub fn new(endpoint: &Endpoint, fixed: Vec<(String, String)>) -> Self {
        Self {
            rows: endpoint.rows.clone(),
            explode: endpoint.explode.clone(),
            total: endpoint.total.clone(),
            next: endpoint.next.clone(),
            format: endpoint.format,
            fixed,
        }
    }

    /// Takes a reply apart. An absent or null list has no rows: that is how Genesys answers past
    /// the end.
    ///
    /// # Errors
    /// Only if the reply as a whole cannot be read; a row may still be none.
    pub fn find(&self, body: Bytes) -> Result<RawPage, PageError> {
        if self.format == ResponseFormat::Csv {
            return self.records(&body);
        }
        let mut found = FoundRows::default();
        match &self.rows {
            RowsAt::JsonPointer(rows) => {
                walk(&body, [Some(rows), self.total.as_ref(), self.next.as_ref()], &mut found)?
            }
            RowsAt::OnlyList => {
                walk(&body, [None, self.total.as_ref(), self.next.as_ref()], &mut found)?;
                found.rows = only_list(&body)?;
            }
        }
        let FoundRows { rows, total, next } = found;
        let mut reply = RawPage {
            items: rows.len() as u64,
            total: total.and_then(text).and_then(|total| total.parse().ok()),
            next: next.and_then(text),
            ..RawPage::default()
        };
        if self.explode.is_empty() && self.fixed.is_empty() {
            let start = body.as_ptr() as usize;
            let range = |row: &&RawValue| {
                let from = row.get().as_ptr() as usize - start;
                from..from + row.get().len()
            };
            reply.rows = rows.iter().map(range).collect();
            reply.text = body;
        } else {
            let mut written = RewrittenRow::default();
            rows.iter().try_for_each(|row| self.rewrite(row, &body, &mut written))?;
            (reply.text, reply.rows) = (written.text.into(), written.rows);
        }
        Ok(reply)
    }

    /// Writes the rows of an item anew, with their fixed columns. What is no object stays what it
    /// is: the decoder refuses it with its reason.
    fn rewrite(
        &self,
        item: &RawValue,
        body: &[u8],
        written: &mut RewrittenRow,
    ) -> Result<(), PageError> {
        let fixed = self
            .fixed
            .iter()
            .map(|(column, text)| (column, serde_json::Value::from(text.as_str())));
        let fixed = members(fixed);
        if self.explode.is_empty() || !item.get().starts_with('{') {
            written.row("", item.get(), &fixed);
            return written.fits(body);
        }
        let fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(item.get()).map_err(PageError::Shape)?;
        let listed = |key: &str| self.explode.iter().any(|list| list == key);
        let around = members(fields.iter().filter(|(key, _)| !listed(key)));
        for list in self.explode.iter().filter_map(|list| fields.get(list.as_str())) {
            let elements: Option<Vec<&RawValue>> =
                serde_json::from_str(list.get()).map_err(PageError::Shape)?;
            for element in elements.into_iter().flatten() {
                written.row(&around, element.get(), &fixed);
                written.fits(body)?;
            }
        }
        Ok(())
    }

    /// The records of a CSV file as JSON objects of texts; an empty field is no field.
    fn records(&self, body: &[u8]) -> Result<RawPage, PageError> {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body);
        let header = reader.headers().map_err(PageError::NotCsv)?.clone();
        if header.iter().next().is_some_and(|first| first.trim_start().starts_with(['<', '{', '[']))
        {
            // an error page would pass for a header without records
            return Err(PageError::NotCsv(
                io::Error::other("it begins like a page or an object").into(),
            ));
        }
        let mut written = RewrittenRow::default();
        for record in reader.records() {
            let record = record.map_err(PageError::NotCsv)?;
            let fields = header.iter().zip(&record).filter(|(_, field)| !field.is_empty());
            let fields = fields
                .chain(self.fixed.iter().map(|(column, text)| (column.as_str(), text.as_str())));
            let object: serde_json::Map<_, _> =
                fields.map(|(name, field)| (name.to_owned(), field.into())).collect();
            written.row("", &serde_json::Value::Object(object).to_string(), "");
            written.fits(body)?;
        }
        let (items, is_nothing) = (written.rows.len() as u64, body.is_empty());
        Ok(RawPage {
            text: written.text.into(),
            rows: written.rows,
            items,
            is_nothing,
            ..RawPage::default()
        })
    }
}

/// How many times its size a reply may take once its rows are written out, and the size below which
/// that does not matter: what surrounds a row is repeated in each (G8).
const SWELLS: usize = 16;
const SMALL: usize = 64 * 1024;

/// Rows that were written anew, and where they are in the text.
#[derive(Default)]
struct RewrittenRow {
    text: Vec<u8>,
    rows: Vec<Range<usize>>,
}

impl RewrittenRow {
    /// Refuses to grow out of proportion to the body.
    fn fits(&self, body: &[u8]) -> Result<(), PageError> {
        let most = body.len().max(SMALL) * SWELLS;
        if self.text.len() > most { Err(PageError::TooLarge(most as u64)) } else { Ok(()) }
    }

    /// Writes a row: the fields around it, its own, which win, and the fixed ones, which win over both.
    /// The decoder takes the last of those that have one name.
    fn row(&mut self, around: &str, row: &str, fixed: &str) {
        let from = self.text.len();
        match row.strip_prefix('{').and_then(|row| row.strip_suffix('}')) {
            Some(own) => {
                let fields =
                    [around, own.trim(), fixed].into_iter().filter(|fields| !fields.is_empty());
                self.text.push(b'{');
                for (at, fields) in fields.enumerate() {
                    self.text.extend_from_slice(if at == 0 { b"" } else { b"," });
                    self.text.extend_from_slice(fields.as_bytes());
                }
                self.text.push(b'}');
            }
            None => self.text.extend_from_slice(row.as_bytes()),
        }
        self.rows.push(from..self.text.len());
    }
}

/// The members of a JSON object, without its braces.
fn members(fields: impl Iterator<Item = (impl AsRef<str>, impl fmt::Display)>) -> String {
    let members =
        fields.map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_ref())));
    members.collect::<Vec<_>>().join(",")
}

/// What one walk finds, still as text.
#[derive(Debug, Default)]
struct FoundRows<'de> {
    rows: Vec<&'de RawValue>,
    total: Option<&'de RawValue>,
    next: Option<&'de RawValue>,
}

/// The keys that still lead to the rows, to the total and to what is next; none: not this way.
type RowPaths<'w> = [Option<&'w [String]>; 3];

fn walk<'de>(
    body: &'de [u8],
    places: [Option<&JsonPointer>; 3],
    found: &mut FoundRows<'de>,
) -> Result<(), PageError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let walk = PageWalk { endpoints: places.map(|place| place.map(Vec::as_slice)), found };
    walk.deserialize(&mut json).and_then(|()| json.end()).map_err(classify)
}

fn classify(error: serde_json::Error) -> PageError {
    match error.classify() {
        Category::Data => PageError::Shape(error),
        Category::Syntax | Category::Eof | Category::Io => PageError::NotJson(error),
    }
}

/// What stands for a number, a cursor or a link: a text, a number, or `true` where a reply just says that
/// there is more. Null, false and what is empty stand for none.
fn text(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        serde_json::Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        more @ (serde_json::Value::Number(_) | serde_json::Value::Bool(true)) => {
            Some(more.to_string())
        }
        _ => None,
    }
}

/// The only list of a body: the body itself, or on top of it, or one step below.
fn only_list(body: &[u8]) -> Result<Vec<&RawValue>, PageError> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(classify)?;
    let mut level = vec![(Cow::Borrowed(""), whole)];
    for _ in 0..3 {
        let lists: Vec<_> = level.iter().filter(|(_, raw)| raw.get().starts_with('[')).collect();
        match lists.as_slice() {
            [] => {}
            [(_, list)] => return serde_json::from_str(list.get()).map_err(classify),
            more => {
                let names =
                    more.iter().map(|(name, _)| name.as_ref()).collect::<Vec<_>>().join(", ");
                return Err(PageError::Shape(serde_json::Error::custom(format!(
                    "there are several lists: {names}"
                ))));
            }
        }
        let mut below = Vec::new();
        for (_, raw) in level.iter().filter(|(_, raw)| raw.get().starts_with('{')) {
            let fields: BTreeMap<Cow<'_, str>, &RawValue> =
                serde_json::from_str(raw.get()).map_err(classify)?;
            below.extend(fields);
        }
        level = below;
    }
    Ok(Vec::new())
}

/// A value on the way.
struct PageWalk<'w, 'de> {
    endpoints: RowPaths<'w>,
    found: &'w mut FoundRows<'de>,
}

impl<'de> DeserializeSeed<'de> for PageWalk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        match self.endpoints {
            [None, None, None] => IgnoredAny::deserialize(value).map(drop),
            [Some([]), _, _] => {
                // a key that comes twice must not cost the rows that came first
                let rows: Option<Vec<&'de RawValue>> = Deserialize::deserialize(value)?;
                self.found.rows.extend(rows.unwrap_or_default());
                Ok(())
            }
            [_, Some([]), _] => {
                self.found.total = Some(Deserialize::deserialize(value)?);
                Ok(())
            }
            [_, _, Some([])] => {
                self.found.next = Some(Deserialize::deserialize(value)?);
                Ok(())
            }
            // where rows do not lead, what is no object is not there: some write an empty one as `[]`
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

impl<'de> Visitor<'de> for PageWalk<'_, 'de> {
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
            let endpoints = self.endpoints.map(|endpoint| step(endpoint, &key));
            map.next_value_seed(PageWalk { endpoints, found: &mut *self.found })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
