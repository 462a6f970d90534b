//! The columns of a page while its rows are read.
//!
//! A column may be shorter than the page: the values that it lacks are null, and are appended when
//! a later value comes or the page ends, so a column that no row has costs nothing. A column can be
//! truncated: that is how an undecodable row is taken back, and how the last of several values
//! under one key wins. Whatever a truncation has to remove lies below a column that is too long.

mod fields;
mod key_token;
mod texts;
mod validity;

use std::{mem, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, ListArray,
        MapArray, StructArray, TimestampMicrosecondArray, new_null_array,
    },
    buffer::ScalarBuffer,
    datatypes::{DataType, Field},
    error::ArrowError,
};

use self::validity::Validity;
pub(super) use self::{
    fields::{FieldColumns, Place},
    texts::{Ends, Texts},
};
use crate::decode::form::{Forms, NumberForm, TimeForm};

/// A column of a page, or the elements of all lists in one.
#[derive(Debug)]
pub(in crate::decode) struct Column {
    pub(in crate::decode) values: Values,
    /// Which of them are not null.
    pub(in crate::decode) valid: Validity,
    /// Nulls of the column's type, for pages that have no value of it.
    nulls: Option<ArrayRef>,
}

/// The values of a column, with a default in the place of each null.
#[derive(Debug)]
pub(in crate::decode) enum Values {
    Text(Texts),
    Int64(Vec<i64>),
    Double(Vec<f64>, &'static NumberForm),
    Boolean(BooleanBufferBuilder),
    /// Microseconds since 1970.
    Time(Vec<i64>, Box<TimeForm>),
    List(Ends, Box<Column>),
    Struct(Box<FieldColumns>),
    Map(Ends, Box<Entries>),
}

/// The entries of all maps of a column.
#[derive(Debug)]
pub(in crate::decode) struct Entries {
    pub(in crate::decode) keys: Texts,
    pub(in crate::decode) values: Column,
}

/// The columns of a page hold more than Arrow's 32-bit offsets can address (2 GiB).
#[derive(Debug)]
pub(in crate::decode) struct ColumnFull;

/// The most values that a column leaves room for when a page has been taken from it.
pub(in crate::decode) const MAX_KEPT: usize = 1 << 13;

impl Column {
    /// An empty column for values of this type, which the catalogue can name. `ignored` are paths
    /// to keys inside it whose values are not kept.
    pub(in crate::decode) fn new(
        data_type: &DataType,
        forms: &Forms<'_>,
        ignored: &[&[String]],
    ) -> Self {
        let values = match data_type {
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float64 => Values::Double(Vec::new(), forms.number()),
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Timestamp(..) => Values::Time(Vec::new(), Box::new(forms.time())),
            DataType::List(element) => {
                let element = Self::new(element.data_type(), &forms.element(), ignored);
                Values::List(Ends::default(), Box::new(element))
            }
            DataType::Struct(fields) => {
                Values::Struct(Box::new(FieldColumns::new(fields, &[], ignored, forms)))
            }
            DataType::Map(..) => {
                let values = Self::new(&DataType::Utf8, forms, &[]);
                Values::Map(Ends::default(), Box::new(Entries { keys: Texts::default(), values }))
            }
            _ => Values::Text(Texts::default()),
        };
        Self { values, valid: Validity::default(), nulls: None }
    }

    /// The number of values, nulls at the end not counted.
    #[inline]
    pub(in crate::decode) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether the value of a row is null.
    pub(in crate::decode) fn is_null(&self, row: usize) -> bool {
        row >= self.len() || !self.valid.is_valid(row)
    }

    /// Whether the value of a row is null or an empty text.
    pub(in crate::decode) fn is_empty(&self, row: usize) -> bool {
        self.is_null(row) || matches!(&self.values, Values::Text(texts) if texts.is_empty_at(row))
    }

    /// What a value has to be, for errors.
    pub(in crate::decode) fn expected(&self) -> &'static str {
        match &self.values {
            Values::Text(_) => "a text",
            Values::Int64(_) => "a 64-bit integer",
            Values::Double(_, form) => form.expected,
            Values::Boolean(_) => "true or false",
            Values::Time(_, form) => form.expected,
            Values::List(..) => "a list",
            Values::Struct(_) => "an object",
            Values::Map(..) => "an object of texts",
        }
    }

    /// The time of a row in microseconds since 1970. `None` if it is null or the column has no
    /// times.
    pub(in crate::decode) fn time(&self, row: usize) -> Option<i64> {
        match &self.values {
            Values::Time(times, _) if !self.is_null(row) => times.get(row).copied(),
            _ => None,
        }
    }

    /// Appends nulls until there are `len` values.
    #[inline]
    pub(in crate::decode) fn pad(&mut self, len: usize) {
        if let missing @ 1.. = len.saturating_sub(self.len()) {
            self.append_nulls(missing, len);
        }
    }

    #[inline(never)]
    fn append_nulls(&mut self, missing: usize, len: usize) {
        match &mut self.values {
            Values::Text(texts) => texts.repeat(missing),
            Values::Int64(values) | Values::Time(values, _) => values.resize(len, 0),
            Values::Double(values, _) => values.resize(len, 0.0),
            Values::Boolean(values) => values.append_n(missing, false),
            Values::List(ends, _) | Values::Map(ends, ..) => ends.repeat(missing),
            // its columns are padded when they get a value
            Values::Struct(_) => {}
        }
        self.valid.push_nulls(missing);
    }

    /// Removes the values from the row `len` on.
    pub(in crate::decode) fn truncate(&mut self, len: usize) {
        if self.len() <= len {
            return;
        }
        self.valid.truncate(len);
        match &mut self.values {
            Values::Text(texts) => texts.truncate(len),
            Values::Int64(values) | Values::Time(values, _) => values.truncate(len),
            Values::Double(values, _) => values.truncate(len),
            Values::Boolean(values) => values.truncate(len),
            Values::List(ends, element) => {
                ends.truncate(len);
                element.truncate(ends.last());
            }
            Values::Struct(fields) => fields.truncate(len),
            Values::Map(ends, entries) => {
                ends.truncate(len);
                entries.keys.truncate(ends.last());
                entries.values.truncate(ends.last());
            }
        }
    }

    /// Takes the first `len` values as an array, and leaves the column empty.
    pub(in crate::decode) fn finish(
        &mut self,
        field: &Field,
        len: usize,
    ) -> Result<ArrayRef, ArrowError> {
        if self.len() == 0 {
            return Ok(self.nulls(field.data_type(), len));
        }
        self.pad(len);
        let nulls = self.valid.finish();
        Ok(match (&mut self.values, field.data_type()) {
            (Values::Text(texts), _) => Arc::new(texts.finish(nulls)?),
            (Values::Int64(values), _) => Arc::new(Int64Array::try_new(taken(values), nulls)?),
            (Values::Double(values, _), _) => {
                Arc::new(Float64Array::try_new(taken(values), nulls)?)
            }
            (Values::Boolean(values), _) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            (Values::Time(values, _), DataType::Timestamp(_, zone)) => {
                let times = TimestampMicrosecondArray::try_new(taken(values), nulls)?;
                Arc::new(times.with_timezone_opt(zone.clone()))
            }
            (Values::List(ends, element), DataType::List(field)) => {
                let values = element.finish(field, ends.last())?;
                Arc::new(ListArray::try_new(Arc::clone(field), ends.finish(), values, nulls)?)
            }
            (Values::Struct(columns), DataType::Struct(fields)) => {
                let columns = columns.finish(fields, len)?;
                let array = match columns.is_empty() {
                    true => StructArray::new_empty_fields(len, nulls),
                    false => StructArray::try_new(fields.clone(), columns, nulls)?,
                };
                Arc::new(array)
            }
            (Values::Map(ends, entries), DataType::Map(entry, sorted)) => {
                let Entries { keys, values } = &mut **entries;
                let DataType::Struct(fields) = entry.data_type() else {
                    return Err(mismatch(field));
                };
                let [_, value] = fields.as_ref() else { return Err(mismatch(field)) };
                let values = values.finish(value, ends.last())?;
                let columns = vec![Arc::new(keys.finish(None)?) as ArrayRef, values];
                let entries = StructArray::try_new(fields.clone(), columns, None)?;
                let ends = ends.finish();
                Arc::new(MapArray::try_new(Arc::clone(entry), ends, entries, nulls, *sorted)?)
            }
            _ => return Err(mismatch(field)),
        })
    }
}

impl Column {
    /// So many nulls, which pages share.
    fn nulls(&mut self, data_type: &DataType, len: usize) -> ArrayRef {
        match &self.nulls {
            Some(nulls) if nulls.len() >= len => nulls.slice(0, len),
            _ if len > MAX_KEPT => new_null_array(data_type, len),
            _ => {
                let nulls = new_null_array(data_type, len.next_power_of_two());
                self.nulls.insert(nulls).slice(0, len)
            }
        }
    }
}

fn mismatch(field: &Field) -> ArrowError {
    ArrowError::SchemaError(format!("the column `{}` was made for another type", field.name()))
}

/// The room that the next page is expected to need, if this one had so much: growing costs more
/// than a little too much room.
fn room_after(len: usize) -> usize {
    len + len / 8
}

/// Takes the values, and leaves room for the next ones.
fn taken<T: arrow::datatypes::ArrowNativeType>(values: &mut Vec<T>) -> ScalarBuffer<T> {
    let room = Vec::with_capacity(room_after(values.len()).min(MAX_KEPT));
    mem::replace(values, room).into()
}
