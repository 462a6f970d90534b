//! The id of a row as a text: what is hashed to tell rows apart.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Int64Type},
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
    Several(Vec<ArrayFormatter<'a>>),
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
                let formatter =
                    |&column: &usize| ArrayFormatter::try_new(batch.column(column).as_ref(), &FormatOptions::new());
                Ok(Self::Several(more.iter().map(formatter).collect::<Result<_, _>>()?))
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
                let texts = columns.iter().map(|column| column.value(row).to_string());
                texts.collect::<Vec<_>>().join(&SEPARATOR.to_string()).into()
            }
        }
    }

    /// Whether a row has no id.
    pub fn is_empty(&self, row: usize) -> bool {
        self.text(row).chars().all(|one| one == SEPARATOR)
    }
}
