//! `[job]`: what to fetch.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    catalog::{Catalog, Dataset},
    config::{
        layers::{ConfigError, Layers},
        nearest,
        values::{DurationText, invalid_time, is_relative_time, parse_time},
    },
    platform::Platform,
    time::interval::Interval,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobSection {
    pub name: String,
    from: Option<String>,
    to: Option<String>,
    datasets: Vec<String>,
    order: Order,
    pub refresh: DurationText,
    pub grace: DurationText,
    pub follow_open: DurationText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    OldestFirst,
    NewestFirst,
}

impl JobSection {
    pub(super) fn is_newest_first(&self) -> bool {
        self.order == Order::NewestFirst
    }

    /// Whether the end of the interval is relative to the start of the program.
    pub(super) fn to_is_relative(&self) -> bool {
        self.to.as_deref().is_some_and(is_relative_time)
    }

    pub(super) fn interval(&self, layers: &Layers) -> Result<Interval, ConfigError> {
        let (from, from_text) = time(self.from.as_deref(), "job.from", layers)?;
        let (to, to_text) = time(self.to.as_deref(), "job.to", layers)?;
        Interval::between(from, to).ok_or_else(|| {
            let message = format!(
                "the interval is empty: job.from, which is {from_text}, must lie before job.to, \
                 which is {to_text}"
            );
            layers.error("job.to", message)
        })
    }

    pub(super) fn datasets(
        &self,
        platform: Platform,
        catalog: &Catalog,
        layers: &Layers,
    ) -> Result<Vec<Arc<Dataset>>, ConfigError> {
        if self.datasets.is_empty() {
            return Err(
                layers.error("job.datasets", "the list is empty: name at least one dataset")
            );
        }
        let mut datasets: Vec<Arc<Dataset>> = Vec::new();
        for name in &self.datasets {
            let Some(dataset) = catalog.datasets.get(name) else {
                let known: Vec<_> = catalog.datasets.keys().map(String::as_str).collect();
                let message = format!(
                    "there is no dataset `{name}`: {} has {}{}",
                    platform.name(),
                    known.join(", "),
                    nearest::suggestion(name, known.iter().copied())
                );
                return Err(layers.error("job.datasets", message));
            };
            if !datasets.iter().any(|other| other.name == dataset.name) {
                datasets.push(Arc::clone(dataset));
            }
        }
        Ok(datasets)
    }
}

/// One end of the interval, with its text.
fn time<'t>(
    text: Option<&'t str>,
    key: &str,
    layers: &Layers,
) -> Result<(Timestamp, &'t str), ConfigError> {
    let Some(text) = text else {
        let message = "missing: give a time such as 2024-01-01T00:00:00Z or today-30d";
        return Err(layers.error(key, message));
    };
    let time = parse_time(text).ok_or_else(|| layers.error(key, invalid_time(text)))?;
    Ok((time, text))
}
