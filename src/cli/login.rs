//! `cxbackfill login`.

use std::sync::Arc;

use crate::{
    auth::{
        Grant,
        token::{TokenClient, TokenSource},
    },
    cli::interrupted,
    commands::{hosts, login},
    config::{self, Config, Overrides},
    error::Error,
    exit_code::ExitCode,
    http::{
        rate_limit::{QuotaKey, RateLimit},
        transport::{HttpTransport, Transport},
    },
    telemetry::metrics::Metrics,
};

/// Has a user log in with a browser, and stores the tokens.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let config = config::only(Config::load(overrides)?)?;
    if !matches!(config.auth.credentials.grant, Grant::AuthorizationCode) {
        eprintln!(
            "error: auth.grant is {}, which needs no login: it is for authorization-code",
            config.auth.credentials.grant.name()
        );
        return Ok(ExitCode::Usage);
    }
    let transport: Arc<dyn Transport> =
        Arc::new(HttpTransport::new(config.fetch.timeout, config.fetch.max_body)?);
    let Some(host) = hosts::login_host(&config, &transport).await? else {
        eprintln!(
            "error: the embedded sandbox would end with this command: run `cxbackfill sandbox` and give its \
             address as source.api_url and source.login_url"
        );
        return Ok(ExitCode::Usage);
    };
    let door = TokenClient {
        transport,
        rate_limit: Arc::new(RateLimit::new(config.quota_settings.clone())),
        key: QuotaKey { credential: config.auth.credentials.name().into(), bucket: "login".into() },
        metrics: Arc::new(Metrics::default()),
    };
    let account = TokenSource::new(host, &config.auth, door);
    let show = |page: &url::Url| sayln!("open this page and log in:\n{page}");
    tokio::select! {
        minted = login::login(&account, &config.browser, show) => {
            let minted = minted?;
            let cache = config.auth.cache.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
            sayln!("logged in: the tokens are in {cache}");
            if minted.refresh.is_none() {
                eprintln!("warning: there is no refresh token: log in again when the token ends, or enable them for the client");
            }
            Ok(ExitCode::Complete)
        }
        _ = interrupted() => Ok(ExitCode::Interrupted),
    }
}
