//! Finds the rows, the total and the next cursor of a reply without decoding the rows: one pass
//! over the bytes. Rows are copied only if fields are added to them.

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

/// Finds rows, total and next cursor in the replies of one endpoint.
#[derive(Debug, Clone)]
pub struct PageParser {
    rows: RowsAt,
    explode: Vec<String>,
    total: Option<JsonPointer>,
    next: Option<JsonPointer>,
    format: ResponseFormat,
    /// Columns that are set in every row, with their values.
    fixed: Vec<(String, String)>,
}

/// A parsed reply whose rows are not decoded yet.
#[derive(Debug, Clone, Default)]
pub struct RawPage {
    /// The JSON text that contains the rows.
    text: Bytes,
    rows: Vec<Range<usize>>,
    /// The number of items in the list: rows, or items whose lists are exploded into rows.
    pub items: u64,
    /// The platform's count of the items of all pages. `None` if the reply has no readable one. It
    /// changes while the interval is live.
    pub total: Option<u64>,
    /// The cursor or link of the next page. `None` if there is none.
    pub next: Option<String>,
    /// Whether the reply was 204 (no content) or an empty file.
    pub is_nothing: bool,
}

impl RawPage {
    /// A reply of status 204.
    pub fn nothing() -> Self {
        Self { is_nothing: true, ..Self::default() }
    }

    /// The JSON text that contains the rows.
    pub(super) fn text(&self) -> &Bytes {
        &self.text
    }

    /// The position of each row in the text, and its bytes.
    pub(super) fn ranges(&self) -> impl ExactSizeIterator<Item = (Range<usize>, &[u8])> {
        self.rows.iter().map(|range| (range.clone(), &self.text[range.clone()]))
    }

    /// The JSON of each row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &str> {
        // parsed JSON is UTF-8
        self.rows.iter().map(|row| str::from_utf8(&self.text[row.clone()]).unwrap_or_default())
    }
}

impl PageParser {
    /// A parser for the replies of `endpoint` that sets the `fixed` columns in each row.
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

    /// Parses a reply. An absent or null list has no rows: some platforms answer so past the end.
    ///
    /// # Errors
    /// Only if the reply as a whole cannot be parsed; its rows are not checked.
    pub fn find(&self, body: Bytes) -> Result<RawPage, PageError> {
        if self.format == ResponseFormat::Csv {
            return self.csv_records(&body);
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
            let mut written = RewrittenRows::default();
            for row in &rows {
                self.rewrite(row, &body, &mut written)?;
            }
            (reply.text, reply.rows) = (written.text.into(), written.rows);
        }
        Ok(reply)
    }

    /// Rewrites the rows of an item with the fixed columns. A value that is not an object is kept,
    /// so that the decoder rejects it with a reason.
    fn rewrite(
        &self,
        item: &RawValue,
        body: &[u8],
        written: &mut RewrittenRows,
    ) -> Result<(), PageError> {
        let fixed = self
            .fixed
            .iter()
            .map(|(column, text)| (column, serde_json::Value::from(text.as_str())));
        let fixed = members(fixed);
        if self.explode.is_empty() || !item.get().starts_with('{') {
            written.row("", item.get(), &fixed);
            return written.check_size(body);
        }
        let fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(item.get()).map_err(PageError::Shape)?;
        let is_exploded = |key: &str| self.explode.iter().any(|list| list == key);
        let item_fields = members(fields.iter().filter(|(key, _)| !is_exploded(key)));
        for list in self.explode.iter().filter_map(|list| fields.get(list.as_str())) {
            let elements: Option<Vec<&RawValue>> =
                serde_json::from_str(list.get()).map_err(PageError::Shape)?;
            for element in elements.into_iter().flatten() {
                written.row(&item_fields, element.get(), &fixed);
                written.check_size(body)?;
            }
        }
        Ok(())
    }

    /// The records of a CSV file as JSON objects of strings, without empty fields.
    fn csv_records(&self, body: &[u8]) -> Result<RawPage, PageError> {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body);
        let header = reader.headers().map_err(PageError::NotCsv)?.clone();
        if header.iter().next().is_some_and(|first| first.trim_start().starts_with(['<', '{', '[']))
        {
            // otherwise an error page would look like a header without records
            return Err(PageError::NotCsv(io::Error::other("it begins like HTML or JSON").into()));
        }
        let mut written = RewrittenRows::default();
        for record in reader.records() {
            let record = record.map_err(PageError::NotCsv)?;
            let fields = header.iter().zip(&record).filter(|(_, field)| !field.is_empty());
            let fields = fields
                .chain(self.fixed.iter().map(|(column, text)| (column.as_str(), text.as_str())));
            let object: serde_json::Map<_, _> =
                fields.map(|(name, field)| (name.to_owned(), field.into())).collect();
            written.row("", &serde_json::Value::Object(object).to_string(), "");
            written.check_size(body)?;
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

/// The largest size of rewritten rows as a multiple of the body, since the fields of an item are
/// repeated in each of its rows (G8).
const MAX_GROWTH: usize = 16;
/// Smaller bodies count as this many bytes.
const MIN_BODY: usize = 64 * 1024;

/// Rows that were rewritten, and their positions in the text.
#[derive(Default)]
struct RewrittenRows {
    text: Vec<u8>,
    rows: Vec<Range<usize>>,
}

impl RewrittenRows {
    /// Fails if the rows have become too large for the body.
    fn check_size(&self, body: &[u8]) -> Result<(), PageError> {
        let max = body.len().max(MIN_BODY) * MAX_GROWTH;
        if self.text.len() > max { Err(PageError::TooLarge(max as u64)) } else { Ok(()) }
    }

    /// Appends a row: the fields of its item, its own fields, which override them, and the fixed
    /// columns, which override both. The decoder uses the last of several fields with one name.
    fn row(&mut self, item_fields: &str, row: &str, fixed: &str) {
        let from = self.text.len();
        match row.strip_prefix('{').and_then(|row| row.strip_suffix('}')) {
            Some(own) => {
                let fields = [item_fields, own.trim(), fixed]
                    .into_iter()
                    .filter(|fields| !fields.is_empty());
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

/// What one walk over a reply finds, as raw JSON.
#[derive(Debug, Default)]
struct FoundRows<'de> {
    rows: Vec<&'de RawValue>,
    total: Option<&'de RawValue>,
    next: Option<&'de RawValue>,
}

/// The remaining keys on the paths to the rows, the total and the next cursor. `None` if the path
/// does not lead through the current value.
type RemainingPaths<'w> = [Option<&'w [String]>; 3];

fn walk<'de>(
    body: &'de [u8],
    pointers: [Option<&JsonPointer>; 3],
    found: &mut FoundRows<'de>,
) -> Result<(), PageError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let walk = PageWalk { paths: pointers.map(|pointer| pointer.map(Vec::as_slice)), found };
    walk.deserialize(&mut json).and_then(|()| json.end()).map_err(classify)
}

fn classify(error: serde_json::Error) -> PageError {
    match error.classify() {
        Category::Data => PageError::Shape(error),
        Category::Syntax | Category::Eof | Category::Io => PageError::NotJson(error),
    }
}

/// The text of a total, a cursor or a link: a string, a number, or `true` if a reply only says that
/// there is more. `None` for null, false and empty values.
fn text(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        serde_json::Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        more @ (serde_json::Value::Number(_) | serde_json::Value::Bool(true)) => {
            Some(more.to_string())
        }
        _ => None,
    }
}

/// The only list of a body: the body itself, a field of it, or a field one level deeper.
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

/// Visits one value of a reply.
struct PageWalk<'w, 'de> {
    paths: RemainingPaths<'w>,
    found: &'w mut FoundRows<'de>,
}

impl<'de> DeserializeSeed<'de> for PageWalk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        match self.paths {
            [None, None, None] => IgnoredAny::deserialize(value).map(drop),
            [Some([]), _, _] => {
                // a repeated key must not lose the rows of its first occurrence
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

impl<'de> Visitor<'de> for PageWalk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object on the path to the rows")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        fn step<'w>(path: Option<&'w [String]>, key: &str) -> Option<&'w [String]> {
            path?.split_first().filter(|(first, _)| *first == key).map(|(_, rest)| rest)
        }
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let paths = self.paths.map(|path| step(path, &key));
            map.next_value_seed(PageWalk { paths, found: &mut *self.found })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
