//! `cxbackfill datasets`.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Dataset,
    cli::{dataset_text, sources},
    commands::{datasets, infer::infer, probe},
    config::{self, Config, ConfigError, DatasetSelection, Overrides, nearest},
    error::Error,
    exit_code::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(super) struct DatasetsArgs {
    /// Describe this dataset only, with its columns.
    name: Option<String>,
    /// Request the first page of the dataset, and print the types of its rows for a catalog.
    #[arg(long, requires = "name")]
    infer: bool,
    /// Print JSON for programs.
    #[arg(long, conflicts_with = "infer")]
    json: bool,
}

/// A source, and the dataset of it that was named. `None` if all datasets are wanted.
type Selected<'s> = (&'s DatasetSelection, Option<&'s Arc<Dataset>>);

/// Prints the datasets of each source.
pub(super) async fn execute(overrides: &Overrides, args: &DatasetsArgs) -> Result<ExitCode, Error> {
    let sources = config::load_selections(overrides)?;
    let selected = match &args.name {
        Some(name) => find(name, &sources)?,
        None => sources.iter().map(|source| (source, None)).collect(),
    };
    match &args.name {
        Some(name) if args.infer => print_inferred_types(overrides, name).await?,
        _ if args.json => print_json(&selected, sources.len()),
        _ => print_text(&selected),
    }
    Ok(ExitCode::Complete)
}

/// The dataset of this name in each source that has it.
fn find<'s>(name: &str, sources: &'s [DatasetSelection]) -> Result<Vec<Selected<'s>>, ConfigError> {
    let (mut found, mut known) = (Vec::new(), Vec::new());
    for source in sources {
        if let Some(dataset) = source.catalog.datasets.get(name) {
            found.push((source, Some(dataset)));
        }
        let names: Vec<_> = source.catalog.datasets.keys().map(String::as_str).collect();
        known.push(format!("{} has {}", source.platform.name(), names.join(", ")));
    }
    if found.is_empty() {
        let names = sources.iter().flat_map(|source| source.catalog.datasets.keys());
        let suggestion = nearest::suggestion(name, names.map(String::as_str));
        let message = format!("there is no dataset `{name}`: {}{suggestion}", known.join("; "));
        return Err(ConfigError::at("datasets", message));
    }
    Ok(found)
}

fn print_text(selected: &[Selected]) {
    for (source, dataset) in selected {
        sources::print_heading(source.source.as_deref());
        match dataset {
            Some(dataset) => say!("{}", dataset_text::description(dataset)),
            None => say!("{}", dataset_text::table(&source.catalog)),
        }
    }
}

/// Prints the value of a single source, or an object with the value of each of several sources.
fn print_json(selected: &[Selected], sources: usize) {
    let value = |(source, dataset): &Selected| match dataset {
        Some(dataset) => datasets::json(dataset),
        None => source.catalog.datasets.values().map(|dataset| datasets::json(dataset)).collect(),
    };
    let json = match selected {
        [only] if sources == 1 => value(only),
        several => {
            let mut by_name = BTreeMap::new();
            for selected in several {
                by_name.insert(selected.0.source.as_deref().unwrap_or_default(), value(selected));
            }
            json!({ "sources": by_name })
        }
    };
    sayln!("{json}");
}

/// Prints the types of the first rows of a dataset.
async fn print_inferred_types(overrides: &Overrides, name: &str) -> Result<(), Error> {
    let config = config::only(Config::load_without_columns(overrides)?)?;
    let page = probe::first_page(config, name, CancellationToken::new()).await?;
    let types = infer(name, page.rows()).map_err(|error| Error::Page(error.to_string()))?;
    match page.rows().len() {
        0 => Err(Error::Page("it has no rows: set job.from to a time with rows".to_owned())),
        rows => {
            sayln!(
                "# Inferred from the first {rows} rows: check the types, and write \
                 `columns = \"{name}\"` into"
            );
            sayln!("# [dataset.{name}].\n\n{types}");
            Ok(())
        }
    }
}
