//! Puts nested rows together from the rows of their tables.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListArray, MapArray, RecordBatch, StructArray},
    buffer::{BooleanBuffer, NullBuffer, OffsetBuffer},
    datatypes::{DataType, FieldRef, Fields, Int64Type},
    error::ArrowError,
};

use crate::{
    catalog::{Dataset, ListStep, Member, Source, Table},
    tables::other_columns,
};

/// Rows of a table.
pub(super) struct TableRows {
    pub batch: RecordBatch,
    /// For each row the index of the row of the dataset that it belongs to.
    pub root_of: Vec<usize>,
}

/// Collects the rows of tables that belong to a batch of nested rows.
pub(super) struct Assembly<'d> {
    dataset: &'d Dataset,
    levels: Vec<Level>,
}

/// The rows of a table.
struct Level {
    table: Arc<Table>,
    batch: RecordBatch,
    /// Where the rows of each row of the outer table begin, and where the last ends.
    offsets: Vec<usize>,
}

impl<'d> Assembly<'d> {
    /// Begins with the rows of the table that has one for each row of the dataset.
    pub(super) fn new(dataset: &'d Dataset, table: &Arc<Table>, roots: RecordBatch) -> Self {
        let root = Level { table: Arc::clone(table), batch: roots, offsets: Vec::new() };
        Self { dataset, levels: vec![root] }
    }

    /// Adds the rows of a table. The tables of the lists that contain its list come first.
    ///
    /// # Errors
    /// If rows are missing or not in order, or if the rows that contain them are missing.
    pub(super) fn add(&mut self, table: &Arc<Table>, rows: TableRows) -> Result<(), ArrowError> {
        if rows.root_of.is_empty() {
            return Ok(());
        }
        let depth = table.rows.len();
        let numbers = |number: usize| -> Result<Int64Array, ArrowError> {
            let column = rows.batch.columns().get(table.key_columns + number);
            let numbers = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
            numbers.cloned().ok_or_else(other_columns)
        };
        let mut outer = rows.root_of;
        for number in 1..depth {
            let (numbers, level) = (numbers(number - 1)?, self.level(&table.rows[..number]));
            let offsets = &level.ok_or_else(|| misplaced(table))?.offsets;
            for (row, outer) in outer.iter_mut().enumerate() {
                let range = offsets[*outer]..offsets[*outer + 1];
                let inner = position(&numbers, row).map(|position| range.start + position);
                let inner = inner.filter(|inner| range.contains(inner));
                *outer = inner.ok_or_else(|| misplaced(table))?;
            }
        }
        let parents = self.level(&table.rows[..depth - 1]).ok_or_else(|| misplaced(table))?;
        let (numbers, count) = (numbers(depth - 1)?, parents.batch.num_rows());
        let mut offsets = vec![0];
        for (row, &outer) in outer.iter().enumerate() {
            offsets.resize(outer + 1, row);
            let is_next =
                position(&numbers, row).is_some_and(|number| offsets[outer] + number == row);
            if offsets.len() != outer + 1 || !is_next {
                return Err(misplaced(table));
            }
        }
        offsets.resize(count + 1, outer.len());
        self.levels.push(Level { table: Arc::clone(table), batch: rows.batch, offsets });
        Ok(())
    }

    /// The nested rows.
    ///
    /// # Errors
    /// If a table has other columns than its dataset demands.
    pub(super) fn nested(&self) -> Result<RecordBatch, ArrowError> {
        let fields = self.dataset.schema.fields();
        let columns = self.columns(&self.levels[0], fields, &[])?;
        RecordBatch::try_new(Arc::clone(&self.dataset.schema), columns)
    }

    fn level(&self, rows: &[ListStep]) -> Option<&Level> {
        self.levels.iter().find(|level| level.table.rows == rows)
    }

    /// The nested columns `fields` of the rows of a table, in the object that `members` lead to.
    fn columns(
        &self,
        level: &Level,
        fields: &Fields,
        members: &[Member],
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let column = |(index, field): (usize, &FieldRef)| {
            let member = Member { name: field.name().clone(), index };
            self.column(level, field, &[members, &[member]].concat())
        };
        fields.iter().enumerate().map(column).collect()
    }

    fn column(
        &self,
        level: &Level,
        field: &FieldRef,
        members: &[Member],
    ) -> Result<ArrayRef, ArrowError> {
        match field.data_type() {
            DataType::Struct(fields) => {
                let columns = self.columns(level, fields, members)?;
                let has_any = |row| columns.iter().any(|column| column.is_valid(row));
                let is_valid = BooleanBuffer::collect_bool(level.batch.num_rows(), has_any);
                let nulls = Some(NullBuffer::new(is_valid));
                Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?))
            }
            DataType::List(element) | DataType::Map(element, _) => {
                let step = ListStep { members: members.to_vec(), filter: None };
                let rows = [level.table.rows.as_slice(), &[step]].concat();
                let is_table = self.dataset.tables.iter().any(|table| table.rows == rows);
                if is_table { self.list(level, field, element, &rows) } else { own(level, members) }
            }
            _ => own(level, members),
        }
    }

    /// A list, or a map, whose elements are the rows of a table.
    fn list(
        &self,
        outer: &Level,
        field: &FieldRef,
        element: &FieldRef,
        rows: &[ListStep],
    ) -> Result<ArrayRef, ArrowError> {
        let Some(level) = self.level(rows) else {
            return Ok(arrow::array::new_null_array(field.data_type(), outer.batch.num_rows()));
        };
        let DataType::Struct(fields) = element.data_type() else { return Err(other_columns()) };
        let columns = self.columns(level, fields, &[])?;
        let elements = StructArray::try_new(fields.clone(), columns, None)?;
        let lengths = level.offsets.windows(2).map(|pair| pair[1] - pair[0]);
        let nulls = Some(NullBuffer::from_iter(lengths.clone().map(|length| length > 0)));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let element = Arc::clone(element);
        Ok(match field.data_type() {
            DataType::Map(_, is_sorted) => {
                Arc::new(MapArray::try_new(element, offsets, elements, nulls, *is_sorted)?)
            }
            _ => Arc::new(ListArray::try_new(element, offsets, Arc::new(elements), nulls)?),
        })
    }
}

/// A column that the table has as its own.
fn own(level: &Level, members: &[Member]) -> Result<ArrayRef, ArrowError> {
    let is_meant = |source: &Source| match source {
        Source::Value { place, is_own: true } => place.value == members,
        _ => false,
    };
    let index = level.table.columns.iter().position(is_meant);
    let column = index.and_then(|index| level.batch.columns().get(index));
    column.cloned().ok_or_else(other_columns)
}

/// A position in a list, from 0.
fn position(numbers: &Int64Array, row: usize) -> Option<usize> {
    let number = numbers.is_valid(row).then(|| numbers.value(row));
    number.and_then(|number| usize::try_from(number).ok())?.checked_sub(1)
}

fn misplaced(table: &Table) -> ArrowError {
    ArrowError::InvalidArgumentError(format!(
        "rows of the table `{}` are missing, or come in another order than those that contain them",
        table.name
    ))
}
