//! Puts the nested rows of a dataset together from its flat tables, in one pass over each table.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    error::ArrowError,
    row::{RowConverter, Rows, SortField},
};

use crate::{
    catalog::{Dataset, Table},
    tables::{
        assembly::{Assembly, TableRows},
        other_columns,
    },
};

/// A stream of batches.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Makes nested rows from the tables that [`table_rows`](crate::tables::table_rows) made of them. A
/// list that was empty and an object without values are null then. The rows of all tables must be
/// in the order of the dataset's rows. Memory holds one batch of the table with one row for each of
/// these, and the rows of other tables that belong to it.
pub struct NestedRows {
    dataset: Arc<Dataset>,
    roots: Batches,
    /// The readers of the other tables, those of outer lists before those of inner ones.
    others: Vec<Cursor>,
    keys: RowConverter,
    root: Arc<Table>,
}

/// A table whose rows are read up to those that belong to the rows returned so far.
struct Cursor {
    table: Arc<Table>,
    batches: Batches,
    /// A batch that is not used up, its keys, and how many of its rows were taken.
    waiting: Option<(RecordBatch, Rows, usize)>,
}

impl NestedRows {
    /// Reads the rows of a dataset from these tables. A table that is not given has no rows.
    ///
    /// # Errors
    /// If the dataset has no tables, or none with a row for each of its rows is given.
    pub fn new(
        dataset: &Arc<Dataset>,
        tables: Vec<(Arc<Table>, Batches)>,
    ) -> Result<Self, ArrowError> {
        let (mut roots, mut others) = (None, Vec::new());
        for (table, batches) in tables {
            if table.is_root() {
                roots = Some((table, batches));
            } else {
                others.push(Cursor { table, batches, waiting: None });
            }
        }
        // what contains a list comes before it, in whatever order the tables are given
        others.sort_by_key(|cursor: &Cursor| cursor.table.rows.len());
        let missing = || {
            let reason = "there is no table with a row for each row of the dataset";
            ArrowError::InvalidArgumentError(reason.to_owned())
        };
        let (root, roots) = roots.ok_or_else(missing)?;
        let key = root.schema.fields().iter().take(root.key_columns);
        let fields = key.map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self {
            dataset: Arc::clone(dataset),
            roots,
            others,
            keys: RowConverter::new(fields)?,
            root,
        })
    }

    fn nested(&mut self, roots: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let keys = keys_of(&self.keys, self.root.key_columns, &roots)?;
        let mut assembly = Assembly::new(&self.dataset, &self.root, roots);
        for cursor in &mut self.others {
            let rows = cursor.take(&keys, &self.keys, self.root.key_columns)?;
            assembly.add(&cursor.table, rows)?;
        }
        assembly.nested()
    }

    /// Checks that no table has rows left.
    fn end(&mut self) -> Result<(), ArrowError> {
        for cursor in &mut self.others {
            if cursor.fill(&self.keys, self.root.key_columns)? {
                let reason = format!(
                    "the table `{}` has rows that belong to no row of the dataset, or in another \
                     order",
                    cursor.table.name
                );
                return Err(ArrowError::InvalidArgumentError(reason));
            }
        }
        Ok(())
    }
}

impl Iterator for NestedRows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.roots.next() {
            Some(roots) => Some(roots.and_then(|roots| self.nested(roots))),
            None => self.end().err().map(Err),
        }
    }
}

impl Cursor {
    /// Reads the next batch if all rows of the last one were taken. Returns whether rows are left.
    fn fill(&mut self, keys: &RowConverter, columns: usize) -> Result<bool, ArrowError> {
        while self.waiting.as_ref().is_none_or(|(batch, _, taken)| *taken == batch.num_rows()) {
            let Some(batch) = self.batches.next() else { return Ok(false) };
            let batch = batch?;
            self.waiting = Some((batch.clone(), keys_of(keys, columns, &batch)?, 0));
        }
        Ok(true)
    }

    /// Takes the rows that belong to some rows of the dataset, which have the keys `roots`.
    fn take(
        &mut self,
        roots: &Rows,
        keys: &RowConverter,
        columns: usize,
    ) -> Result<TableRows, ArrowError> {
        let (mut root, mut root_of, mut parts) = (0, Vec::new(), Vec::new());
        while root < roots.num_rows() && self.fill(keys, columns)? {
            let Some((batch, rows, taken)) = &mut self.waiting else { break };
            let start = *taken;
            for row in rows.iter().skip(start) {
                while root < roots.num_rows() && roots.row(root) != row {
                    root += 1;
                }
                if root == roots.num_rows() {
                    break;
                }
                root_of.push(root);
                *taken += 1;
            }
            parts.push(batch.slice(start, *taken - start));
        }
        let batch = match parts.as_slice() {
            [one] => one.clone(),
            parts => concat_batches(&self.table.schema, parts)?,
        };
        Ok(TableRows { batch, root_of })
    }
}

fn keys_of(keys: &RowConverter, columns: usize, batch: &RecordBatch) -> Result<Rows, ArrowError> {
    keys.convert_columns(batch.columns().get(..columns).ok_or_else(other_columns)?)
}
