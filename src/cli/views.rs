//! `cxbackfill views`.

use crate::{
    commands::views::{self, Dialect, ViewsRequest},
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(super) struct ViewsArgs {
    /// The dialect of SQL.
    #[arg(long, value_enum)]
    dialect: Dialect,
    /// Where the database finds the files of the output, if not in its folder: a stage of
    /// Snowflake, such as `@calls/out`, a bucket for BigQuery, such as `gs://calls/out`, or what
    /// DuckDB or Spark read.
    #[arg(long, value_name = "PLACE")]
    location: Option<String>,
    /// The schema of the views; BigQuery's dataset.
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

/// Prints the views of the only source.
pub(super) fn execute(overrides: &Overrides, args: ViewsArgs) -> Result<ExitCode, Error> {
    let scope = config::only(config::load_scopes(overrides)?)?;
    let ViewsArgs { dialect, location, schema } = args;
    say!("{}", views::statements(&scope, ViewsRequest { dialect, location, schema })?);
    Ok(ExitCode::Complete)
}
