//! `cxbackfill login`.

use std::sync::Arc;

use tracing::Level;
use url::Url;

use crate::{
    auth::Grant,
    cli::interrupted,
    commands::{hosts, login},
    config::{self, Config, Overrides},
    error::Error,
    exit_code::ExitCode,
    http::transport::Transport,
    telemetry,
};

/// Logs a user in with a browser and stores the tokens.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let config = config::only(Config::load(overrides)?)?;
    let grant = &config.auth.credentials.grant;
    if !matches!(grant, Grant::AuthorizationCode) {
        let message = format!(
            "auth.grant is {}, which needs no login: only authorization-code does",
            grant.name()
        );
        telemetry::tell(Level::ERROR, None, &message);
        return Ok(ExitCode::Usage);
    }
    let transport: Arc<dyn Transport> = Arc::new(config.fetch.transport()?);
    let Some(host) = hosts::login_host(&config, &transport).await? else {
        telemetry::tell(
            Level::ERROR,
            None,
            "the embedded sandbox would end with this command: run `cxbackfill sandbox` and set \
             source.api_url and source.login_url to its address",
        );
        return Ok(ExitCode::Usage);
    };
    let source = hosts::token_source(&config, &host, &transport);
    let show_page = |page: &Url| sayln!("open this page and log in:\n{page}");
    let response = tokio::select! {
        response = login::login(&source, &config.browser, show_page) => response?,
        _ = interrupted() => return Ok(ExitCode::Interrupted),
    };
    let cache = config.auth.cache.as_deref().map(|path| path.display().to_string());
    sayln!("logged in: the tokens are in {}", cache.unwrap_or_default());
    if response.refresh.is_none() {
        telemetry::tell(
            Level::WARN,
            None,
            "the server sent no refresh token: log in again when the token expires, or enable \
             refresh tokens for the client",
        );
    }
    Ok(ExitCode::Complete)
}
