//! The schemas of the files of a dataset in the forms that a file needs, made once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::datatypes::Schema;
use parquet::{arrow::ArrowSchemaConverter, errors::ParquetError, schema::types::SchemaDescriptor};

use crate::catalog::Dataset;

/// The schema of a file. The footer has none in the form of Arrow, which would take more room than
/// the rows of a small file: it follows from the columns.
#[derive(Debug)]
pub(super) struct FileSchema {
    /// The columns as Parquet has them.
    pub columns: SchemaDescriptor,
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
        Ok(Self { columns, time })
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

#[cfg(test)]
mod tests {
    use arrow::datatypes::SchemaRef;
    use parquet::arrow::parquet_to_arrow_schema;

    use std::{fs, path::Path};

    use super::*;
    use crate::catalog::{self, Catalog};

    /// The catalogs of the tests, among them one with every type of column.
    fn test_catalogs() -> Vec<Catalog> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut paths = vec![tests.join("it/fuzz/everything.toml")];
        for entry in fs::read_dir(tests.join("tutorials")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap();
            if name.ends_with(".toml") && !name.ends_with(".config.toml") {
                paths.push(path);
            }
        }
        assert!(paths.len() > 5, "the tutorials are found");
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        paths
            .iter()
            .map(|path| catalog::read(path.to_str().unwrap(), &read(path)).unwrap())
            .collect()
    }

    #[test]
    fn the_arrow_schema_follows_from_the_columns_of_every_file() {
        let follows = |file: &FileSchema, schema: &SchemaRef| {
            let read = parquet_to_arrow_schema(&file.columns, None).unwrap();
            assert_eq!(&read, schema.as_ref());
        };
        let builtin = ["genesys-cloud", "nice-cxone"].map(|name| catalog::builtin(name).unwrap());
        let others = test_catalogs();
        for dataset in builtin.into_iter().chain(&others).flat_map(|it| it.datasets.values()) {
            let schemas = DatasetSchemas::new(dataset).unwrap();
            follows(schemas.of(None), &dataset.schema);
            for (number, table) in dataset.tables.iter().enumerate() {
                follows(schemas.of(Some(number)), &table.schema);
            }
        }
    }
}
