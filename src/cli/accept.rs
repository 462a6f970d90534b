//! `cxbackfill accept`.

use crate::{
    cli::interval_args::IntervalArgs,
    commands::accept,
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
    ledger::AcceptedInterval,
};

#[derive(Debug, clap::Args)]
pub(super) struct AcceptArgs {
    /// The dataset that has the gaps.
    #[arg(long, value_name = "NAME")]
    dataset: String,
    #[command(flatten)]
    interval: IntervalArgs,
    /// Why the gaps can never be closed, for those who read the status later.
    #[arg(long)]
    reason: String,
}

/// Accepts the gaps of an interval, and prints them.
pub(super) fn execute(overrides: &Overrides, args: AcceptArgs) -> Result<ExitCode, Error> {
    let job = config::only(config::load_scopes(overrides)?)?;
    let AcceptArgs { dataset, interval, reason } = args;
    let accepted = AcceptedInterval { dataset, interval: interval.interval()?, reason };
    for gap in accept::accept(&job, &accepted)? {
        sayln!("accepted {} {}: {}: {}", gap.dataset, gap.interval, gap.cause.name(), gap.reason);
    }
    Ok(ExitCode::Complete)
}
