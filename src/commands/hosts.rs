//! The hosts of the API and of its login.

use std::sync::Arc;

use url::Url;

use crate::{
    auth::token::{TokenClient, TokenSource},
    config::{Config, HostSettings},
    error::Error,
    http::{rate_limit::RateLimit, transport::Transport},
    platform::{
        discovery::{self, DiscoverError},
        issuer::Issuer,
    },
    sandbox,
};

/// The hosts that a command sends requests to.
pub(crate) struct Hosts {
    pub api: Url,
    /// The login host, or with a path the token endpoint itself.
    pub login: Url,
    /// The simulator of both. `None` unless it runs in this process.
    pub sandbox: Option<sandbox::Server>,
}

impl Hosts {
    /// Finds the hosts. Starts the sandbox if the configuration says so.
    ///
    /// # Errors
    /// If the sandbox cannot listen, or the platform does not publish its hosts.
    pub(crate) async fn open(
        config: &Config,
        transport: &Arc<dyn Transport>,
    ) -> Result<Self, Error> {
        match config.hosts.clone() {
            HostSettings::Network { api, login } => Ok(Self { api, login, sandbox: None }),
            HostSettings::Discovered { issuer, tenant } => {
                Ok(discover(config, transport, &issuer, tenant).await?)
            }
            HostSettings::Sandbox(settings) => {
                let port = settings.port;
                let server = sandbox::Server::start(settings)
                    .await
                    .map_err(|source| Error::Sandbox { port, source })?;
                let url = server.url().clone();
                Ok(Self { api: url.clone(), login: url, sandbox: Some(server) })
            }
        }
    }
}

/// The host where a user logs in, which does not need the API, since there is no token yet. `None`
/// for the sandbox of this process, which would end with the login.
///
/// # Errors
/// If the platform does not publish its hosts.
pub(crate) async fn login_host(
    config: &Config,
    transport: &Arc<dyn Transport>,
) -> Result<Option<Url>, Error> {
    match &config.hosts {
        HostSettings::Network { login, .. } => Ok(Some(login.clone())),
        HostSettings::Discovered { issuer, .. } => {
            Ok(Some(discovery::token_endpoint(transport.as_ref(), issuer).await?))
        }
        HostSettings::Sandbox(_) => Ok(None),
    }
}

/// A source of tokens for a command that sends a few requests and ends, under a quota of its own.
pub(crate) fn token_source(
    config: &Config,
    login: &Url,
    transport: &Arc<dyn Transport>,
) -> TokenSource {
    let rate_limit = Arc::new(RateLimit::new(config.quota_settings.clone()));
    let transport = Arc::clone(transport);
    let client = TokenClient::new(&config.auth.credentials, transport, rate_limit, Arc::default());
    TokenSource::new(login.clone(), &config.auth, client)
}

/// Reads the hosts from the issuer's documents. Costs a token if no tenant is configured.
async fn discover(
    config: &Config,
    transport: &Arc<dyn Transport>,
    issuer: &Issuer,
    tenant: Option<String>,
) -> Result<Hosts, DiscoverError> {
    let login = discovery::token_endpoint(transport.as_ref(), issuer).await?;
    let tenant = match tenant {
        Some(tenant) => tenant,
        None => discovery::tenant(&token_source(config, &login, transport).renew().await?)?,
    };
    let api = discovery::api(transport.as_ref(), issuer, &tenant).await?;
    tracing::info!(%api, %login, "read the hosts from the issuer");
    Ok(Hosts { api, login, sandbox: None })
}
