//! A dataset as the file writes it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field, Fields, Schema};
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    catalog::{
        Dataset, EXTRA, Endpoint, InvalidKey, PARTITION, Table,
        file::{endpoint_entry::EndpointEntry, parse_duration},
        schema::{self, Types, timestamp},
        sums::SumsEntry,
        tables::{self, TableEntry},
        type_places::TypePlaces,
    },
    ledger::file_kind::root_table,
};

/// What an endpoint by id needs.
const BY_ID_REQUEST: &str = "give {ids} in the request, `page_size` as the number of ids that a \
    request may have, and neither paging nor a job nor parents";
/// What a dataset with an endpoint by id needs.
const BY_ID_DATASET: &str = "is there to follow open rows: the dataset needs `open`, an id of one \
    column, and rows with a time of their own";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatasetEntry {
    version: u32,
    permission: Option<String>,
    #[serde(default)]
    entity: toml::Table,
    id: OneOrMore,
    time: String,
    #[serde(default)]
    stamp: bool,
    #[serde(default)]
    snapshot: bool,
    newest: Option<String>,
    open: Option<String>,
    lag: Option<String>,
    grain: Option<String>,
    divisible: Option<bool>,
    columns: Option<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    query: Option<EndpointEntry>,
    job: Option<EndpointEntry>,
    by_id: Option<EndpointEntry>,
    sums: Option<SumsEntry>,
    #[serde(default)]
    tables: BTreeMap<String, Spanned<TableEntry>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl DatasetEntry {
    pub(super) fn check(mut self, name: String, types: &Types) -> Result<Dataset, InvalidKey> {
        let key = |field: &str| format!("dataset.{name}.{field}");
        let ensure = |is_valid: bool, field: &str, reason: &str| {
            if is_valid { Ok(()) } else { Err(InvalidKey::new(&key(field), reason)) }
        };
        check_name(&name)?;
        ensure(self.version > 0, "version", "the first version is 1")?;
        let has_type = self.columns.as_ref().is_none_or(|columns| types.contains_key(columns));
        ensure(has_type, "columns", "there is no such type in this file")?;
        let has_endpoint = self.query.is_some() || self.job.is_some();
        ensure(has_endpoint, "query", "missing: give a query or a job")?;
        if !self.entity.is_empty() {
            let is_named = self.job.as_mut().is_some_and(|job| job.name_entity(&self.entity));
            ensure(is_named, "entity", "only a job that is submitted names one: give a job")?;
        }
        let endpoint = |endpoint: Option<EndpointEntry>, field: &str| {
            endpoint.map(|endpoint| endpoint.check(&key(field)).map(Arc::new)).transpose()
        };
        let (query, job) = (endpoint(self.query, "query")?, endpoint(self.job, "job")?);
        let submits = |endpoint: &Arc<Endpoint>| endpoint.async_job.is_some();
        ensure(
            !query.as_ref().is_some_and(submits),
            "query.submit",
            "a query is not submitted: describe it as a job",
        )?;
        ensure(job.as_ref().is_none_or(submits), "job.submit", "missing: a job is submitted")?;
        let by_id = endpoint(self.by_id, "by_id")?;
        let id = match self.id {
            OneOrMore::One(id) => vec![id],
            OneOrMore::More(id) => id,
        };
        let fields = match &self.columns {
            Some(columns) => schema::columns(types, columns)?,
            None => {
                let times = [&self.time].into_iter().chain(&self.newest);
                schema::bare(&id, times, self.aliases.values().chain(&self.open))
            }
        };
        let places = match &self.columns {
            Some(columns) => TypePlaces::new(types, columns, &fields)?,
            None => TypePlaces::default(),
        };
        check_partition(&name, self.columns.as_deref(), &fields)?;
        check_extra(&name, self.columns.as_deref(), &fields)?;
        let has_column = |column: &String, fits: &dyn Fn(&DataType) -> bool| {
            fields.find(column).is_some_and(|(_, field)| fits(field.data_type()))
        };
        let is_time = |column: &String| has_column(column, &|data_type| *data_type == timestamp());
        let is_column = |column: &String| has_column(column, &|_| true);
        match id.as_slice() {
            [] => ensure(false, "id", "name the columns that identify a row")?,
            [one] => ensure(
                has_column(one, &|t| matches!(t, DataType::Utf8 | DataType::Int64)),
                "id",
                "does not name a column that is a string or an int64",
            )?,
            more => ensure(
                more.iter().all(|one| has_column(one, &schema::fits_id)),
                "id",
                "names a column that does not exist, or one that contains times",
            )?,
        }
        ensure(is_time(&self.time), "time", "does not name a column that is a timestamp")?;
        for (endpoint, field) in [(&query, "query.extras"), (&job, "job.extras")] {
            let is_key = |extra: &String| id.contains(extra) || *extra == self.time;
            let has_key = endpoint.as_ref().is_some_and(|of| of.extras.iter().any(is_key));
            ensure(!has_key, field, "names the id or the time, which all endpoints return")?;
        }
        ensure(
            self.newest.as_ref().is_none_or(is_time),
            "newest",
            "does not name a column that is a timestamp",
        )?;
        ensure(
            self.open.as_ref().is_none_or(is_column),
            "open",
            "names a column that does not exist",
        )?;
        if let Some(by_id) = &by_id {
            ensure(by_id.returns_ids(), "by_id", BY_ID_REQUEST)?;
            let follows_open_rows = self.open.is_some() && id.len() == 1;
            let has_own_time = !self.stamp && !self.snapshot;
            ensure(follows_open_rows && has_own_time, "by_id", BY_ID_DATASET)?;
        }
        ensure(
            self.aliases.values().all(is_column),
            "aliases",
            "names a column that does not exist",
        )?;
        ensure(
            !self.aliases.keys().any(is_column),
            "aliases",
            "an alias is the name of another column",
        )?;
        let sums = self.sums.map(|sums| sums.check(&fields)).transpose();
        let sums = sums.map_err(|(field, reason)| InvalidKey::new(&key(field), reason))?;
        let never_null = |field: &Arc<Field>| {
            let is_nullable = id != [field.name().clone()] && *field.name() != self.time;
            Field::clone(field).with_nullable(is_nullable)
        };
        let duration = |text: &Option<String>, field: &str| match text {
            Some(text) => parse_duration(&key(field), text),
            None => Ok(Duration::ZERO),
        };
        let fields: Vec<_> = fields.iter().map(never_null).chain([schema::extra()]).collect();
        let schema = Arc::new(Schema::new(fields));
        let tables = TableEntry::read(&self.tables, &key("tables"))?;
        let row_key = tables::RowKey { toml: &key("tables"), id: &id, time: &self.time };
        let tables = tables::compile(&tables, schema.fields(), &row_key)?;
        check_root_table(&name, &tables)?;
        Ok(Dataset {
            version: self.version,
            permission: self.permission,
            schema,
            tables,
            ignore: places.ignored,
            types: places.types,
            personal: Vec::new(),
            personal_version: None,
            forms: places.forms,
            zone: TimeZone::UTC,
            has_columns: self.columns.is_some(),
            synthesizes_time: self.stamp || self.snapshot,
            sums: sums.unwrap_or_default(),
            divisible: self.divisible.unwrap_or(!self.stamp && !self.snapshot),
            snapshot: self.snapshot,
            newest: self.newest,
            open: self.open,
            lag: duration(&self.lag, "lag")?,
            alignment: duration(&self.grain, "grain")?,
            aliases: self.aliases.into_iter().collect(),
            time: self.time,
            id,
            query,
            job,
            by_id,
            name,
        })
    }
}

/// Checks the name of the table with a row for each row of the dataset: from the path of its files
/// follows that their rows are all rows of the dataset.
fn check_root_table(dataset: &str, tables: &[Arc<Table>]) -> Result<(), InvalidKey> {
    let (Some(root), expected) = (tables.first(), root_table(dataset)) else { return Ok(()) };
    if root.name == expected {
        return Ok(());
    }
    let key = format!("dataset.{dataset}.tables.{}", root.name);
    let reason = format!(
        "the table with a row for each row of the dataset is called after it: `{expected}`"
    );
    Err(InvalidKey::new(&key, reason))
}

/// A name becomes a folder, which object stores and file systems must not take for another one.
fn check_name(name: &str) -> Result<(), InvalidKey> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(InvalidKey::new(
        &format!("dataset.{name}"),
        format!(
            "`{name}` is not a valid name of a dataset: expected lowercase letters, digits and \
             `-`, such as `agent-states`"
        ),
    ))
}

/// The key of a column of a dataset, for errors.
fn column_key(dataset: &str, columns: Option<&str>, name: &str) -> String {
    match columns {
        Some(columns) => format!("type.{columns}.{name}"),
        None => format!("dataset.{dataset}"),
    }
}

/// Refuses a column that is named `_extra`, which the program adds itself.
fn check_extra(dataset: &str, columns: Option<&str>, fields: &Fields) -> Result<(), InvalidKey> {
    let Some(field) = fields.iter().find(|field| field.name().eq_ignore_ascii_case(EXTRA)) else {
        return Ok(());
    };
    let name = field.name();
    Err(InvalidKey::new(
        &column_key(dataset, columns, name),
        format!(
            "a column cannot be called `{name}`: every dataset has a column `{EXTRA}`, which keeps \
             the values that fit no other; give it another name, such as `extra`, and write \
             `aliases = {{ {name} = \"extra\" }}` into [dataset.{dataset}]"
        ),
    ))
}

/// Refuses a column that readers could not tell from the partition folder.
fn check_partition(
    dataset: &str,
    columns: Option<&str>,
    fields: &Fields,
) -> Result<(), InvalidKey> {
    let Some(field) = fields.iter().find(|field| field.name().eq_ignore_ascii_case(PARTITION))
    else {
        return Ok(());
    };
    let name = field.name();
    Err(InvalidKey::new(
        &column_key(dataset, columns, name),
        format!(
            "a column cannot be called `{name}`, as the folders `{PARTITION}=…` are: give it \
             another name, such as `day`, and write `aliases = {{ {name} = \"day\" }}` into \
             [dataset.{dataset}]"
        ),
    ))
}
