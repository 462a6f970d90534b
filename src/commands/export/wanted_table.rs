//! The table whose rows are to be exported.

use std::sync::Arc;

use crate::{
    catalog::{Dataset, Table},
    config::ConfigError,
    error::Error,
    ledger::{FileKind, FileRecord, LedgerError, ShardRecord, reader::Snapshot},
    sink::{CommittedDay, Layout},
};

/// The table of this name.
///
/// # Errors
/// If the dataset has none.
pub(super) fn find(dataset: &Dataset, name: &str) -> Result<Arc<Table>, ConfigError> {
    dataset.table(name).cloned().ok_or_else(|| {
        let of = &dataset.name;
        let names: Vec<_> = dataset.tables.iter().map(|table| table.name.as_str()).collect();
        let message = match names.is_empty() {
            true => format!("the catalog has no tables of {of}: leave it out"),
            false => format!("{of} has no table `{name}`: it has {}", names.join(", ")),
        };
        ConfigError::at("--table", message)
    })
}

/// Refuses an output in which committed rows have no files of the table, so that no export leaves
/// rows out.
///
/// # Errors
/// [`LedgerError::ChangingLayout`] if an upgrade to another layout was interrupted or is going on,
/// [`ConfigError`] if the layout has no tables, or if a day has no file of the table.
pub(super) fn refuse_missing(
    dataset: &Dataset,
    table: &Table,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let layout = Layout::of_output(&snapshot.identity).ok_or(LedgerError::ChangingLayout)?;
    if layout.tables(dataset).is_empty() {
        let message = format!(
            "the output has no tables, since its output.layout is {}: rewrite it with \
             `cxbackfill upgrade --set output.layout=both`, or leave --table out",
            layout.name()
        );
        return Err(ConfigError::at("--table", message).into());
    }
    let is_of_table = |file: &&FileRecord| file.kind() == FileKind::Table(&table.name);
    let lacks_files = |shard: &&ShardRecord| {
        let days = CommittedDay::of(&shard.files).len();
        shard.files.iter().filter(is_of_table).count() != days
    };
    let records = snapshot.datasets.get(&dataset.name);
    let mut shards = records.into_iter().flat_map(|records| &records.shards);
    match shards.find(lacks_files) {
        Some(shard) => {
            let message = format!(
                "the rows of {} have no file of the table `{}`: write it with `cxbackfill upgrade`",
                shard.interval, table.name
            );
            Err(ConfigError::at("--table", message).into())
        }
        None => Ok(()),
    }
}
