//! Reads and checks a catalog file.
//!
//! The `*Entry` types have the keys of the file; `check` turns each into what the program uses, or
//! names the invalid key. Start with [`parse`].

mod dataset_entry;
mod endpoint_entry;
mod request_entry;

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use serde::Deserialize;

use crate::{
    catalog::{
        Catalog, Dataset, InvalidKey,
        file::dataset_entry::DatasetEntry,
        personal::{self, PersonalEntry},
        schema,
        schema::Types,
    },
    http::rate_limit::RequestLimit,
};

/// The most types of a file: each is expanded.
const MOST_TYPES: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogFile {
    #[serde(default)]
    bucket: BTreeMap<String, BucketEntry>,
    #[serde(default)]
    dataset: BTreeMap<String, DatasetEntry>,
    #[serde(default)]
    personal: BTreeMap<String, PersonalEntry>,
    personal_version: Option<u32>,
    #[serde(default, rename = "type")]
    types: Types,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketEntry {
    requests: NonZeroU32,
    per: String,
}

pub(super) fn parse(text: &str) -> Result<Catalog, InvalidKey> {
    let toml = toml::Deserializer::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        InvalidKey::new(&format!("line {}", before.matches('\n').count() + 1), error.message())
    })?;
    let file: CatalogFile = serde_path_to_error::deserialize(toml).map_err(|error| {
        let key = error.path().to_string();
        // `toml` adds a key of its own below a `Spanned` value
        let keys = key.split('.').filter(|key| !key.starts_with("$__"));
        InvalidKey::new(&keys.collect::<Vec<_>>().join("."), error.inner().message())
    })?;
    let CatalogFile { bucket, dataset, personal, personal_version, types } = file;
    if types.len() > MOST_TYPES {
        let reason = format!("the file has {} types: at most {MOST_TYPES}", types.len());
        return Err(InvalidKey::new("type", reason));
    }
    for name in types.keys() {
        schema::columns(&types, name)?;
    }
    personal::check(&personal, &types)?;
    let mut datasets = BTreeMap::new();
    for (name, entry) in dataset {
        let mut dataset = entry.check(name.clone(), &types)?;
        dataset.personal = personal::columns(&personal, &dataset);
        dataset.personal_version = personal_version;
        datasets.insert(name, Arc::new(dataset));
    }
    for dataset in datasets.values() {
        check_parents(dataset, &datasets)?;
    }
    let mut buckets = BTreeMap::new();
    for (name, BucketEntry { requests, per }) in bucket {
        let per = parse_duration(&format!("bucket.{name}.per"), &per)?;
        buckets.insert(Arc::from(name), RequestLimit { requests, per, burst: None });
    }
    Ok(Catalog { datasets, buckets })
}

/// Checks that the parent of each endpoint is a dataset whose ids one query lists.
fn check_parents(
    dataset: &Dataset,
    datasets: &BTreeMap<String, Arc<Dataset>>,
) -> Result<(), InvalidKey> {
    for (name, endpoint) in [("query", &dataset.query), ("job", &dataset.job)] {
        let Some(parent) = endpoint.as_ref().and_then(|endpoint| endpoint.parent.as_ref()) else {
            continue;
        };
        let reason = match datasets.get(&parent.dataset).map(|dataset| &dataset.query) {
            Some(Some(query)) if query.parent.is_none() => continue,
            Some(_) => format!(
                "`{}` cannot be a parent: it has no query, or one with a parent of its own",
                parent.dataset
            ),
            None => format!("there is no dataset `{}` in this file", parent.dataset),
        };
        return Err(InvalidKey::new(&format!("dataset.{}.{name}.each", dataset.name), reason));
    }
    Ok(())
}

/// Reads a duration above zero; a day has 24 hours.
fn parse_duration(key: &str, text: &str) -> Result<Duration, InvalidKey> {
    let span: Option<jiff::Span> = text.parse().ok();
    let signed =
        span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    let duration = signed.and_then(|signed| Duration::try_from(signed).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| {
        InvalidKey::new(
            key,
            format!(
                "invalid duration `{text}`: expected a number above zero with a unit, such as `7d`"
            ),
        )
    })
}
