//! `[filter.NAME]`: what narrows the rows of a dataset.

use std::sync::Arc;

use crate::{
    catalog::Dataset,
    config::{
        Filters,
        layers::{ConfigError, Layers},
    },
};

/// Checks that each filter belongs to a dataset of the job, and does not set a key that paging and
/// ownership rely on.
pub(super) fn check(
    filters: &Filters,
    datasets: &[Arc<Dataset>],
    layers: &Layers,
) -> Result<(), ConfigError> {
    for (name, filter) in filters {
        let Some(dataset) = datasets.iter().find(|dataset| dataset.name == *name) else {
            let known: Vec<_> = datasets.iter().map(|dataset| dataset.name.as_str()).collect();
            let known = known.join(", ");
            let message = match layers.listed() {
                None => format!("the job does not fetch `{name}`: it fetches {known}"),
                Some(source) => format!(
                    "the source {source} does not fetch `{name}`: it fetches {known}; \
                     write the filter of one source as [source.filter.{name}]"
                ),
            };
            return Err(layers.error(&format!("filter.{name}"), message));
        };
        let mut reserved = dataset.endpoints().flat_map(|endpoint| endpoint.reserved_keys());
        if let Some(key) = reserved.find(|key| filter.contains_key(*key)) {
            let message = format!("the dataset {name} sets `{key}` itself: leave it out");
            return Err(layers.error(&format!("filter.{name}.{key}"), message));
        }
    }
    Ok(())
}
