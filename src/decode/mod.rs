//! Page bytes to Arrow: which rows a page holds, which of them the shard owns, which are no rows.
//!
//! Pure functions of the bytes, without I/O, for any thread, in two steps: [`PageParser`] takes a reply
//! apart, so that the next one can be asked for, and [`Decoder`] makes columns of its rows. They are
//! decoded together, at the speed of `arrow-json`; if a row spoils that, halving finds the row, and
//! it costs itself alone.

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
pub(crate) use self::{page_parser::RawPage, row_key::RowKeyColumns};
use crate::{
    catalog::{Dataset, WireForm},
    time::interval::Interval,
};

/// Decodes the rows of one dataset. Cheap to clone, and used from many threads at once.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// What the batches have.
    schema: SchemaRef,
    /// What `arrow-json` is given: see [`exact`]. The aliases stand behind the columns.
    wire: SchemaRef,
    /// The column that each alias is another name of.
    aliases: Vec<usize>,
    /// How the values of some columns are written.
    forms: Vec<Option<WireForm>>,
    /// The places of the id, time and newest columns in both schemas.
    id: Vec<usize>,
    time: usize,
    newest: Option<usize>,
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
    pub bad: Vec<UndecodableRow>,
}

/// What tells rows and copies of rows apart, without keeping them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// XXH3-128 of the id's text: see [`RowKeyColumns`]. By the birthday bound, a billion rows collide with a
    /// probability of about 10⁻²¹.
    pub id: u128,
    /// The time of the row's `newest` column, in milliseconds since 1970: of two copies that with the
    /// earlier one is the older. [`i64::MIN`] where there is none: the later to come is the newer.
    pub version: i64,
    /// The row's time, in milliseconds since 1970: the partition it belongs to.
    pub time_ms: i64,
    /// XXH3-64 of the row's JSON as it was sent: whether two copies of an id differ.
    pub digest: u64,
}

/// A row for quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecodableRow {
    /// Why it is no row of the dataset: the field and a value, cut at [`REASON_CHARS`] characters.
    /// It quotes the data: it belongs into the quarantine file, not into a log.
    pub reason: String,
    /// Its JSON as it was sent.
    pub raw: String,
}

/// The length at which the reason of a [`UndecodableRow`] is cut: `arrow-json` quotes a whole value.
pub(crate) const REASON_CHARS: usize = 300;

/// How deep a row may nest. `arrow-json` recurses over a value that it quotes in an error, so the
/// depth is bounded before it sees the row: far above any row's, far below what a stack holds.
const DEPTH: usize = 1024;

/// Why a body is not a page. No row of it was decoded.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Not JSON: cut off, or a proxy's HTML. The source knows the line and column.
    #[error("the page is not json: {0}")]
    NotJson(#[source] serde_json::Error),
    /// Not CSV.
    #[error("the result is not csv: {0}")]
    NotCsv(#[source] csv::Error),
    /// Its rows, written out, would take more bytes than this.
    #[error("the rows of the page take more than {0} bytes, many times its size")]
    TooLarge(u64),
    /// JSON in which something else stands where the rows should be.
    #[error("the rows of the page are not where the catalogue says: {0}")]
    Shape(#[source] serde_json::Error),
    /// More text in a column than a batch can hold (2 GiB).
    #[error("the page does not fit into columns: {0}")]
    Columns(#[source] ArrowError),
}

impl Decoder {
    /// A decoder for the rows of `dataset`.
    pub fn new(dataset: &Dataset) -> Self {
        let schema = dataset.schema.clone();
        // the catalogue has checked that these columns are there
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

    /// Decodes the rows of a reply for the shard that owns those in `owner`. What is wrong with a row
    /// is told in the [`Page`]. Fields that the dataset does not know are ignored.
    ///
    /// # Errors
    /// [`PageError::Columns`] alone.
    pub fn decode(&self, reply: &RawPage, owner: Interval) -> Result<Page, PageError> {
        let rows: Vec<&str> = reply.rows().collect();
        let mut decoded = Decoded::default();
        self.decode_rows(&rows, &mut decoded);
        let batch = match decoded.batches.as_slice() {
            [batch] => batch.clone(),
            batches => concat_batches(&self.schema, batches).map_err(PageError::Columns)?,
        };
        let at = times(&batch, self.time);
        let owned: BooleanBuffer = at.values().iter().map(|&ms| owner.contains(ms)).collect();
        let ids = RowKeyColumns::new(&batch, &self.id).map_err(PageError::Columns)?;
        let newest = self.newest.map(|newest| times(&batch, newest));
        let key = |row: usize| RowKey {
            id: xxh3_128(ids.text(row).as_bytes()),
            version: newest
                .filter(|newest| newest.is_valid(row))
                .map_or(i64::MIN, |newest| newest.value(row)),
            time_ms: at.value(row),
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
            bad: decoded.bad,
        })
    }

    /// The ids of the rows of a reply.
    ///
    /// # Errors
    /// Why a row has none.
    pub fn ids(&self, reply: &RawPage, owner: Interval) -> Result<Vec<String>, String> {
        let page = self.decode(reply, owner).map_err(|error| error.to_string())?;
        if let Some(bad) = page.bad.first() {
            return Err(bad.reason.clone());
        }
        let ids = RowKeyColumns::new(&page.batch, &self.id).map_err(|error| error.to_string())?;
        Ok((0..page.batch.num_rows()).map(|row| ids.text(row).into_owned()).collect())
    }

    /// Decodes rows together, and by halves if they cannot be: a bad row is found in as many steps
    /// as the logarithm of the page.
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

    /// All of the rows as one batch, or what is wrong with one of them.
    fn batch(&self, rows: &[&str]) -> Result<RecordBatch, String> {
        rows.iter().try_for_each(|row| check(row))?;
        let wire = self.read(rows).map_err(|error| match error {
            ArrowError::JsonError(reason) => reason,
            other => other.to_string(),
        })?;
        let mut columns = wire.columns().to_vec();
        let other_names = columns.split_off(self.schema.fields().len());
        for (&column, other) in self.aliases.iter().zip(&other_names) {
            let has =
                is_not_null(&columns[column]).and_then(|has| zip(&has, &columns[column], other));
            columns[column] = has.map_err(|error| error.to_string())?;
        }
        let never_null =
            |column: &usize| *column == self.time || self.id.len() == 1 && self.id[0] == *column;
        if let Some(column) =
            (0..columns.len()).filter(never_null).find(|&column| columns[column].null_count() > 0)
        {
            return Err(format!("a row without `{}`", self.schema.field(column).name()));
        }
        let fields = self.schema.fields().iter().zip(&columns).zip(&self.forms);
        let columns = fields.map(|((field, column), form)| match form {
            Some(form) => wire_types::formed(field, column, *form),
            None => wire_types::exact_field(field, column),
        });
        let batch = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?);
        let batch = batch.map_err(|error| error.to_string())?;
        let without = |ids: RowKeyColumns| (0..batch.num_rows()).any(|row| ids.is_empty(row));
        if RowKeyColumns::new(&batch, &self.id).map(without).map_err(|error| error.to_string())? {
            let names = self
                .id
                .iter()
                .map(|&id| self.schema.field(id).name().as_str())
                .collect::<Vec<_>>()
                .join(", ");
            return Err(format!("a row with an empty `{names}`"));
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

/// What has become of the rows so far.
#[derive(Default)]
struct Decoded<'p> {
    batches: Vec<RecordBatch>,
    /// The text of each row of the batches, in their order.
    good: Vec<&'p str>,
    bad: Vec<UndecodableRow>,
}

/// Whether a row may be given to `arrow-json`.
fn check(row: &str) -> Result<(), String> {
    if !row.starts_with('{') {
        return Err("a row that is not an object".to_owned());
    }
    // that few braces cannot nest deeper; only a large row needs the closer look
    let opens = row.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opens > DEPTH && depth(row) > DEPTH {
        Err(format!("a row that nests deeper than {DEPTH}"))
    } else {
        Ok(())
    }
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
