//! `cxbackfill drop`.

use indicatif::{HumanBytes, HumanCount};

use crate::{
    cli::{confirm, interval_args::IntervalArgs},
    commands::drop::{DatasetDrop, DropPlan},
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    interval: IntervalArgs,
    /// Drop the interval of this dataset only; can be given several times.
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Prints what is dropped, asks, and drops it.
pub(super) async fn execute(overrides: &Overrides, args: &DropArgs) -> Result<ExitCode, Error> {
    let scope = config::only(config::load_scopes(overrides)?)?;
    let interval = args.interval.interval()?;
    let plan = DropPlan::prepare(&scope, &args.dataset, interval).await?;
    if plan.datasets.is_empty() {
        sayln!("nothing is recorded of {interval}");
        return Ok(ExitCode::Complete);
    }
    for dataset in &plan.datasets {
        sayln!("{}", text(dataset));
    }
    if !args.yes && !confirm::ask(&format!("drop all of it from {interval}?"))? {
        sayln!("nothing was dropped");
        return Ok(ExitCode::Complete);
    }
    plan.execute().await?;
    sayln!("dropped {interval}: the next run fetches what the job asks for of it");
    Ok(ExitCode::Complete)
}

fn text(dropped: &DatasetDrop) -> String {
    let DatasetDrop { name, shards, files, rows, bytes, gaps } = dropped;
    let gaps = match gaps {
        0 => String::new(),
        gaps => format!(", {gaps} failed or accepted intervals"),
    };
    format!(
        "{name}: {} files, {} rows, {} in {shards} committed intervals{gaps}",
        HumanCount(*files),
        HumanCount(*rows),
        HumanBytes(*bytes),
    )
}
