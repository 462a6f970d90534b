//! For a day that is stored without nested rows, puts them together from the files of its tables.

use std::{iter::once, sync::Arc};

use arrow::datatypes::{DataType, FieldRef, Fields, Schema};

use crate::{
    catalog::{Dataset, Member, Source, Table},
    commands::export::file::{FileReader, OpenFile, ReadError, rows_within},
    ledger::FileKind,
    sink::with_columns,
    tables::{Batches, NestedRows},
};

/// The files of the tables that have a part of the wanted columns.
pub(super) struct TablesReader {
    dataset: Arc<Dataset>,
    /// That of the table with a row for each row of the dataset.
    root: TableReader,
    others: Vec<TableReader>,
}

/// The file of a table.
struct TableReader {
    table: Arc<Table>,
    file: FileReader,
}

impl TablesReader {
    /// Reads these parts of the columns of a dataset. Tables without such a part are not read.
    pub(super) fn new(
        dataset: &Arc<Dataset>,
        files: Vec<OpenFile>,
        wanted: &Fields,
    ) -> Result<Self, ReadError> {
        let (mut root, mut others) = (None, Vec::new());
        for file in files {
            let FileKind::Table(name) = file.record.kind() else { continue };
            let table = dataset.table(name).ok_or_else(|| ReadError::NoTable(name.to_owned()))?;
            let Some(columns) = columns_of(table, wanted) else { continue };
            let groups = (0..file.metadata.metadata().num_row_groups()).collect();
            let file = FileReader::new(file, &Schema::new(columns), groups);
            let reader = TableReader { table: Arc::clone(table), file };
            match table.is_root() {
                true => root = Some(reader),
                false => others.push(reader),
            }
        }
        Ok(Self { dataset: Arc::clone(dataset), root: root.ok_or(ReadError::NoRoot)?, others })
    }

    /// The times of all rows, in the order of the rows.
    pub(super) fn times(&self) -> Result<Vec<i64>, ReadError> {
        self.root.file.times(&self.dataset.time)
    }

    /// How many rows take about this memory with what is nested in them, at least one.
    pub(super) fn rows_within(&self, memory: usize) -> usize {
        let bytes = self.readers().map(|reader| reader.file.bytes()).sum();
        rows_within(memory, self.root.file.rows(), bytes)
    }

    /// The nested rows, in batches that take about this memory. What is not wanted of them is null.
    pub(super) fn batches(&self, memory: usize) -> Result<Batches, ReadError> {
        // the rows of the other tables that wait for theirs take as much again, together
        let of_each = memory / self.others.len().max(1);
        let mut tables = vec![self.root.batches(self.rows_within(memory))?];
        for reader in &self.others {
            let rows = rows_within(of_each, reader.file.rows(), reader.file.bytes());
            tables.push(reader.batches(rows)?);
        }
        Ok(Box::new(NestedRows::new(&self.dataset, tables)?))
    }

    fn readers(&self) -> impl Iterator<Item = &TableReader> {
        once(&self.root).chain(&self.others)
    }
}

impl TableReader {
    /// The rows with all columns of the table, so many at once. Columns that are not read are null.
    fn batches(&self, rows: usize) -> Result<(Arc<Table>, Batches), ReadError> {
        let schema = Arc::clone(&self.table.schema);
        let batches = self.file.batches(rows, None)?;
        let batches = batches.map(move |batch| with_columns(&batch?, &schema));
        Ok((Arc::clone(&self.table), Box::new(batches)))
    }
}

/// The columns of a table that have a part of the wanted columns of its dataset, after those that
/// join it. `None` if its rows belong to none.
fn columns_of(table: &Table, wanted: &Fields) -> Option<Vec<FieldRef>> {
    let mut fields = wanted;
    for list in &table.rows {
        let (DataType::List(element) | DataType::Map(element, _)) = part(fields, &list.members)?
        else {
            return None;
        };
        let DataType::Struct(inner) = element.data_type() else { return None };
        fields = inner;
    }
    let keys = table.key_columns + table.rows.len();
    let is_wanted = |source: &Source| match source {
        Source::Value { place, is_own: true } => part(fields, &place.value).is_some(),
        _ => false,
    };
    let columns = table.schema.fields().iter().zip(&table.columns).enumerate();
    let columns = columns.filter(|(index, (_, source))| *index < keys || is_wanted(source));
    Some(columns.map(|(_, (field, _))| Arc::clone(field)).collect())
}

/// The type of the part of columns that `members` lead to. `None` if it is not wanted.
fn part<'f>(mut fields: &'f Fields, members: &[Member]) -> Option<&'f DataType> {
    let (last, outer) = members.split_last()?;
    for member in outer {
        let DataType::Struct(inner) = fields.find(&member.name)?.1.data_type() else { return None };
        fields = inner;
    }
    Some(fields.find(&last.name)?.1.data_type())
}
