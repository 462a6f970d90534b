//! Finds the rows, the total and the next cursor of a reply without decoding the rows: one pass
//! over the bytes. Rows are copied only if fields are added to them.

mod broken_page;
mod csv_records;
mod rewritten_rows;
mod row_ranges;
mod row_splitter;
mod walk;

use std::{borrow::Cow, collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

pub(crate) use self::walk::MAX_KEYS;
use self::{
    rewritten_rows::{RewrittenRows, fixed_members, members},
    walk::{Found, find_only_list, pointer_text, walk},
};
pub(super) use self::{
    row_ranges::Rows,
    row_splitter::{next_row, row_start},
};
use crate::{
    catalog::{Dataset, Endpoint, JsonPointer, ResponseFormat, RowsAt},
    decode::PageError,
    system::memory::HeldMemory,
};

/// The most names that an error quotes, and the most characters of each.
const QUOTED_NAMES: usize = 12;
const QUOTED_NAME: usize = 60;

/// Finds rows, total and next cursor in the replies of one endpoint.
#[derive(Debug, Clone)]
pub struct PageParser {
    rows: RowsAt,
    explode: Vec<String>,
    total: Option<JsonPointer>,
    next: Option<JsonPointer>,
    pages: Option<JsonPointer>,
    format: ResponseFormat,
    /// The columns that a CSV file must have, each by its name and its aliases.
    required: Vec<Vec<String>>,
    /// Columns that are set in every row, with their values.
    fixed: Arc<[(String, String)]>,
    /// Whether errors quote no value of a reply.
    hides_values: bool,
}

/// A parsed reply whose rows are not decoded yet.
#[derive(Debug, Clone, Default)]
pub struct RawPage {
    /// The JSON text that contains the rows.
    text: Bytes,
    pub(super) rows: Rows,
    /// The number of items in the list: rows, or items whose lists are exploded into rows.
    pub items: u64,
    /// The platform's count of the items of all pages. `None` if the reply has no readable one. It
    /// changes while the interval is live.
    pub total: Option<u64>,
    /// The cursor or link of the next page. `None` if there is none.
    pub next: Option<String>,
    /// Whether the reply has the key of the next cursor or link, null or not.
    pub has_next_key: bool,
    /// The platform's count of all pages. `None` if the reply has no readable one.
    pub pages: Option<u64>,
    /// Whether the reply was 204 (no content) or an empty file.
    pub is_nothing: bool,
    /// Whether the reply has a list of rows, or null in its place.
    pub has_list: bool,
    /// The pointers of the keys on the way to the list, at most [`MAX_KEYS`].
    pub keys: Vec<String>,
    /// A hash of the rows: two pages with the same rows have the same.
    pub digest: u64,
    /// Columns that were set in every row, with their values.
    given_columns: Arc<[(String, String)]>,
    /// Counts the text against the limit of replies. `None` if it is not counted.
    pub(crate) held: Option<Arc<HeldMemory>>,
}

impl RawPage {
    /// A reply of status 204.
    pub fn nothing() -> Self {
        Self { is_nothing: true, has_list: true, ..Self::default() }
    }

    /// The JSON text that contains the rows.
    pub(super) fn text(&self) -> &Bytes {
        &self.text
    }

    /// The columns that were set in every row, with their values.
    pub(super) fn given_columns(&self) -> &Arc<[(String, String)]> {
        &self.given_columns
    }

    /// The position of each row in the text, and its bytes.
    pub(super) fn ranges(&self) -> impl ExactSizeIterator<Item = (Range<usize>, &[u8])> {
        self.rows.iter(&self.text).map(|range| (range.clone(), &self.text[range]))
    }

    /// A hash of the rows.
    fn rows_digest(&self) -> u64 {
        let ranges = match &self.rows {
            Rows::List { list, .. } => return xxh3_64(&self.text[list.clone()]),
            Rows::Ranges(ranges) => ranges,
        };
        let mut digest = Xxh3Default::new();
        for row in 0..ranges.len() {
            digest.update(&self.text[ranges.get(row)]);
            digest.update(b",");
        }
        digest.digest()
    }

    /// The length of the text that contains the rows.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The JSON of each row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ranges().map(|(_, row)| str::from_utf8(row).unwrap_or_default())
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
            pages: endpoint.pages.clone(),
            format: endpoint.format,
            required: Vec::new(),
            fixed: fixed.into(),
            hides_values: false,
        }
    }

    /// The same parser; `hides_values` says whether its errors quote no value of a reply.
    #[must_use]
    pub(crate) fn hiding_values(self, hides_values: bool) -> Self {
        Self { hides_values, ..self }
    }

    /// The same parser, which refuses a CSV file without the columns that identify the rows of
    /// `dataset` and tell their time.
    pub(crate) fn requiring_key_of(mut self, dataset: &Dataset) -> Self {
        let key = dataset.id.iter().chain([&dataset.time]);
        let is_fixed = |name: &String| self.fixed.iter().any(|(column, _)| column == name);
        let names = |name: &String| {
            let aliases = dataset.aliases.iter().filter(|(_, column)| column == name);
            [name].into_iter().chain(aliases.map(|(alias, _)| alias)).cloned().collect()
        };
        self.required = key.filter(|name| !is_fixed(name)).map(names).collect();
        self
    }

    /// Says that a page has no list of rows, and what it has instead.
    pub(crate) fn missing_list(&self, page: &RawPage) -> String {
        let place = match &self.rows {
            RowsAt::JsonPointer(pointer) => format!(" at `{}`", pointer_text(pointer)),
            RowsAt::OnlyList => String::new(),
        };
        let instead = match page.keys.as_slice() {
            [] => "is an empty object".to_owned(),
            keys => format!("has only {}", quoted(keys.iter())),
        };
        format!("there is no list of rows{place}: the response {instead}")
    }

    /// Parses a reply that is valid JSON.
    ///
    /// # Errors
    /// If the reply as a whole cannot be parsed, or has something else in the place of the list.
    fn find_valid(&self, body: Bytes) -> Result<RawPage, PageError> {
        let mut found = Found::new(&body);
        let [total, next, pages] =
            [&self.total, &self.next, &self.pages].map(|pointer| pointer.as_deref());
        match &self.rows {
            RowsAt::JsonPointer(rows) => walk(&body, [Some(rows), total, next, pages], &mut found)?,
            RowsAt::OnlyList => {
                walk(&body, [None, total, next, pages], &mut found)?;
                find_only_list(&body, &mut found)?;
            }
        }
        let page = RawPage {
            total: found.total.and_then(count),
            next: found.next.and_then(text),
            has_next_key: found.next.is_some(),
            pages: found.pages.and_then(count),
            has_list: found.has_list,
            keys: found.keys,
            ..RawPage::default()
        };
        let rows = Rows::Ranges(found.rows);
        self.with_rows(page, body, rows)
    }

    /// The page with these rows of its body, rewritten if need be.
    fn with_rows(&self, mut page: RawPage, body: Bytes, rows: Rows) -> Result<RawPage, PageError> {
        page.items = rows.len() as u64;
        page.given_columns = Arc::clone(&self.fixed);
        if self.explode.is_empty() && self.fixed.is_empty() {
            (page.text, page.rows) = (body, rows);
        } else {
            let fixed = fixed_members(&self.fixed);
            let mut written = RewrittenRows::default();
            for row in rows.iter(&body) {
                self.rewrite(&body[row], &fixed, &body, &mut written)?;
            }
            (page.text, page.rows) = (written.text.into(), Rows::Ranges(written.rows));
        }
        page.digest = page.rows_digest();
        Ok(page)
    }

    /// Rewrites the rows of an item with the fixed columns. An item that is not an object, or not
    /// JSON, is kept as it came, so that the decoder rejects it with a reason.
    fn rewrite(
        &self,
        item: &[u8],
        fixed: &str,
        body: &[u8],
        written: &mut RewrittenRows,
    ) -> Result<(), PageError> {
        let Ok(text) = str::from_utf8(item) else { return written.unchanged(item) };
        if self.explode.is_empty() || !text.starts_with('{') {
            written.row("", text, fixed)?;
            return written.check_size(body);
        }
        let Ok(fields) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text) else {
            return written.unchanged(item);
        };
        let is_exploded = |key: &str| self.explode.iter().any(|list| list == key);
        let item_fields = members(fields.iter().filter(|(key, _)| !is_exploded(key)));
        for list in self.explode.iter().filter_map(|list| fields.get(list.as_str())) {
            let elements: Option<Vec<&RawValue>> =
                serde_json::from_str(list.get()).map_err(PageError::Shape)?;
            for element in elements.into_iter().flatten() {
                written.row(&item_fields, element.get(), fixed)?;
                written.check_size(body)?;
            }
        }
        Ok(())
    }
}

/// The text of a cursor or a link: a string, a number, or `true` if a reply only says that there is
/// more. `None` for null, false and blank values.
fn text(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
        more @ (Value::Number(_) | Value::Bool(true)) => Some(more.to_string()),
        _ => None,
    }
}

/// A count of items or pages: a whole number, also as a text or written like `12.0`. `None` if it
/// is something else.
fn count(raw: &RawValue) -> Option<u64> {
    let text = match serde_json::from_str(raw.get()).ok()? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let whole = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|zero| zero == b'0'));
    whole.map_or(text.as_str(), |(whole, _)| whole).parse().ok()
}

/// Names in backquotes, in a line that a terminal can show.
fn quoted<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let name = |name: &String| -> String { name.escape_debug().take(QUOTED_NAME).collect() };
    names.take(QUOTED_NAMES).map(|text| format!("`{}`", name(text))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
