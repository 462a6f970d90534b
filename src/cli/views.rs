//! `cxbackfill views`.

use crate::{
    commands::views::{self, Dialect},
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(super) struct ViewsArgs {
    /// The dialect of SQL.
    #[arg(long, value_enum)]
    dialect: Dialect,
}

/// Prints the views of the only source.
pub(super) fn execute(overrides: &Overrides, args: &ViewsArgs) -> Result<ExitCode, Error> {
    let scope = config::only(config::load_scopes(overrides)?)?;
    say!("{}", views::statements(&scope, args.dialect)?);
    Ok(ExitCode::Complete)
}
