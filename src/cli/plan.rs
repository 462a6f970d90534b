//! `cxbackfill plan`.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::{
    cli::sources,
    commands::{
        estimate::{Estimate, EstimateTable},
        probe, remaining,
    },
    config::{Config, Overrides},
    error::Error,
    exit_code::ExitCode,
};

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// Asks the platform how many rows there are, at the cost of a request a day that is left.
    #[arg(long)]
    probe: bool,
    /// Prints one JSON object for programs.
    #[arg(long)]
    json: bool,
}

/// Says what a run of each source would cost.
pub(super) async fn execute(overrides: &Overrides, args: &PlanArgs) -> Result<ExitCode, Error> {
    let configs = Config::load(overrides)?;
    let (mut known, mut codes) = (BTreeMap::new(), Vec::new());
    for config in &configs {
        let source = config.source.as_deref();
        let estimates = estimate(config, args.probe).await;
        codes.push(sources::exit_code(
            source,
            estimates.map(|estimates| known.insert(source, estimates)).map(|_| ExitCode::Complete),
        ));
    }
    if args.json {
        let json = match (configs.len(), known.values().next()) {
            (1, only) => serde_json::to_string(&only),
            _ => serde_json::to_string(&serde_json::json!({ "sources": known })),
        };
        sayln!("{}", json.unwrap_or_default());
    }
    for (source, estimates) in known.iter().filter(|_| !args.json) {
        sources::print_heading(*source);
        say!("{}", EstimateTable(estimates));
    }
    if known.values().flat_map(BTreeMap::values).any(|estimate| estimate.requests.is_none()) {
        eprintln!(
            "nobody knows yet how many rows there are: `cxbackfill plan --probe` asks, a request a day"
        );
    }
    Ok(ExitCode::of_all(&codes))
}

async fn estimate(config: &Config, probe: bool) -> Result<BTreeMap<String, Estimate>, Error> {
    if probe {
        probe::probe(config, CancellationToken::new()).await?;
    }
    remaining::estimate(config)
}
