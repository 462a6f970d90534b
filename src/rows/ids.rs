//! The id of a row as a text: what is hashed to tell rows apart.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch},
    datatypes::{DataType, Int64Type, TimestampMillisecondType},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Between the columns of an id: a character that no text of the APIs holds.
const SEPARATOR: char = '\u{1f}';

/// The ids of a batch.
pub enum Ids<'a> {
    /// Of one column of strings or int64s, never null.
    One(&'a ArrayRef),
    /// Of several columns of any type.
    Several(Vec<Column<'a>>),
}

/// One of several columns of an id.
pub enum Column<'a> {
    /// Times as milliseconds: arrow writes none in `UTC` without a whole time zone database.
    Time(&'a PrimitiveArray<TimestampMillisecondType>),
    /// Anything else as arrow writes it; a null is nothing.
    Other(ArrayFormatter<'a>),
}

impl<'a> Ids<'a> {
    /// The ids that stand in these columns.
    ///
    /// # Errors
    /// Where a column has a type that has no text.
    pub fn new(batch: &'a RecordBatch, columns: &[usize]) -> Result<Self, ArrowError> {
        match columns {
            [one] => Ok(Self::One(batch.column(*one))),
            more => {
                let columns = more.iter().map(|&column| Column::new(batch.column(column)));
                Ok(Self::Several(columns.collect::<Result<_, _>>()?))
            }
        }
    }

    /// The text of a row's id.
    pub fn text(&self, row: usize) -> Cow<'_, str> {
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

    /// Whether a row has no id.
    pub fn is_empty(&self, row: usize) -> bool {
        self.text(row).chars().all(|one| one == SEPARATOR)
    }
}

impl<'a> Column<'a> {
    fn new(values: &'a ArrayRef) -> Result<Self, ArrowError> {
        match values.as_primitive_opt() {
            Some(times) => Ok(Self::Time(times)),
            None => Ok(Self::Other(ArrayFormatter::try_new(values.as_ref(), &FormatOptions::new())?)),
        }
    }

    fn text(&self, row: usize) -> String {
        match self {
            Self::Time(times) if times.is_null(row) => String::new(),
            Self::Time(times) => times.value(row).to_string(),
            Self::Other(values) => values.value(row).to_string(),
        }
    }
}
