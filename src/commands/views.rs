//! `views`: SQL views over the files of an output.
//!
//! They need no copy of the data. Of each snapshot dataset there is a view of its latest snapshot, and
//! the catalog has more for its own datasets.

use std::fmt::Write;

use arrow::datatypes::{DataType, Fields};
use clap::ValueEnum;

use crate::{
    catalog::{
        Dataset,
        views::{self, View},
    },
    config::BackfillScope,
    error::Error,
    ledger::{LEDGER, reader::Snapshot},
};

/// The dialect of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// DuckDB 1.3 or newer.
    Duckdb,
}

/// The statements that create views over the files of `scope`. Datasets without files have none,
/// since a view over no file cannot be created.
///
/// # Errors
/// If the ledger is missing or cannot be read.
pub(crate) fn statements(scope: &BackfillScope, dialect: Dialect) -> Result<String, Error> {
    let snapshot = Snapshot::read(&scope.output.join(LEDGER))?;
    let has_files = |dataset: &Dataset| {
        let records = snapshot.datasets.get(&dataset.name);
        let mut shards = records.into_iter().flat_map(|records| &records.shards);
        shards.any(|shard| shard.nested_files().next().is_some())
    };
    let datasets: Vec<&Dataset> = (scope.catalog.datasets.values())
        .map(AsRef::as_ref)
        .filter(|dataset| has_files(dataset))
        .collect();
    let folder = scope.output.canonicalize().unwrap_or_else(|_| scope.output.clone());
    let folder = folder.display().to_string();
    let Dialect::Duckdb = dialect;
    let mut sql = String::new();
    for dataset in datasets.iter().filter(|dataset| dataset.snapshot) {
        let (name, time) = (dataset.name.replace('-', "_"), &dataset.time);
        let files = duckdb_files(&folder, &dataset.name);
        let query = format!(
            "-- The latest snapshot of {}.\nSELECT * FROM {files}\nWHERE \"{time}\" = (SELECT \
             max(\"{time}\") FROM {files})",
            dataset.name
        );
        push(&mut sql, &format!("current_{name}"), &query);
    }
    for View { name, needs, query } in views::duckdb(scope.platform.name()) {
        if !needs.split(", ").all(|need| is_met(need, &datasets)) {
            continue;
        }
        let mut query = query.to_owned();
        for dataset in &datasets {
            let placeholder = format!("{{{}}}", dataset.name);
            query = query.replace(&placeholder, &duckdb_files(&folder, &dataset.name));
        }
        push(&mut sql, name, &query);
    }
    Ok(sql)
}

/// Appends a view whose query begins with a comment.
fn push(sql: &mut String, name: &str, query: &str) {
    let (comment, query) = query.split_once('\n').unwrap_or(("", query));
    // writing to a text does not fail
    let _ = writeln!(sql, "{comment}\nCREATE OR REPLACE VIEW \"{name}\" AS\n{query};\n");
}

/// The files of a dataset as a table of DuckDB.
fn duckdb_files(folder: &str, dataset: &str) -> String {
    let mut pattern = String::new();
    for one in folder.chars() {
        match one {
            // in brackets a character of a pattern means itself
            '[' | '*' | '?' => drop(write!(pattern, "[{one}]")),
            '\'' => pattern.push_str("''"),
            one => pattern.push(one),
        }
    }
    format!("read_parquet('{pattern}/{dataset}/**/*.parquet', hive_partitioning = true)")
}

/// Whether one of the datasets has the name and the columns of a need, such as
/// `calls.parties.attributes`.
fn is_met(need: &str, datasets: &[&Dataset]) -> bool {
    let mut path = need.split('.');
    let name = path.next().unwrap_or_default();
    let dataset = datasets.iter().find(|dataset| dataset.name == name);
    let path: Vec<_> = path.collect();
    dataset.is_some_and(|dataset| has_column(dataset.schema.fields(), &path))
}

fn has_column(fields: &Fields, path: &[&str]) -> bool {
    let Some((name, inside)) = path.split_first() else { return true };
    let Some(field) = fields.iter().find(|field| field.name() == name) else { return false };
    let mut data_type = field.data_type();
    while let DataType::List(element) = data_type {
        data_type = element.data_type();
    }
    match data_type {
        DataType::Struct(fields) => has_column(fields, inside),
        _ => inside.is_empty(),
    }
}
