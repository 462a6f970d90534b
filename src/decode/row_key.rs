//! The id of a row as text, which is hashed to identify the row.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, RecordBatch},
    datatypes::{DataType, Int64Type},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use xxhash_rust::xxh3::xxh3_128;

use crate::catalog::Dataset;
use crate::decode::row_times::{Times, times_of};

/// Separates the columns of an id: a character that does not occur in the APIs' texts.
const SEPARATOR: char = '\u{1f}';

/// The hash of the id of each row of a batch, which may lack other columns.
///
/// # Errors
/// If the batch lacks an id column.
pub(crate) fn row_ids(dataset: &Dataset, batch: &RecordBatch) -> Result<Vec<u128>, ArrowError> {
    let column = |name: &String| batch.schema_ref().index_of(name);
    let columns = dataset.id.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let ids = RowKeyColumns::new(batch, &columns)?;
    Ok((0..batch.num_rows()).map(|row| id_hash(&ids.text(row))).collect())
}

/// The hash of an id's text.
pub(crate) fn id_hash(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// The id columns of a batch.
pub(crate) enum RowKeyColumns<'a> {
    /// One column of strings or int64s without nulls.
    One(&'a ArrayRef),
    /// Several columns of any type.
    Several(Vec<KeyColumn<'a>>),
}

/// One of several id columns.
pub(crate) enum KeyColumn<'a> {
    /// Times, written as microseconds: arrow cannot format `UTC` without a time zone database.
    Time(Times),
    /// Any other type, formatted by arrow; a null is empty.
    Text(ArrayFormatter<'a>),
    /// A map, written sorted, since the order of its entries has no meaning.
    Map(&'a MapArray),
}

impl<'a> RowKeyColumns<'a> {
    /// The ids in these columns.
    ///
    /// # Errors
    /// If arrow cannot format the type of a column.
    pub(crate) fn new(batch: &'a RecordBatch, columns: &[usize]) -> Result<Self, ArrowError> {
        match columns {
            [one] => Ok(Self::One(batch.column(*one))),
            more => {
                let part = |&column: &usize| KeyColumn::new(batch.column(column).as_ref());
                Ok(Self::Several(more.iter().map(part).collect::<Result<_, _>>()?))
            }
        }
    }

    /// The text of a row's id.
    pub(crate) fn text(&self, row: usize) -> Cow<'_, str> {
        match self {
            Self::One(ids) if *ids.data_type() == DataType::Int64 => {
                ids.as_primitive::<Int64Type>().value(row).to_string().into()
            }
            Self::One(ids) => ids.as_string::<i32>().value(row).into(),
            Self::Several(columns) => {
                let texts = columns.iter().map(|column| column.text(row));
                texts.collect::<Vec<_>>().join(&SEPARATOR.to_string()).into()
            }
        }
    }
}

impl<'a> KeyColumn<'a> {
    fn new(column: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match (times_of(column), column.as_map_opt()) {
            (Some(times), _) => Self::Time(times),
            (_, Some(map)) => Self::Map(map),
            _ => Self::Text(ArrayFormatter::try_new(column, &FormatOptions::new())?),
        })
    }

    /// The text of a row, empty if it is null.
    fn text(&self, row: usize) -> String {
        match self {
            Self::Time(times) if times.is_null(row) => String::new(),
            Self::Time(times) => times.value(row).to_string(),
            Self::Text(column) => column.value(row).to_string(),
            Self::Map(map) if map.is_null(row) => String::new(),
            Self::Map(map) => {
                let entries = map.value(row);
                let [keys, values] = [0, 1].map(|at| entries.column(at).as_string::<i32>());
                let mut pairs: Vec<_> = keys.iter().zip(values).collect();
                pairs.sort_unstable();
                format!("{pairs:?}")
            }
        }
    }
}
