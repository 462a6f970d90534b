//! Decodes page bytes into Arrow record batches of the rows that a shard owns.
//!
//! Two steps, both pure functions that any thread may call: [`PageParser`] finds rows, total and
//! next cursor in a reply, so that the next page can be requested, and [`Decoder`] reads the rows
//! into columns in one pass. A row that cannot be decoded is taken back from the columns and kept
//! as it came (G5), so the cost of a page is linear in its bytes, whatever is in them. Start
//! reading at [`Decoder::decode`]; `row_reader` reads a row, `columns` hold what was read, `scalar`
//! its forms.

mod byte_search;
mod columns;
mod committed_rows;
mod drift;
mod extra;
mod form;
mod instant;
mod json;
mod page;
mod page_error;
pub(crate) mod page_parser;
pub(crate) mod row_key;
mod row_reader;
mod row_times;
mod scalar;
mod undecodable;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{Array, AsArray, PrimitiveArray, RecordBatch, RecordBatchOptions},
    datatypes::{FieldRef, Schema, SchemaRef, TimestampMicrosecondType},
    error::ArrowError,
};
use jiff::tz::TimeZone;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use self::{
    columns::{ColumnFull, FieldColumns},
    extra::Extra,
    form::Forms,
    page_parser::{Rows, next_row, row_start},
    row_reader::{RowError, RowErrorKind, read_row},
};
pub(crate) use self::{
    committed_rows::CommittedRows,
    page::LeftOutRow,
    page_error::PageError,
    page_parser::{MAX_KEYS, RawPage},
    row_key::{RowKeyColumns, id_hash, row_ids},
    row_times::{millisecond, times_of},
    undecodable::{DayHint, UndecodableRow, UndecodableRows},
};
pub use self::{
    drift::{Drift, DriftKind, DriftedField, JsonType},
    page::Page,
    page_parser::PageParser,
};
use crate::{
    catalog::{Dataset, WireForm, type_places::names_in_pattern},
    privacy::Policy,
    time::interval::Interval,
};

/// Decodes the rows of one dataset. Cheap to clone, and shared between threads.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// The schema of the batches.
    schema: SchemaRef,
    /// Other keys of columns, each with the index of its column.
    aliases: Vec<(String, usize)>,
    /// The forms of values that have one; see [`Dataset::forms`].
    forms: BTreeMap<String, WireForm>,
    /// The zone of times that name none.
    zone: TimeZone,
    /// The keys of the columns of id and time, each with the index of its column.
    required: Vec<(String, usize)>,
    /// The indices of the id columns in the schema, and below those of time and newest.
    id: Vec<usize>,
    time: usize,
    newest: Option<usize>,
    /// The index of the column of the end of rows, if they have one.
    end: Option<usize>,
    /// The paths of the fields that are ignored.
    ignored: Vec<Vec<String>>,
    /// Whether fields without a column are only counted.
    drops_new_fields: bool,
    /// What is hidden of the rows. `None` if nothing is.
    policy: Option<Arc<Policy>>,
    /// Columns of earlier pages, whose memory the next pages use.
    builders: Arc<Mutex<Vec<PageBuilder>>>,
}

/// What the rows of a page are read into.
#[derive(Debug)]
struct PageBuilder {
    columns: FieldColumns,
    extra: Extra,
    /// Memory for texts with escapes.
    tape: Vec<u8>,
}

/// The times that rows of a contact centre may have: 1990 to 2100, in milliseconds since 1970. A
/// time outside is a sign of a wrong unit, for example of seconds that were read as milliseconds.
const PLAUSIBLE_MS: std::ops::Range<i64> = 631_152_000_000..4_102_444_800_000;

/// The longest value that a reason quotes, in characters.
const QUOTED_CHARS: usize = 120;

/// Identifies a row and a copy of it by hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// XXH3-128 of the text of the id, see [`RowKeyColumns`]. A billion rows collide with a
    /// probability of about 10⁻²¹ (birthday bound).
    pub id: u128,
    /// The time of the row's `newest` column in microseconds since 1970: of two copies the one with
    /// the later time wins. [`i64::MIN`] if there is none: then the copy received last wins.
    pub version: i64,
    /// The row's time in milliseconds since 1970, rounded down, which decides its partition.
    pub time_ms: i64,
    /// XXH3-64 of the row's JSON as received: tells whether two copies of an id differ.
    pub digest: u64,
}

impl Decoder {
    /// A decoder for the rows of `dataset`.
    pub fn new(dataset: &Dataset) -> Self {
        let schema = dataset.schema.clone();
        // the catalogue has checked that these columns exist
        let column = |name: &String| schema.index_of(name).unwrap_or_default();
        let aliases: Vec<_> =
            dataset.aliases.iter().map(|(alias, name)| (alias.clone(), column(name))).collect();
        let columns = dataset.id.iter().chain([&dataset.time]);
        let mut required: Vec<_> = columns.map(|name| (name.clone(), column(name))).collect();
        let is_required =
            |(_, column): &&(String, usize)| required.iter().any(|(_, one)| one == column);
        let other_keys: Vec<_> = aliases.iter().filter(is_required).cloned().collect();
        required.extend(other_keys);
        Self {
            aliases,
            required,
            forms: dataset.forms.clone(),
            zone: dataset.zone.clone(),
            ignored: dataset.ignore.iter().filter_map(|path| names_in_pattern(path)).collect(),
            drops_new_fields: false,
            policy: None,
            id: dataset.id.iter().map(column).collect(),
            time: column(&dataset.time),
            newest: dataset.newest.as_ref().map(column),
            end: dataset.open.as_ref().map(column),
            builders: Arc::default(),
            schema,
        }
    }

    /// The same decoder, which only counts the fields that have no column, and does not keep them.
    #[must_use]
    pub fn dropping_new_fields(self) -> Self {
        Self { drops_new_fields: true, builders: Arc::default(), ..self }
    }

    /// The same decoder, which hides of the rows what the policy says.
    #[must_use]
    pub(crate) fn hiding(self, policy: Arc<Policy>) -> Self {
        Self { policy: Some(policy), builders: Arc::default(), ..self }
    }

    /// What is hidden of the rows. `None` if nothing is.
    pub(crate) fn policy(&self) -> Option<&Arc<Policy>> {
        self.policy.as_ref()
    }

    /// Decodes the rows of a reply for the shard with the interval `owner`. Undecodable rows are
    /// returned in the [`Page`]. A value that does not fit its column, and a field that has none,
    /// is kept in the last column; null there means nothing, as in the others.
    ///
    /// # Errors
    /// Only [`PageError::Columns`].
    pub fn decode(&self, reply: &RawPage, owner: Interval) -> Result<Page, PageError> {
        let mut builder = self.take_builder();
        let mut bad = UndecodableRows::new(reply.given_columns());
        let (mut digests, mut left_out) = (Vec::new(), Vec::new());
        let (mut received, mut implausible_times) = (0, 0);
        let (page, rows) = (reply.text(), &reply.rows);
        let mut end = rows.start();
        for index in 0..rows.len() {
            received += 1;
            let row = digests.len();
            let range = match rows {
                Rows::List { .. } => row_start(page, end)..page.len(),
                Rows::Ranges(ranges) => ranges.get(index),
            };
            let is_alone = matches!(rows, Rows::Ranges(_));
            let PageBuilder { columns, extra, tape } = &mut builder;
            let read = read_row(&page[range.clone()], is_alone, row, columns, extra, tape);
            let read = read.and_then(|len| {
                end = range.start + len;
                let text = &page[range.start..end];
                Ok((self.row_time(&builder, row, text)?, text))
            });
            match read.map_err(RowError::kind) {
                Ok((time, text)) => {
                    implausible_times += u64::from(!PLAUSIBLE_MS.contains(&time));
                    if owner.contains(time) {
                        builder.extra.keep_row(row, text).map_err(too_large)?;
                        digests.push(xxh3_64(text));
                    } else {
                        left_out.push(self.left_out_row(&builder, row, time, text));
                        builder.drop_row(row);
                    }
                }
                Err(RowErrorKind::Undecodable(reason)) => {
                    let own_time = builder.columns.column(self.time).time(row).map(millisecond);
                    let day = DayHint::new(own_time.filter(|&time| owner.contains(time)), row);
                    builder.drop_row(row);
                    let range = if is_alone { range } else { next_row(page, range.start) };
                    end = range.end;
                    bad.push(page, range, &reason, day, !is_alone);
                }
                Err(RowErrorKind::ColumnFull) => return Err(too_large(ColumnFull)),
            }
        }
        let finished = builder.finish(&self.schema, digests.len());
        self.keep_builder(builder);
        let (batch, drift) = finished.map_err(PageError::Columns)?;
        let not_owned = left_out.len() as u64;
        debug_assert_eq!(received, batch.num_rows() as u64 + not_owned + bad.len() as u64, "G5");
        let keys = self.keys(&batch, &digests).map_err(PageError::Columns)?;
        let batch = match &self.policy {
            Some(policy) => {
                bad.hide(policy.key());
                policy.apply(&batch).map_err(PageError::Columns)?
            }
            None => batch,
        };
        Ok(Page { batch, keys, received, not_owned, left_out, implausible_times, bad, drift })
    }

    /// The ids of the rows of a reply.
    ///
    /// # Errors
    /// The reason why a row cannot be decoded.
    pub fn ids(&self, reply: &RawPage, owner: Interval) -> Result<Vec<String>, String> {
        let page = self.decode(reply, owner).map_err(|error| error.to_string())?;
        if let Some(bad) = page.bad.iter().next() {
            return Err(bad.reason.to_owned());
        }
        let ids = RowKeyColumns::new(&page.batch, &self.id).map_err(|error| error.to_string())?;
        Ok((0..page.batch.num_rows()).map(|row| ids.text(row).into_owned()).collect())
    }

    /// The time of a row that was read, in milliseconds since 1970, rounded down.
    ///
    /// # Errors
    /// If it lacks its time or its id, or has a value there that does not fit.
    fn row_time(&self, builder: &PageBuilder, row: usize, text: &[u8]) -> Result<i64, RowError> {
        let PageBuilder { columns, extra, .. } = builder;
        let name = |column: usize| self.schema.field(column).name().as_str();
        let error = |reason: String| Err(RowError::undecodable(reason));
        for (key, column) in &self.required {
            if let Some(value) = extra.misfit(key) {
                let expected = columns.column(*column).expected();
                let quoted = match self.policy {
                    Some(_) => String::new(),
                    None => format!(": {}", quoted_value(&text[value])),
                };
                return error(format!("`{key}` is not {expected}{quoted}"));
            }
        }
        if let [id] = self.id[..]
            && columns.column(id).is_null(row)
        {
            return error(format!("the row has no `{}`", name(id)));
        }
        let Some(time) = columns.column(self.time).time(row) else {
            return error(format!("the row has no `{}`", name(self.time)));
        };
        if self.id.iter().all(|&id| columns.column(id).is_empty(row)) {
            let names: Vec<_> = self.id.iter().map(|&id| name(id)).collect();
            return error(format!("the row has an empty `{}`", names.join(", ")));
        }
        Ok(millisecond(time))
    }

    /// What is kept of a row that the shard does not own. `time_ms` is its time.
    fn left_out_row(
        &self,
        builder: &PageBuilder,
        row: usize,
        time_ms: i64,
        text: &[u8],
    ) -> LeftOutRow {
        let end = self.end.map(|end| builder.columns.column(end));
        let end_ms = match end {
            Some(end) if end.is_null(row) => i64::MAX,
            Some(end) => end.time(row).map_or(time_ms, millisecond),
            None => time_ms,
        };
        LeftOutRow { time_ms, end_ms, digest: xxh3_64(text) }
    }

    /// The keys of the rows of a batch, whose JSON has these digests.
    fn keys(&self, batch: &RecordBatch, digests: &[u64]) -> Result<Vec<RowKey>, ArrowError> {
        let ids = RowKeyColumns::new(batch, &self.id)?;
        let row_times = times(batch, self.time);
        let newest = self.newest.map(|newest| times(batch, newest));
        let key = |(row, &digest): (usize, &u64)| RowKey {
            id: xxh3_128(ids.text(row).as_bytes()),
            version: newest
                .filter(|newest| newest.is_valid(row))
                .map_or(i64::MIN, |newest| newest.value(row)),
            time_ms: millisecond(row_times.value(row)),
            digest,
        };
        Ok(digests.iter().enumerate().map(key).collect())
    }

    /// Columns without rows: those of an earlier page if there are any.
    fn take_builder(&self) -> PageBuilder {
        let kept = self.builders.lock().ok().and_then(|mut builders| builders.pop());
        kept.unwrap_or_else(|| {
            let forms = Forms::new(&self.forms, &self.zone);
            let (extra, fields) = split_extra(&self.schema);
            let ignored: Vec<_> = self.ignored.iter().map(Vec::as_slice).collect();
            PageBuilder {
                columns: FieldColumns::new(&fields.into(), &self.aliases, &ignored, &forms),
                extra: Extra::new(extra, self.drops_new_fields),
                tape: Vec::new(),
            }
        })
    }

    /// Keeps columns for the next page.
    fn keep_builder(&self, builder: PageBuilder) {
        if let Ok(mut builders) = self.builders.lock() {
            builders.push(builder);
        }
    }
}

impl PageBuilder {
    /// Removes what was read of a row.
    fn drop_row(&mut self, row: usize) {
        self.columns.truncate(row);
        self.extra.drop_row();
    }

    /// Takes the first `rows` rows as a batch, and what their columns do not have.
    fn finish(
        &mut self,
        schema: &SchemaRef,
        rows: usize,
    ) -> Result<(RecordBatch, Drift), ArrowError> {
        let (extra_field, fields) = split_extra(schema);
        let columns = self.columns.finish(&fields.into(), rows);
        let (extra, drift) = self.extra.finish(extra_field, rows)?;
        let mut columns = columns?;
        columns.push(extra);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        Ok((batch, drift))
    }
}

/// The column of what fits no other, and the other columns.
fn split_extra(schema: &Schema) -> (&FieldRef, &[FieldRef]) {
    let fields = schema.fields();
    fields.split_last().expect("every dataset has a column of what fits no other")
}

/// The error of a page that does not fit into columns.
fn too_large(_: ColumnFull) -> PageError {
    PageError::Columns(ArrowError::OffsetOverflowError(i32::MAX as usize))
}

/// A value as an error quotes it.
fn quoted_value(json: &[u8]) -> String {
    let value = String::from_utf8_lossy(json);
    let mut quoted: String = value.chars().take(QUOTED_CHARS).collect();
    if quoted.len() < value.len() {
        quoted.push('…');
    }
    quoted
}

fn times(batch: &RecordBatch, column: usize) -> &PrimitiveArray<TimestampMicrosecondType> {
    batch.column(column).as_primitive()
}

#[cfg(test)]
mod tests;
