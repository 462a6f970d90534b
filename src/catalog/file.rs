//! Datasets as a file writes them, and what is wrong with them.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field, Schema};
use serde::Deserialize;

use crate::{
    catalog::{
        Catalog, Dataset, Endpoint, InvalidKey, NO_DURATION, days,
        endpoint::EndpointEntry,
        schema::{self, timestamp},
    },
    http::rate_limit::RequestLimit,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogFile {
    #[serde(default)]
    bucket: BTreeMap<String, BucketEntry>,
    #[serde(default)]
    dataset: BTreeMap<String, DatasetEntry>,
    #[serde(default, rename = "type")]
    types: schema::Types,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketEntry {
    requests: NonZeroU32,
    per: String,
}

/// A dataset as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetEntry {
    version: u32,
    permission: Option<String>,
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
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

pub(crate) fn parse(text: &str) -> Result<Catalog, InvalidKey> {
    let toml = toml::Deserializer::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        InvalidKey::new(&format!("line {}", before.matches('\n').count() + 1), error.message())
    })?;
    let CatalogFile { bucket, dataset, types } =
        serde_path_to_error::deserialize(toml).map_err(|error| {
            let key = error.path().to_string();
            // below the key of a `Spanned` value, `toml` has one of its own
            InvalidKey::new(key.split(".$__").next().unwrap_or_default(), error.inner().message())
        })?;
    // a type that nothing uses is checked as well
    for name in types.keys() {
        schema::columns(&types, name, &[])?;
    }
    let datasets = dataset
        .into_iter()
        .map(|(name, entry)| Ok((name.clone(), Arc::new(entry.check(name, &types)?))))
        .collect::<Result<BTreeMap<_, _>, InvalidKey>>()?;
    for (dataset, endpoint) in datasets
        .values()
        .flat_map(|dataset| dataset.endpoints().map(move |endpoint| (dataset, endpoint)))
    {
        let Some(each) = &endpoint.parent else { continue };
        let reason = match datasets.get(&each.dataset).map(|parent| &parent.query) {
            Some(Some(query)) if query.parent.is_none() => continue,
            Some(_) => format!("the ids of `{}` are not had by a query of its own", each.dataset),
            None => format!("there is no dataset `{}` in this file", each.dataset),
        };
        let name = if endpoint.async_job.is_some() { "job" } else { "query" };
        return Err(InvalidKey::new(&format!("dataset.{}.{name}.each", dataset.name), reason));
    }
    let limit = |(name, BucketEntry { requests, per }): (String, BucketEntry)| {
        let per = days(&per)
            .ok_or_else(|| InvalidKey::new(&format!("bucket.{name}.per"), NO_DURATION))?;
        Ok((Arc::from(name), RequestLimit { requests, per, burst: None }))
    };
    Ok(Catalog {
        datasets,
        buckets: bucket.into_iter().map(limit).collect::<Result<_, InvalidKey>>()?,
    })
}

impl DatasetEntry {
    fn check(self, name: String, types: &schema::Types) -> Result<Dataset, InvalidKey> {
        let key = |field: &str| format!("dataset.{name}.{field}");
        let ensure = |good: bool, field: &str, reason: &str| {
            good.then_some(()).ok_or(InvalidKey::new(&key(field), reason))
        };
        ensure(self.version > 0, "version", "versions count from 1")?;
        let known = self.columns.as_ref().is_none_or(|columns| types.contains_key(columns));
        ensure(known, "columns", "there is no such type in this file")?;
        ensure(self.query.is_some() || self.job.is_some(), "query", "say how it is asked for")?;
        let endpoint = |endpoint: Option<EndpointEntry>, field: &str| {
            endpoint.map(|endpoint| endpoint.check(&key(field)).map(Arc::new)).transpose()
        };
        let (query, job) = (endpoint(self.query, "query")?, endpoint(self.job, "job")?);
        let submits = |endpoint: &Option<Arc<Endpoint>>| {
            endpoint.as_ref().map(|endpoint| endpoint.async_job.is_some())
        };
        ensure(submits(&query) != Some(true), "query.submit", "what is submitted is a job")?;
        ensure(submits(&job) != Some(false), "job.submit", "say how the job is submitted")?;
        let id = match self.id {
            OneOrMore::One(id) => vec![id],
            OneOrMore::More(id) => id,
        };
        let (fields, forms) = match &self.columns {
            Some(columns) => schema::row(types, columns)?,
            None => schema::bare(
                &id,
                [&self.time].into_iter().chain(&self.newest),
                self.aliases.values().chain(&self.open),
            ),
        };
        let is = |column: &String, fit: &dyn Fn(&DataType) -> bool| {
            fields.find(column).is_some_and(|field| fit(field.1.data_type()))
        };
        match id.as_slice() {
            [] => return Err(InvalidKey::new(&key("id"), "say which columns identify a row")),
            [one] => ensure(
                is(one, &|t| matches!(t, DataType::Utf8 | DataType::Int64)),
                "id",
                "names no column that is a string or an int64",
            )?,
            more => ensure(
                more.iter().all(|one| is(one, &schema::fits_id)),
                "id",
                "names a column that is not there, or one with times inside",
            )?,
        }
        ensure(
            is(&self.time, &|t| *t == timestamp()),
            "time",
            "names no column that is a timestamp",
        )?;
        let newest = self.newest.as_ref().is_none_or(|newest| is(newest, &|t| *t == timestamp()));
        ensure(newest, "newest", "names no column that is a timestamp")?;
        let open = self.open.as_ref().is_none_or(|open| is(open, &|_| true));
        ensure(open, "open", "names a column that is not there")?;
        ensure(
            self.aliases.values().all(|column| is(column, &|_| true)),
            "aliases",
            "name a column that is not there",
        )?;
        ensure(
            !self.aliases.keys().any(|alias| is(alias, &|_| true)),
            "aliases",
            "an alias is the name of a column",
        )?;
        let never_null = |field: &Arc<Field>| {
            let nullable = id != [field.name().clone()] && *field.name() != self.time;
            Field::clone(field).with_nullable(nullable)
        };
        let duration = |text: &Option<String>, field: &str| match text {
            Some(text) => days(text).ok_or_else(|| InvalidKey::new(&key(field), NO_DURATION)),
            None => Ok(Duration::ZERO),
        };
        Ok(Dataset {
            version: self.version,
            permission: self.permission,
            schema: Arc::new(Schema::new(fields.iter().map(never_null).collect::<Vec<_>>())),
            forms,
            has_columns: self.columns.is_some(),
            synthesizes_time: self.stamp || self.snapshot,
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
            name,
        })
    }
}
