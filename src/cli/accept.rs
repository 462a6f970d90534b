//! `cxbackfill accept`.

use jiff::Timestamp;

use crate::{
    commands::accept,
    config::{self, ConfigError, Overrides, values::time_argument},
    error::Error,
    exit_code::ExitCode,
    ledger::AcceptedInterval,
    time::interval::Interval,
};

#[derive(Debug, clap::Args)]
pub(super) struct AcceptArgs {
    /// The dataset that has the gaps.
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// The start of the interval, such as 2024-01-01T00:00:00Z, 2024-01-01 or today-7d.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    from: Timestamp,
    /// The end of the interval, which it does not contain.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    to: Timestamp,
    /// Why the gaps can never be closed, for those who read the status later.
    #[arg(long)]
    reason: String,
}

/// Accepts the gaps of an interval, and prints them.
pub(super) fn execute(overrides: &Overrides, args: AcceptArgs) -> Result<ExitCode, Error> {
    let job = config::only(config::load_scopes(overrides)?)?;
    let AcceptArgs { dataset, from, to, reason } = args;
    let interval = Interval::between(from, to).ok_or_else(|| {
        ConfigError::at("--from", format!("{from} must be before --to, which is {to}"))
    })?;
    let accepted = AcceptedInterval { dataset, interval, reason };
    for gap in accept::accept(&job, &accepted)? {
        sayln!("accepted {} {}: {}: {}", gap.dataset, gap.interval, gap.cause.name(), gap.reason);
    }
    Ok(ExitCode::Complete)
}
