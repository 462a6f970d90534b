//! The schema of the files of a dataset in the forms that a file needs, made once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use parquet::{
    arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, encode_arrow_schema},
    errors::ParquetError,
    file::metadata::KeyValue,
    schema::types::SchemaDescriptor,
};

use crate::catalog::Dataset;

/// The schema of the files of a dataset.
#[derive(Debug)]
pub(super) struct FileSchema {
    /// The columns as Parquet has them.
    pub columns: SchemaDescriptor,
    /// The Arrow schema in the form that a footer has it.
    pub arrow: KeyValue,
    /// The index of the column of the rows' time. `None` if it is no column of its own.
    pub time: Option<usize>,
}

impl FileSchema {
    fn new(dataset: &Dataset) -> Result<Self, ParquetError> {
        let columns = ArrowSchemaConverter::new().convert(&dataset.schema)?;
        let is_time = |path: &[String]| path == [dataset.time.as_str()];
        let time = columns.columns().iter().position(|leaf| is_time(leaf.path().parts()));
        let arrow = encode_arrow_schema(&dataset.schema);
        Ok(Self { columns, arrow: KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), arrow), time })
    }
}

/// The schemas of the datasets of a run, by their names.
#[derive(Debug, Clone, Default)]
pub struct FileSchemas(Arc<Mutex<HashMap<String, KnownSchema>>>);

type KnownSchema = (Arc<Dataset>, Arc<FileSchema>);

impl FileSchemas {
    /// The schema of a dataset.
    ///
    /// # Errors
    /// If Parquet has no type for one of its columns.
    pub(super) fn of(&self, dataset: &Arc<Dataset>) -> Result<Arc<FileSchema>, ParquetError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of_dataset, schema)) = known.get(&dataset.name)
            && Arc::ptr_eq(of_dataset, dataset)
        {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(FileSchema::new(dataset)?);
        known.insert(dataset.name.clone(), (Arc::clone(dataset), Arc::clone(&schema)));
        Ok(schema)
    }
}
