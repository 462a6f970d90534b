//! `cxbackfill datasets`.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Dataset,
    cli::sources,
    commands::{
        datasets::{self, DatasetSheet, DatasetTable},
        infer::infer,
        probe,
    },
    config::{self, Config, ConfigError, DatasetSelection, Overrides},
    error::Error,
    exit_code::ExitCode,
};

/// Arguments of `datasets`.
#[derive(Debug, clap::Args)]
pub(super) struct DatasetsArgs {
    /// Says all about one dataset, its columns included.
    name: Option<String>,
    /// Asks the platform for a first page, and prints the types of its rows for the catalogue.
    #[arg(long, requires = "name")]
    infer: bool,
    /// Prints JSON for programs.
    #[arg(long, conflicts_with = "infer")]
    json: bool,
}

/// A source, and the one dataset of it that is meant; none: all.
type Meant<'c> = (&'c DatasetSelection, Option<&'c Arc<Dataset>>);

/// Says what can be fetched from each source.
pub(super) async fn execute(overrides: &Overrides, args: &DatasetsArgs) -> Result<ExitCode, Error> {
    let choices = config::load_selections(overrides)?;
    let meant = match &args.name {
        Some(name) => find(name, &choices)?,
        None => choices.iter().map(|choice| (choice, None)).collect(),
    };
    match &args.name {
        Some(name) if args.infer => print_columns(overrides, name).await?,
        _ if args.json => print_json(&meant, choices.len()),
        _ => meant.into_iter().for_each(print),
    }
    Ok(ExitCode::Complete)
}

/// The dataset of a name in each source that has it.
fn find<'c>(name: &str, choices: &'c [DatasetSelection]) -> Result<Vec<Meant<'c>>, ConfigError> {
    let has =
        |choice: &'c DatasetSelection| Some((choice, Some(choice.catalog.datasets.get(name)?)));
    let found: Vec<_> = choices.iter().filter_map(has).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known = choices.iter().map(|DatasetSelection { platform, catalog, .. }| {
        let names = catalog.datasets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("{} has {names}", platform.name())
    });
    let known = known.collect::<Vec<_>>().join("; ");
    Err(ConfigError::at("datasets", format!("there is no `{name}`: {known}")))
}

fn print((choice, dataset): Meant) {
    sources::print_heading(choice.source.as_deref());
    match dataset {
        Some(dataset) => say!("{}", DatasetSheet(dataset)),
        None => say!("{}", DatasetTable(&choice.catalog)),
    }
}

/// Prints one value for a single source, an object of those that have any for several.
fn print_json(meant: &[Meant], sources: usize) {
    let value = |(choice, dataset): &Meant| match dataset {
        Some(dataset) => datasets::json(dataset),
        None => choice.catalog.datasets.values().map(|dataset| datasets::json(dataset)).collect(),
    };
    let json = match meant {
        [only] if sources == 1 => value(only),
        several => {
            let named = several
                .iter()
                .map(|meant| (meant.0.source.as_deref().unwrap_or_default(), value(meant)));
            json!({ "sources": named.collect::<BTreeMap<_, _>>() })
        }
    };
    sayln!("{json}");
}

/// Prints what columns the first rows of a dataset have.
async fn print_columns(overrides: &Overrides, name: &str) -> Result<(), Error> {
    let config = config::only(Config::load_without_columns(overrides)?)?;
    let page = probe::first_page(config, name, CancellationToken::new()).await?;
    let types = infer(name, page.rows()).map_err(|error| Error::Page(error.to_string()))?;
    match page.rows().len() {
        0 => Err(Error::Page("it has no rows: set job.from to a time that has some".to_owned())),
        rows => {
            sayln!(
                "# As the first {rows} rows have it: read it over, and write `columns = \"{name}\"` into"
            );
            sayln!("# [dataset.{name}].\n\n{types}");
            Ok(())
        }
    }
}
