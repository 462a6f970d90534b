//! The id of a row as a text: what is hashed to tell rows apart.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, PrimitiveArray, RecordBatch},
    datatypes::{DataType, Int64Type, TimestampMillisecondType},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Between the columns of an id: a character that no text of the APIs holds.
const SEPARATOR: char = '\u{1f}';

/// The ids of a batch.
pub(crate) enum RowKeyColumns<'a> {
    /// Of one column of strings or int64s, never null.
    One(&'a ArrayRef),
    /// Of several columns of any type.
    Several(Vec<KeyColumn<'a>>),
}

/// One of several columns of an id.
pub(crate) enum KeyColumn<'a> {
    /// Times as milliseconds: arrow writes none in `UTC` without a whole time zone database.
    Time(&'a PrimitiveArray<TimestampMillisecondType>),
    /// Anything else as arrow writes it; a null is nothing.
    Text(ArrayFormatter<'a>),
    /// A map, whose entries have no order that a server must keep.
    Map(&'a MapArray),
}

impl<'a> RowKeyColumns<'a> {
    /// The ids that stand in these columns.
    ///
    /// # Errors
    /// Where a column has a type that has no text.
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

    /// Whether a row has no id.
    pub(crate) fn is_empty(&self, row: usize) -> bool {
        self.text(row).chars().all(|one| one == SEPARATOR)
    }
}

impl<'a> KeyColumn<'a> {
    fn new(column: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match (column.as_primitive_opt(), column.as_map_opt()) {
            (Some(times), _) => Self::Time(times),
            (_, Some(map)) => Self::Map(map),
            _ => Self::Text(ArrayFormatter::try_new(column, &FormatOptions::new())?),
        })
    }

    /// Its text in a row: empty where it is null.
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
