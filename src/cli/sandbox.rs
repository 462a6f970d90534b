//! `cxbackfill sandbox`.

use crate::{
    cli::interrupted,
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
    sandbox::Server,
};

/// Serves the API simulator until the process is interrupted.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let settings = config::load_sandbox(overrides)?;
    let port = settings.port;
    let server = Server::start(settings).await.map_err(|source| Error::Sandbox { port, source })?;
    sayln!("listening on {}", server.url().as_str().trim_end_matches('/'));
    interrupted().await.map_err(Error::Signals)?;
    server.stop().await;
    Ok(ExitCode::Complete)
}
