//! `cxbackfill check`.

use std::sync::Arc;

use crate::{
    cli::{
        not_yet_available, sources,
        table::{Column, Table},
    },
    commands::{
        check::{self, Finding, State},
        hosts::Hosts,
    },
    config::{Config, Overrides, SourceConfig},
    error::Error,
    exit_code::ExitCode,
    http::transport::Transport,
};

/// Prints a line for each thing that a run needs. The exit code is that of the first that fails;
/// what could not be asked does not change it.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let mut codes = Vec::new();
    for source in Config::load_each(overrides)? {
        let name = source.name.as_deref();
        sources::print_heading(name);
        codes.push(sources::exit_code(name, check_source(&source).await));
    }
    Ok(ExitCode::of_all(&codes))
}

async fn check_source(source: &SourceConfig) -> Result<ExitCode, Error> {
    let config = source.config()?;
    let name = config.source.as_deref();
    not_yet_available::print(name, &config.datasets, config.interval, config.now);
    let transport: Arc<dyn Transport> = Arc::new(config.fetch.transport()?);
    let hosts = Hosts::open(config, &transport).await?;
    let mut first_failure = None;
    let print = |finding: Finding| {
        say!("{}", line(&finding));
        if let State::Failed(code) = finding.state {
            first_failure.get_or_insert(code);
        }
    };
    check::check(config, &hosts, transport, print).await;
    if let Some(server) = hosts.sandbox {
        server.stop().await;
    }
    Ok(first_failure.unwrap_or(ExitCode::Complete))
}

/// A finding as one line, with its end. Lines are printed as they come, so the columns have a width
/// that fits every name.
fn line(finding: &Finding) -> Table {
    let state = match finding.state {
        State::Ok => "ok",
        State::Failed(_) => "FAIL",
        State::Unknown => "unknown",
    };
    let mut line = Table::new(&[Column::Left(12), Column::Left(7), Column::Left(0)]);
    line.row([finding.name, state, finding.text.as_str()]);
    line
}
