//! `views`: SQL views over the files of an output.
//!
//! They need no copy of the data. Each dataset has a view of its rows and one for each of its flat
//! tables, which the catalog describes. A snapshot dataset has one of its latest snapshot. The
//! usual questions are views of the tables, written once for all dialects. A table is computed from
//! the nested rows, or read from its own files if the output has them. Start with [`statements`].

mod dialect;
mod files;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use arrow::datatypes::{Schema, SchemaRef};

pub(crate) use self::dialect::Dialect;
use crate::{
    catalog::{
        Dataset,
        tables::Table,
        views::{self, View},
    },
    config::BackfillScope,
    error::Error,
    ledger::{FileKind, LEDGER, LedgerError, file_kind, reader::Snapshot},
    sink::Layout,
};

/// What the user wants of the views.
#[derive(Debug)]
pub(crate) struct ViewsRequest {
    /// The dialect of SQL.
    pub dialect: Dialect,
    /// Where the database finds the files. `None`: in the folder of the output.
    pub location: Option<String>,
    /// The schema of the views. `None` if they have names without one.
    pub schema: Option<String>,
}

/// How the statements write the names of views.
#[derive(Debug)]
struct Namespace {
    dialect: Dialect,
    schema: Option<String>,
}

impl Namespace {
    /// The name of a view, with its schema.
    fn qualified(&self, view: &str) -> String {
        let schema = self.schema.iter().flat_map(|schema| schema.split('.'));
        let parts = schema.chain([view]).map(|part| self.dialect.name(part));
        parts.collect::<Vec<_>>().join(".")
    }
}

/// The statements that create views over the files of `scope`. Datasets without files have none,
/// since a view over no file cannot be created.
///
/// # Errors
/// If the ledger is missing or cannot be read, if the dialect cannot read the files where they are,
/// or if an upgrade to another layout was interrupted.
pub(crate) fn statements(scope: &BackfillScope, request: ViewsRequest) -> Result<String, Error> {
    let ViewsRequest { dialect, location, schema } = request;
    let location = location_of(dialect, location, scope)?;
    if dialect == Dialect::Bigquery && schema.is_none() {
        let reason = "BigQuery's views name each other with their dataset: give it by `--schema`, \
                      such as `--schema calls`";
        return Err(Error::Views(reason.to_owned()));
    }
    let snapshot = Snapshot::read(&scope.output.join(LEDGER))?;
    let Some(layout) = Layout::of_output(&snapshot.identity) else {
        return Err(LedgerError::ChangingLayout.into());
    };
    let has_files = |dataset: &Dataset| {
        let records = snapshot.datasets.get(&dataset.name);
        let mut shards = records.into_iter().flat_map(|records| &records.shards);
        shards.any(|shard| shard.row_files().next().is_some())
    };
    let all = scope.catalog.datasets.values().map(AsRef::as_ref);
    let names = Namespace { dialect, schema };
    let views = Views {
        names: &names,
        location: location.trim_end_matches('/'),
        layout,
        datasets: all.clone().filter(|dataset| has_files(dataset)).collect(),
        tables: table_names(all),
        platform: scope.platform.name(),
    };
    Ok(views.print())
}

/// Where the database finds the files.
fn location_of(
    dialect: Dialect,
    location: Option<String>,
    scope: &BackfillScope,
) -> Result<String, Error> {
    let (database, start, example) = match dialect {
        Dialect::Duckdb | Dialect::Spark => {
            let folder = || scope.output.canonicalize().unwrap_or_else(|_| scope.output.clone());
            return Ok(location.unwrap_or_else(|| folder().display().to_string()));
        }
        Dialect::Snowflake => ("Snowflake", "@", "a stage, such as `@calls/out`"),
        Dialect::Bigquery => ("BigQuery", "gs://", "a bucket, such as `gs://calls/out`"),
    };
    match location {
        Some(location) if location.starts_with(start) => Ok(location),
        Some(other) => Err(Error::Views(format!(
            "{database} cannot read files at `{other}`: `--location` must be {example}"
        ))),
        None => Err(Error::Views(format!(
            "{database} cannot read the folder of the output: copy it, and give the place by \
             `--location`: {example}"
        ))),
    }
}

/// The name of a dataset in SQL.
fn sql_name(dataset: &Dataset) -> String {
    dataset.name.replace('-', "_")
}

/// The name of the view of a dataset's rows. That of a dataset with tables has the suffix `_rows`.
fn rows_name(dataset: &Dataset) -> String {
    let name = sql_name(dataset);
    if dataset.tables.is_empty() { name } else { format!("{name}_rows") }
}

/// The names of the views of all tables, by the names of their datasets and their own.
///
/// The table with a row for each row of the dataset is named after the dataset, the others have
/// their own names. If several datasets have a table of the same name, the dataset with the most
/// tables keeps it. The others, and tables whose name a view has already, get the name of the
/// dataset in front.
fn table_names<'d>(
    datasets: impl Iterator<Item = &'d Dataset> + Clone,
) -> BTreeMap<(&'d str, &'d str), String> {
    let mut taken: BTreeSet<_> =
        datasets.clone().flat_map(|dataset| [sql_name(dataset), rows_name(dataset)]).collect();
    let mut names = BTreeMap::new();
    for dataset in datasets.clone() {
        let keeps = |name: &str| {
            let mut others = datasets.clone().filter(|other| {
                other.name != dataset.name && other.tables.iter().any(|table| table.name == name)
            });
            others.all(|other| other.tables.len() < dataset.tables.len())
        };
        for table in &dataset.tables {
            let name = if table.is_root() {
                sql_name(dataset)
            } else if keeps(&table.name) && taken.insert(table.name.clone()) {
                table.name.clone()
            } else {
                format!("{}_{}", sql_name(dataset), table.name)
            };
            names.insert((dataset.name.as_str(), table.name.as_str()), name);
        }
    }
    names
}

/// What the statements are about.
struct Views<'v> {
    names: &'v Namespace,
    /// Where the database finds the folders of the datasets, without a slash at its end.
    location: &'v str,
    layout: Layout,
    /// The datasets with files.
    datasets: Vec<&'v Dataset>,
    /// The names of the views of tables.
    tables: BTreeMap<(&'v str, &'v str), String>,
    platform: &'v str,
}

impl Views<'_> {
    /// All statements.
    fn print(&self) -> String {
        let Self { names, layout, .. } = *self;
        let mut sql = files::preamble(names);
        let mut schemas: BTreeMap<String, SchemaRef> = BTreeMap::new();
        for dataset in self.datasets.iter().filter(|dataset| layout.has_nested(dataset)) {
            let rows = rows_name(dataset);
            let files = self.over_files(&rows, dataset, FileKind::Nested, &dataset.schema);
            // writing to a text does not fail
            let _ = writeln!(sql, "-- The rows of {}.\n{files}", dataset.name);
            if dataset.tables.is_empty() {
                schemas.insert(rows, dataset.schema.clone());
            }
        }
        for dataset in &self.datasets {
            let rows = names.qualified(&rows_name(dataset));
            for table in &dataset.tables {
                let name = &self.tables[&(dataset.name.as_str(), table.name.as_str())];
                let comment = comment(dataset, table);
                if layout.tables(dataset).is_empty() {
                    let query = table::query(names.dialect, dataset, table, &rows);
                    push(&mut sql, names, name, &comment, &query);
                } else {
                    let kind = FileKind::Table(&table.name);
                    let files = self.over_files(name, dataset, kind, &table.schema);
                    // writing to a text does not fail
                    let _ = writeln!(sql, "{comment}\n{files}");
                }
                schemas.insert(name.clone(), table.schema.clone());
            }
            if dataset.snapshot {
                let name = format!("current_{}", sql_name(dataset));
                let comment = format!("-- The latest snapshot of {}.", dataset.name);
                let rows = match layout.has_nested(dataset) {
                    true => rows,
                    false => names.qualified(&sql_name(dataset)),
                };
                let time = names.dialect.name(&dataset.time);
                let query = format!(
                    "SELECT * FROM {rows}\nWHERE {time} = (SELECT max({time}) FROM {rows})"
                );
                push(&mut sql, names, &name, &comment, &query);
            }
        }
        for View { name, needs, comment, query } in views::questions(self.platform) {
            if needs.split(", ").all(|need| is_met(need, &schemas)) {
                push(&mut sql, names, name, comment, &filled(query, names));
            }
        }
        sql
    }

    /// The statement for the view `name` over those files of a dataset that are of this kind.
    fn over_files(&self, name: &str, dataset: &Dataset, kind: FileKind, schema: &Schema) -> String {
        let folder = format!("{}/{}", self.location, file_kind::folder(&dataset.name, kind));
        files::statement(self.names, name, &folder, schema)
    }
}

/// What the rows of a table are.
fn comment(dataset: &Dataset, table: &Table) -> String {
    let of = |list: &Vec<_>| list.join(".");
    let lists = table.rows.iter().map(|list| {
        let members = list.members.iter().map(|member| member.name.as_str());
        format!("{}[]", of(&members.collect()))
    });
    match table.is_root() {
        true => format!("-- A row for each row of {}.", dataset.name),
        false => {
            let path = lists.collect::<Vec<_>>().join(".");
            format!("-- A row for each of {path} of {}.", dataset.name)
        }
    }
}

/// Appends a view.
fn push(sql: &mut String, names: &Namespace, name: &str, comment: &str, query: &str) {
    let name = names.qualified(name);
    // writing to a text does not fail
    let _ = writeln!(sql, "{comment}\nCREATE OR REPLACE VIEW {name} AS\n{query};\n");
}

/// A query of the catalog in a dialect: `{view}` is the name of a view, `{half hour of TIME}` the
/// start of a half hour, and `{seconds from TIME to TIME}` a number.
fn filled(query: &str, names: &Namespace) -> String {
    let mut parts = query.split('{');
    let mut sql = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (placeholder, rest) = part.split_once('}').unwrap_or((part, ""));
        let times = placeholder.strip_prefix("seconds from ");
        sql += &if let Some(time) = placeholder.strip_prefix("half hour of ") {
            names.dialect.half_hour(time)
        } else if let Some((from, to)) = times.and_then(|times| times.split_once(" to ")) {
            names.dialect.seconds(from, to)
        } else {
            names.qualified(placeholder)
        };
        sql += rest;
    }
    sql
}

/// Whether there is a view with the column of a need, such as `sessions.ani`.
fn is_met(need: &str, schemas: &BTreeMap<String, SchemaRef>) -> bool {
    let (view, column) = need.split_once('.').unwrap_or((need, ""));
    let has_column =
        |schema: &Schema| column.is_empty() || schema.column_with_name(column).is_some();
    schemas.get(view).is_some_and(|schema| has_column(schema))
}
