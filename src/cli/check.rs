//! `cxbackfill check`.

use std::sync::Arc;

use crate::{
    cli::{not_yet_available, sources},
    commands::{
        check::{self, Finding, State},
        hosts::Hosts,
    },
    config::{Config, Overrides},
    error::Error,
    exit_code::ExitCode,
    http::transport::{HttpTransport, Transport},
};

/// Prints a line for each thing that a run needs. The exit code is that of the first that fails;
/// what could not be asked does not change it.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let mut codes = Vec::new();
    for config in Config::load(overrides)? {
        let source = config.source.as_deref();
        sources::print_heading(source);
        not_yet_available::print(source, &config.datasets, config.interval, config.now);
        codes.push(sources::exit_code(source, check_source(&config).await));
    }
    Ok(ExitCode::of_all(&codes))
}

async fn check_source(config: &Config) -> Result<ExitCode, Error> {
    let transport: Arc<dyn Transport> =
        Arc::new(HttpTransport::new(config.fetch.timeout, config.fetch.max_body)?);
    let hosts = Hosts::open(config, &transport).await?;
    let mut first_failure = None;
    let print = |finding: Finding| {
        sayln!("{finding}");
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
