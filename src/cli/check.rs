//! `cxbackfill check`.

use std::sync::Arc;

use crate::{
    cli::sources,
    commands::{check, hosts::Hosts},
    config::{Config, Overrides},
    error::Error,
    exit_code::ExitCode,
    http::transport::{HttpTransport, Transport},
};

/// Prints a line for each thing that a run needs; the exit code is that of the first that is not there.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let mut codes = Vec::new();
    for config in Config::load(overrides)? {
        let source = config.source.as_deref();
        sources::print_heading(source);
        codes.push(sources::exit_code(source, one(&config).await));
    }
    Ok(ExitCode::of_all(&codes))
}

async fn one(config: &Config) -> Result<ExitCode, Error> {
    let transport: Arc<dyn Transport> =
        Arc::new(HttpTransport::new(config.fetch.timeout, config.fetch.max_body)?);
    let place = Hosts::open(config, &transport).await?;
    let mut code = None;
    let tell = |finding: check::Finding| {
        sayln!("{finding}");
        code = code.or(finding.code);
    };
    check::check(config, &place, transport, tell).await;
    if let Some(server) = place.sandbox {
        server.stop().await;
    }
    Ok(code.unwrap_or(ExitCode::Complete))
}
