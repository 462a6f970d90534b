//! `cxbackfill drop`.

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;

use crate::{
    cli::confirm,
    commands::drop::{DatasetDrop, DropPlan},
    config::{self, ConfigError, Overrides, values::time_argument},
    error::Error,
    exit_code::ExitCode,
    time::interval::Interval,
};

#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    /// The start of the interval, such as 2024-01-01T00:00:00Z, 2024-01-01 or today-7d.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    from: Timestamp,
    /// The end of the interval, which it does not contain.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    to: Timestamp,
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
    let DropArgs { from, to, .. } = args;
    let interval = Interval::between(*from, *to).ok_or_else(|| {
        ConfigError::at("--from", format!("{from} must be before --to, which is {to}"))
    })?;
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
