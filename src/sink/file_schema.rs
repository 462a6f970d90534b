//! The schemas of the files of a dataset in the forms that a file needs, made once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::datatypes::Schema;
use parquet::{
    arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, encode_arrow_schema},
    errors::ParquetError,
    file::metadata::KeyValue,
    schema::types::SchemaDescriptor,
};

use crate::catalog::Dataset;

/// The schema of a file.
#[derive(Debug)]
pub(super) struct FileSchema {
    /// The columns as Parquet has them.
    pub columns: SchemaDescriptor,
    /// The Arrow schema in the form that a footer has it.
    pub arrow: KeyValue,
    /// The index of the column of the rows' time. `None` if it is no column of its own.
    pub time: Option<usize>,
}

/// The schemas of the files of a dataset.
#[derive(Debug)]
pub(super) struct DatasetSchemas {
    nested: FileSchema,
    tables: Vec<FileSchema>,
}

impl FileSchema {
    /// The forms of a schema, in which the rows' time has this name.
    fn new(schema: &Schema, time: &str) -> Result<Self, ParquetError> {
        let columns = ArrowSchemaConverter::new().convert(schema)?;
        let is_time = |path: &[String]| path == [time];
        let time = columns.columns().iter().position(|leaf| is_time(leaf.path().parts()));
        let arrow = encode_arrow_schema(schema);
        Ok(Self { columns, arrow: KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), arrow), time })
    }
}

impl DatasetSchemas {
    fn new(dataset: &Dataset) -> Result<Self, ParquetError> {
        let Dataset { schema, tables, time, .. } = dataset;
        let tables = tables.iter().map(|table| FileSchema::new(&table.schema, time));
        Ok(Self {
            nested: FileSchema::new(schema, time)?,
            tables: tables.collect::<Result<_, _>>()?,
        })
    }

    /// The schema of the files of the table with this number, or of nested rows if it is `None`.
    pub(super) fn of(&self, table: Option<usize>) -> &FileSchema {
        table.map_or(&self.nested, |table| &self.tables[table])
    }
}

/// The schemas of the datasets of a run, by their names.
#[derive(Debug, Clone, Default)]
pub struct FileSchemas(Arc<Mutex<HashMap<String, KnownSchemas>>>);

type KnownSchemas = (Arc<Dataset>, Arc<DatasetSchemas>);

impl FileSchemas {
    /// The schemas of a dataset.
    ///
    /// # Errors
    /// If Parquet has no type for one of its columns.
    pub(super) fn of(&self, dataset: &Arc<Dataset>) -> Result<Arc<DatasetSchemas>, ParquetError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of_dataset, schemas)) = known.get(&dataset.name)
            && Arc::ptr_eq(of_dataset, dataset)
        {
            return Ok(Arc::clone(schemas));
        }
        let schemas = Arc::new(DatasetSchemas::new(dataset)?);
        known.insert(dataset.name.clone(), (Arc::clone(dataset), Arc::clone(&schemas)));
        Ok(schemas)
    }
}
