//! `cxbackfill plan`.

use std::collections::BTreeMap;

use indicatif::{HumanBytes, HumanCount};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::{
    cli::{
        not_yet_available, sources,
        table::{Column, Table},
    },
    commands::{estimate::Estimate, probe, remaining},
    config::{Config, Overrides, SourceConfig},
    error::Error,
    exit_code::ExitCode,
    telemetry,
};

#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// Ask the platform first how many rows there are: one request per day that is left to fetch.
    #[arg(long)]
    probe: bool,
    /// Print one JSON object for programs.
    #[arg(long)]
    json: bool,
}

/// The estimates of one source, by dataset.
type Estimates = BTreeMap<String, Estimate>;

/// Prints what a run of each source would cost.
pub(super) async fn execute(overrides: &Overrides, args: &PlanArgs) -> Result<ExitCode, Error> {
    let configured = Config::load_each(overrides)?;
    let (mut estimates, mut codes) = (BTreeMap::new(), Vec::new());
    for source in &configured {
        let name = source.name.as_deref();
        let result = estimate(source, args.probe).await;
        let code = result.map(|of_source| {
            estimates.insert(name, of_source);
            ExitCode::Complete
        });
        codes.push(sources::exit_code(name, code));
    }
    if args.json {
        let json = match (configured.len(), estimates.values().next()) {
            (1, only) => serde_json::to_string(&only),
            _ => {
                let named = estimates.iter().map(|(name, all)| (name.unwrap_or_default(), all));
                serde_json::to_string(&BTreeMap::from([("sources", BTreeMap::from_iter(named))]))
            }
        };
        sayln!("{}", json.unwrap_or_default());
    } else {
        for (source, of_source) in &estimates {
            sources::print_heading(*source);
            for (dataset, estimate) in of_source {
                say!("{dataset}\n{}", table(estimate));
            }
        }
    }
    let mut all = estimates.values().flat_map(Estimates::values);
    if all.any(|estimate| estimate.requests.is_none()) {
        telemetry::tell(
            Level::INFO,
            None,
            "the number of rows is not known yet: `cxbackfill plan --probe` asks for it, with one \
             request per day",
        );
    }
    Ok(ExitCode::of_all(&codes))
}

async fn estimate(source: &SourceConfig, probe: bool) -> Result<Estimates, Error> {
    let config = source.config()?;
    let name = config.source.as_deref();
    not_yet_available::print(name, &config.datasets, config.interval, config.now);
    if probe {
        probe::probe(config, CancellationToken::new()).await?;
    }
    remaining::estimate(config)
}

fn table(estimate: &Estimate) -> Table {
    let count = |number: u64| HumanCount(number).to_string();
    let count_or_unknown = |number: Option<u64>| number.map_or("unknown".to_owned(), count);
    let (days, committed_days) = (estimate.hours / 24.0, estimate.committed_hours / 24.0);
    let days = format!("{days:.1} days left, {committed_days:.1} days committed");
    let endpoints =
        [("by query", estimate.requests_by_query), ("by job", estimate.requests_by_job)];
    let mut by_endpoint = Vec::new();
    for (endpoint, requests) in endpoints {
        by_endpoint.extend(requests.map(|requests| format!("{} {endpoint}", count(requests))));
    }
    let columns = [Column::Left(14), Column::Right(10), Column::Left(0)];
    let mut table = Table::new(&columns).indented(2);
    table.row(["shards", &count(estimate.shards), &days]);
    table.row(["rows", &count_or_unknown(estimate.rows)]);
    table.row(["requests", &count_or_unknown(estimate.requests), &by_endpoint.join(", ")]);
    if let Some(seconds) = estimate.seconds {
        table.row(["minutes", &format!("{:.1}", seconds / 60.0), "at the present quota"]);
    }
    if let Some(bytes) = estimate.bytes {
        table.row(["size", &HumanBytes(bytes).to_string(), "as Parquet"]);
    }
    table
}
