//! The ids of the rows of a dataset that meet a condition.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::{
    catalog::Dataset,
    commands::export::{
        column::{Step, needed},
        condition::Condition,
        file::ReadError,
        rows::{OpenRows, RowsWanted, for_each_batch},
    },
    config::ConfigError,
    decode::row_ids,
    time::interval::Interval,
};

/// The rows of a dataset that meet a condition.
#[derive(Debug)]
pub(crate) struct MatchingRows {
    dataset: Arc<Dataset>,
    condition: Condition,
    /// The parts of the dataset's columns that are read.
    needed: SchemaRef,
}

impl MatchingRows {
    /// The rows that meet the condition. All rows if there is none.
    ///
    /// # Errors
    /// If the condition is not valid.
    pub(crate) fn new(
        dataset: &Arc<Dataset>,
        condition: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let schema = &dataset.schema;
        let condition = condition.map(|text| Condition::read(text, schema)).transpose();
        let condition = condition.map_err(|error| ConfigError::at("--where", error))?;
        let condition = condition.unwrap_or_default();
        let fields = dataset.id.iter().chain([&dataset.time]);
        let fields: Vec<_> = fields.map(|name| [Step::Field(name.clone())]).collect();
        let paths = condition.columns().map(|column| &column.steps[..]);
        let needed = needed(schema.fields(), paths.chain(fields.iter().map(|path| &path[..])));
        let needed = Arc::new(Schema::new(needed));
        Ok(Self { dataset: Arc::clone(dataset), condition, needed })
    }

    /// Calls `each` with the hash of the id of every such row of a day.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub(crate) fn ids(&self, rows: OpenRows, mut each: impl FnMut(u128)) -> Result<(), String> {
        let all = Interval::new(i64::MIN, i64::MAX).ok_or("there is no time")?;
        let wanted = RowsWanted {
            interval: all,
            condition: &self.condition,
            schema: &self.needed,
            dataset: &self.dataset,
            is_table: false,
        };
        let read = for_each_batch(rows, &wanted, |rows| {
            let ids = row_ids(&self.dataset, &rows).map_err(ReadError::from)?;
            ids.into_iter().for_each(&mut each);
            Ok::<_, ReadError>(())
        });
        read.map_err(|error| error.to_string())
    }
}
