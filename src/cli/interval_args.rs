//! The interval that a command is about.

use jiff::Timestamp;

use crate::{
    config::{ConfigError, values::time_argument},
    time::interval::Interval,
};

/// An interval, as two arguments.
#[derive(Debug, clap::Args)]
pub(super) struct IntervalArgs {
    /// The start of the interval, such as 2024-01-01T00:00:00Z, 2024-01-01 or today-7d.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    from: Timestamp,
    /// The end of the interval, which it does not contain.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    to: Timestamp,
}

impl IntervalArgs {
    /// # Errors
    /// If the interval would be empty.
    pub(super) fn interval(&self) -> Result<Interval, ConfigError> {
        let Self { from, to } = *self;
        let message = || format!("{from} must be before --to, which is {to}");
        Interval::between(from, to).ok_or_else(|| ConfigError::at("--from", message()))
    }
}

/// Refuses a start and an end that are not in this order, if both are given.
pub(super) fn check_order(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<(), ConfigError> {
    let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
    IntervalArgs { from, to }.interval().map(|_| ())
}
