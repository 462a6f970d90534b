//! Page bytes to Arrow: which rows a page holds, which of them the shard owns, which are no rows.
//!
//! Pure functions of the bytes, without I/O, for any thread. A page is decoded as a whole, at the
//! speed of `arrow-json`; if a row spoils it, halving finds the row, and it costs itself alone.

mod exact;
mod find;

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::{concat_batches, filter_record_batch},
    datatypes::{Int64Type, Schema, SchemaRef, TimestampMillisecondType},
    error::ArrowError,
    json::ReaderBuilder,
};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use self::find::{Found, find};
use crate::{catalog::Dataset, interval::Interval};

/// Decodes the pages of one dataset. Cheap to clone, and used from many threads at once.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// What the batches have.
    schema: SchemaRef,
    /// What `arrow-json` is given: see [`exact`].
    wire: SchemaRef,
    rows: Arc<[String]>,
    total: Option<Arc<[String]>>,
    /// The places of the id and time columns in both schemas.
    id: usize,
    time: usize,
}

/// The rows of one page by their fates (G5): `received` is the sum of the batch's rows, `not_owned`
/// and the number of `bad`.
#[derive(Debug)]
pub struct Page {
    /// The rows that the shard owns, in the order received, with the dataset's schema.
    pub batch: RecordBatch,
    /// One for each row of the batch, in its order.
    pub keys: Vec<RowKey>,
    /// Rows in the page.
    pub received: u64,
    /// Rows that were decoded and whose time lies outside the owner's interval (G4): dropped.
    pub not_owned: u64,
    /// Rows that cannot be decoded, in the order received. They count as bad whoever owns them,
    /// since the time of such a row is not known; so two shards may report the same one.
    pub bad: Vec<BadRow>,
    /// The platform's own count of the interval's rows, where it gives one that can be read. A
    /// hint: it moves while the interval is live.
    pub total: Option<u64>,
}

/// What tells rows and copies of rows apart, without keeping them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// XXH3-128 of the id's text (of an int64, its decimal digits). By the birthday bound, a
    /// billion rows collide with a probability of about 10⁻²¹.
    pub id: u128,
    /// The row's time, in milliseconds since 1970: the partition it belongs to.
    pub time_ms: i64,
    /// XXH3-64 of the row's JSON as it was sent: whether two copies of an id differ.
    pub digest: u64,
}

/// A row for quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Why it is no row of the dataset: the field and a value, cut at [`REASON_CHARS`] characters.
    /// It quotes the data: it belongs into the quarantine file, not into a log.
    pub reason: String,
    /// Its JSON as it was sent.
    pub raw: String,
}

/// The length at which the reason of a [`BadRow`] is cut: `arrow-json` quotes a whole value.
pub const REASON_CHARS: usize = 300;

/// How deep a row may nest. `arrow-json` recurses over a value that it quotes in an error, so the
/// depth is bounded before it sees the row: far above any row's, far below what a stack holds.
const DEPTH: usize = 1024;

/// Why a body is not a page. No row of it was decoded.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Not JSON: cut off, or a proxy's HTML. The source knows the line and column.
    #[error("the page is not json: {0}")]
    NotJson(#[source] serde_json::Error),
    /// JSON in which something else stands where the rows should be.
    #[error("the rows of the page are not where the catalogue says: {0}")]
    Shape(#[source] serde_json::Error),
    /// More text in a column than a batch can hold (2 GiB).
    #[error("the page does not fit into columns: {0}")]
    Columns(#[source] ArrowError),
}

impl Decoder {
    /// A decoder for the pages of `dataset`.
    pub fn new(dataset: &Dataset) -> Self {
        let schema = dataset.schema.clone();
        let place = |text: &str| text.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect();
        // the catalogue has checked that both columns are there
        let column = |name: &str| schema.index_of(name).unwrap_or_default();
        Self {
            wire: Arc::new(Schema::new(schema.fields().iter().map(exact::wire_field).collect::<Vec<_>>())),
            rows: place(&dataset.rows),
            total: dataset.total.as_deref().map(place),
            id: column(&dataset.id),
            time: column(&dataset.time),
            schema,
        }
    }

    /// Decodes a page for the shard that owns the rows in `owner`.
    ///
    /// A page whose rows' key is absent or null has no rows: that is how Genesys answers past the
    /// end. Fields that the dataset does not know are ignored.
    ///
    /// # Errors
    /// Only if the page as a whole cannot be read; what is wrong with a row is told in the [`Page`].
    pub fn decode(&self, body: &[u8], owner: Interval) -> Result<Page, PageError> {
        let Found { rows, total } = find(body, &self.rows, self.total.as_deref())?;
        let mut decoded = Decoded::default();
        self.decode_rows(&rows, &mut decoded);
        let batch = match decoded.batches.as_slice() {
            [batch] => batch.clone(),
            batches => concat_batches(&self.schema, batches).map_err(PageError::Columns)?,
        };

        let times = batch.column(self.time).as_primitive::<TimestampMillisecondType>().values().clone();
        let owned: BooleanBuffer = times.iter().map(|&ms| owner.contains(ms)).collect();
        let ids = batch.column(self.id);
        let key = |row: usize| RowKey {
            id: xxh3_128(id_text(ids, row).as_bytes()),
            time_ms: times[row],
            digest: xxh3_64(decoded.good[row].get().as_bytes()),
        };
        let keys: Vec<_> = owned.set_indices().map(key).collect();
        let not_owned = batch.num_rows() - keys.len();
        let batch = match not_owned {
            0 => batch,
            _ => filter_record_batch(&batch, &BooleanArray::new(owned, None)).map_err(PageError::Columns)?,
        };
        debug_assert_eq!(rows.len(), batch.num_rows() + not_owned + decoded.bad.len(), "G5");
        Ok(Page {
            batch,
            keys,
            received: rows.len() as u64,
            not_owned: not_owned as u64,
            bad: decoded.bad,
            total: total.and_then(|raw| raw.get().trim_matches('"').parse().ok()),
        })
    }

    /// Decodes rows together, and by halves if they cannot be: a bad row is found in as many steps
    /// as the logarithm of the page.
    fn decode_rows<'p>(&self, rows: &[&'p RawValue], decoded: &mut Decoded<'p>) {
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
                decoded.bad.push(BadRow { reason, raw: row.get().to_owned() });
            }
            (_, Err(_)) => {
                let (left, right) = rows.split_at(rows.len() / 2);
                self.decode_rows(left, decoded);
                self.decode_rows(right, decoded);
            }
        }
    }

    /// All of the rows as one batch, or what is wrong with one of them.
    fn batch(&self, rows: &[&RawValue]) -> Result<RecordBatch, String> {
        rows.iter().try_for_each(|row| check(row.get()))?;
        let wire = self.read(rows).map_err(|error| match error {
            ArrowError::JsonError(reason) => reason,
            other => other.to_string(),
        })?;
        for column in [self.id, self.time] {
            if wire.column(column).null_count() > 0 {
                return Err(format!("a row without `{}`", self.schema.field(column).name()));
            }
        }
        let fields = self.schema.fields().iter().zip(wire.columns());
        let columns = fields.map(|(field, column)| exact::exact_field(field, column)).collect::<Result<Vec<_>, _>>()?;
        let ids = &columns[self.id];
        if (0..ids.len()).any(|row| id_text(ids, row).is_empty()) {
            return Err(format!("a row with an empty `{}`", self.schema.field(self.id).name()));
        }
        RecordBatch::try_new(self.schema.clone(), columns).map_err(|error| error.to_string())
    }

    fn read(&self, rows: &[&RawValue]) -> Result<RecordBatch, ArrowError> {
        let reader = ReaderBuilder::new(self.wire.clone()).with_batch_size(rows.len()).with_coerce_primitive(true);
        let mut reader = reader.build_decoder()?;
        for row in rows {
            reader.decode(row.get().as_bytes())?;
        }
        Ok(reader.flush()?.unwrap_or_else(|| RecordBatch::new_empty(self.wire.clone())))
    }
}

/// What has become of the rows so far.
#[derive(Default)]
struct Decoded<'p> {
    batches: Vec<RecordBatch>,
    /// The text of each row of the batches, in their order.
    good: Vec<&'p RawValue>,
    bad: Vec<BadRow>,
}

/// The text of an id; both types that the catalogue admits have one.
pub(crate) fn id_text(ids: &ArrayRef, row: usize) -> Cow<'_, str> {
    match ids.as_string_opt::<i32>() {
        Some(texts) => texts.value(row).into(),
        None => ids.as_primitive::<Int64Type>().value(row).to_string().into(),
    }
}

/// Whether a row may be given to `arrow-json`.
fn check(row: &str) -> Result<(), String> {
    if !row.starts_with('{') {
        return Err("a row that is not an object".to_owned());
    }
    // that few braces cannot nest deeper; only a large row needs the closer look
    let opens = row.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opens > DEPTH && depth(row) > DEPTH { Err(format!("a row that nests deeper than {DEPTH}")) } else { Ok(()) }
}

/// How deep a JSON text nests.
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
