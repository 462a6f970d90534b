//! Decodes page bytes into Arrow record batches of the rows that a shard owns.
//!
//! Two steps, both pure functions that any thread may call: [`PageParser`] finds rows, total and
//! next cursor in a reply, so that the next page can be requested, and [`Decoder`] converts the
//! rows to columns. The rows of a page are decoded together at the speed of `arrow-json`; if that
//! fails, bisection finds the undecodable rows, and all others are kept (G5). Start reading at
//! [`Decoder::decode`].

mod committed_rows;
pub(crate) mod page_parser;
pub(crate) mod row_key;
pub(crate) mod wire_types;

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, BooleanArray, PrimitiveArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::{concat_batches, filter_record_batch, is_not_null, kernels::zip::zip},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimestampMillisecondType},
    error::ArrowError,
    json::ReaderBuilder,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

pub use self::page_parser::PageParser;
pub(crate) use self::{
    committed_rows::CommittedRows, page_parser::RawPage, row_key::RowKeyColumns,
};
use crate::{
    catalog::{Dataset, WireForm},
    time::interval::Interval,
};

/// Decodes the rows of one dataset. Cheap to clone, and shared between threads.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// The schema of the batches.
    schema: SchemaRef,
    /// The schema that `arrow-json` reads, see [`wire_types`]: the columns, then their aliases.
    wire: SchemaRef,
    /// For each alias the index of its column.
    aliases: Vec<usize>,
    /// For each column the form of its values in JSON, if it is not the usual one.
    forms: Vec<Option<WireForm>>,
    /// The indices of the id columns in both schemas, and below those of time and newest.
    id: Vec<usize>,
    time: usize,
    newest: Option<usize>,
}

/// The rows of one page by outcome (G5): `received` is the sum of the rows of the batch,
/// `not_owned` and the number of `bad` rows.
#[derive(Debug)]
pub struct Page {
    /// The rows that the shard owns, in the order received, with the dataset's schema.
    pub batch: RecordBatch,
    /// The key of each row of the batch, in its order.
    pub keys: Vec<RowKey>,
    /// The number of rows in the page.
    pub received: u64,
    /// Rows that were decoded but dropped, since their time is outside the shard's interval (G4).
    pub not_owned: u64,
    /// Rows that were decoded and whose time is not plausible, owned or not: see [`PLAUSIBLE_MS`].
    pub implausible_times: u64,
    /// Rows that cannot be decoded, in the order received. The time of such a row is not known, so
    /// two shards may report the same one.
    pub bad: Vec<UndecodableRow>,
}

/// The times that rows of a contact centre may have: 1990 to 2100, in milliseconds since 1970. A
/// time outside is a sign of a wrong unit, for example of seconds that were read as milliseconds.
const PLAUSIBLE_MS: std::ops::Range<i64> = 631_152_000_000..4_102_444_800_000;

/// Identifies a row and a copy of it by hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// XXH3-128 of the text of the id, see [`RowKeyColumns`]. A billion rows collide with a
    /// probability of about 10⁻²¹ (birthday bound).
    pub id: u128,
    /// The time of the row's `newest` column in milliseconds since 1970: of two copies the one with
    /// the later time wins. [`i64::MIN`] if there is none: then the copy received last wins.
    pub version: i64,
    /// The row's time in milliseconds since 1970, which decides its partition.
    pub time_ms: i64,
    /// XXH3-64 of the row's JSON as received: tells whether two copies of an id differ.
    pub digest: u64,
}

/// A row that cannot be decoded and goes to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecodableRow {
    /// Why it cannot be decoded: the field and its value, truncated to [`REASON_CHARS`] characters.
    /// It quotes data, so it belongs in the quarantine file and not in a log.
    pub reason: String,
    /// Its JSON as received.
    pub raw: String,
}

/// The longest reason of an [`UndecodableRow`]: `arrow-json` quotes whole values.
pub(crate) const REASON_CHARS: usize = 300;

/// The deepest nesting of a row (G8). `arrow-json` recurses over a value that it quotes in an
/// error, so the depth is checked first. The limit is far above that of real rows and far below
/// what the stack holds.
const MAX_DEPTH: usize = 1024;

/// Why a body is not a page. None of its rows were decoded.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Not JSON, for example truncated, or the HTML page of a proxy.
    #[error("the page is not valid JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// Not CSV, for example HTML or not UTF-8.
    #[error("the result is not valid CSV: {0}")]
    NotCsv(#[source] csv::Error),
    /// The rewritten rows would take more bytes than this (G8).
    #[error("the rows of the page take more than {0} bytes, many times the size of the page")]
    TooLarge(u64),
    /// JSON without a list at the place of the rows.
    #[error("the rows of the page are not where the catalogue says: {0}")]
    Shape(#[source] serde_json::Error),
    /// A column would hold more text than a batch can (2 GiB).
    #[error("the page does not fit into columns: {0}")]
    Columns(#[source] ArrowError),
}

impl Decoder {
    /// A decoder for the rows of `dataset`.
    pub fn new(dataset: &Dataset) -> Self {
        let schema = dataset.schema.clone();
        // the catalogue has checked that these columns exist
        let column = |name: &String| schema.index_of(name).unwrap_or_default();
        let form = |field: &FieldRef| dataset.forms.get(field.name()).copied();
        let wire_field = |field: &FieldRef| match form(field) {
            Some(_) => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            None => wire_types::wire_field(field),
        };
        let alias = |(alias, name): &(String, String)| {
            Arc::new(Field::clone(&wire_field(&schema.fields()[column(name)])).with_name(alias))
        };
        let wire = schema.fields().iter().map(wire_field).chain(dataset.aliases.iter().map(alias));
        Self {
            wire: Arc::new(Schema::new(wire.collect::<Vec<_>>())),
            aliases: dataset.aliases.iter().map(|(_, name)| column(name)).collect(),
            forms: schema.fields().iter().map(form).collect(),
            id: dataset.id.iter().map(column).collect(),
            time: column(&dataset.time),
            newest: dataset.newest.as_ref().map(column),
            schema,
        }
    }

    /// Decodes the rows of a reply for the shard with the interval `owner`. Undecodable rows are
    /// returned in the [`Page`]. Unknown fields are ignored.
    ///
    /// # Errors
    /// Only [`PageError::Columns`].
    pub fn decode(&self, reply: &RawPage, owner: Interval) -> Result<Page, PageError> {
        let rows: Vec<&str> = reply.rows().collect();
        let mut decoded = Decoded::default();
        self.decode_rows(&rows, &mut decoded);
        let batch = match decoded.batches.as_slice() {
            [batch] => batch.clone(),
            batches => concat_batches(&self.schema, batches).map_err(PageError::Columns)?,
        };
        let row_times = times(&batch, self.time);
        let owned: BooleanBuffer =
            row_times.values().iter().map(|&ms| owner.contains(ms)).collect();
        let is_implausible = |ms: &&i64| !PLAUSIBLE_MS.contains(ms);
        let implausible_times = row_times.values().iter().filter(is_implausible).count();
        let ids = RowKeyColumns::new(&batch, &self.id).map_err(PageError::Columns)?;
        let newest = self.newest.map(|newest| times(&batch, newest));
        let key = |row: usize| RowKey {
            id: xxh3_128(ids.text(row).as_bytes()),
            version: newest
                .filter(|newest| newest.is_valid(row))
                .map_or(i64::MIN, |newest| newest.value(row)),
            time_ms: row_times.value(row),
            digest: xxh3_64(decoded.good[row].as_bytes()),
        };
        let keys: Vec<_> = owned.set_indices().map(key).collect();
        let not_owned = batch.num_rows() - keys.len();
        let batch = match not_owned {
            0 => batch.clone(),
            _ => filter_record_batch(&batch, &BooleanArray::new(owned, None))
                .map_err(PageError::Columns)?,
        };
        debug_assert_eq!(rows.len(), batch.num_rows() + not_owned + decoded.bad.len(), "G5");
        Ok(Page {
            batch,
            keys,
            received: rows.len() as u64,
            not_owned: not_owned as u64,
            implausible_times: implausible_times as u64,
            bad: decoded.bad,
        })
    }

    /// The ids of the rows of a reply.
    ///
    /// # Errors
    /// The reason why a row cannot be decoded.
    pub fn ids(&self, reply: &RawPage, owner: Interval) -> Result<Vec<String>, String> {
        let page = self.decode(reply, owner).map_err(|error| error.to_string())?;
        if let Some(bad) = page.bad.first() {
            return Err(bad.reason.clone());
        }
        let ids = RowKeyColumns::new(&page.batch, &self.id).map_err(|error| error.to_string())?;
        Ok((0..page.batch.num_rows()).map(|row| ids.text(row).into_owned()).collect())
    }

    /// Decodes rows together, and each half separately if that fails, down to single rows.
    fn decode_rows<'p>(&self, rows: &[&'p str], decoded: &mut Decoded<'p>) {
        if rows.is_empty() {
            return;
        }
        match (rows, self.batch(rows)) {
            (_, Ok(batch)) => {
                decoded.batches.push(batch);
                decoded.good.extend(rows);
            }
            ([row], Err(reason)) => {
                let reason = reason.chars().take(REASON_CHARS).collect();
                decoded.bad.push(UndecodableRow { reason, raw: (*row).to_owned() });
            }
            (_, Err(_)) => {
                let (left, right) = rows.split_at(rows.len() / 2);
                self.decode_rows(left, decoded);
                self.decode_rows(right, decoded);
            }
        }
    }

    /// Decodes all rows as one batch.
    ///
    /// # Errors
    /// The reason why one of them cannot be decoded.
    fn batch(&self, rows: &[&str]) -> Result<RecordBatch, String> {
        for row in rows {
            check(row)?;
        }
        let wire = self.read(rows).map_err(|error| match error {
            ArrowError::JsonError(reason) => reason,
            other => other.to_string(),
        })?;
        let mut columns = wire.columns().to_vec();
        let alias_columns = columns.split_off(self.schema.fields().len());
        for (&column, alias) in self.aliases.iter().zip(&alias_columns) {
            let merged = is_not_null(&columns[column])
                .and_then(|present| zip(&present, &columns[column], alias));
            columns[column] = merged.map_err(|error| error.to_string())?;
        }
        let is_required =
            |column: &usize| *column == self.time || self.id.len() == 1 && self.id[0] == *column;
        if let Some(column) =
            (0..columns.len()).filter(is_required).find(|&column| columns[column].null_count() > 0)
        {
            return Err(format!("the row has no `{}`", self.schema.field(column).name()));
        }
        let fields = self.schema.fields().iter().zip(&columns).zip(&self.forms);
        let columns = fields.map(|((field, column), form)| match form {
            Some(form) => wire_types::formed(field, column, *form),
            None => wire_types::exact_field(field, column),
        });
        let batch = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?);
        let batch = batch.map_err(|error| error.to_string())?;
        let has_empty_id = |ids: RowKeyColumns| (0..batch.num_rows()).any(|row| ids.is_empty(row));
        let ids = RowKeyColumns::new(&batch, &self.id);
        if ids.map(has_empty_id).map_err(|error| error.to_string())? {
            let names = self
                .id
                .iter()
                .map(|&id| self.schema.field(id).name().as_str())
                .collect::<Vec<_>>()
                .join(", ");
            return Err(format!("the row has an empty `{names}`"));
        }
        Ok(batch)
    }

    fn read(&self, rows: &[&str]) -> Result<RecordBatch, ArrowError> {
        let reader = ReaderBuilder::new(self.wire.clone())
            .with_batch_size(rows.len())
            .with_coerce_primitive(true);
        let mut reader = reader.build_decoder()?;
        for row in rows {
            reader.decode(row.as_bytes())?;
        }
        Ok(reader.flush()?.unwrap_or_else(|| RecordBatch::new_empty(self.wire.clone())))
    }
}

fn times(batch: &RecordBatch, column: usize) -> &PrimitiveArray<TimestampMillisecondType> {
    batch.column(column).as_primitive()
}

/// The rows decoded so far.
#[derive(Default)]
struct Decoded<'p> {
    batches: Vec<RecordBatch>,
    /// The JSON of each row of the batches, in their order.
    good: Vec<&'p str>,
    bad: Vec<UndecodableRow>,
}

/// Checks whether a row may be passed to `arrow-json`.
fn check(row: &str) -> Result<(), String> {
    if !row.starts_with('{') {
        return Err("the row is not an object".to_owned());
    }
    // a row with few brackets cannot nest deeper: only a large row needs the exact depth
    let opens = row.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opens > MAX_DEPTH && depth(row) > MAX_DEPTH {
        Err(format!("the row nests deeper than {MAX_DEPTH} levels"))
    } else {
        Ok(())
    }
}

/// The nesting depth of a JSON text.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string) = (0usize, 0, false);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => drop(bytes.next()),
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
