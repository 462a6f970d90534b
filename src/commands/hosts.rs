//! Where the API and its login are, once somebody has looked.

use std::sync::Arc;

use url::Url;

use crate::{
    auth::token::{TokenClient, TokenSource},
    config::{Config, HostSettings},
    error::Error,
    http::{
        rate_limit::{QuotaKey, RateLimit},
        transport::Transport,
    },
    platform::discovery::{self, DiscoverError},
    sandbox,
};

/// The hosts that a command talks to.
pub(crate) struct Hosts {
    /// The API.
    pub api: Url,
    /// Its login: the host, or with a path the token endpoint itself.
    pub login: Url,
    /// The simulator that plays both, where it runs in this process.
    pub sandbox: Option<sandbox::Server>,
}

impl Hosts {
    /// Finds the hosts; starts the sandbox where that is what they are.
    ///
    /// # Errors
    /// Where the sandbox cannot listen, or the platform does not tell its hosts.
    pub(crate) async fn open(
        config: &Config,
        transport: &Arc<dyn Transport>,
    ) -> Result<Self, Error> {
        match config.hosts.clone() {
            HostSettings::Network { api, login } => Ok(Self { api, login, sandbox: None }),
            HostSettings::Discovered { issuer, tenant } => {
                Ok(find(config, transport, &issuer, tenant).await?)
            }
            HostSettings::Sandbox(settings) => {
                let port = settings.port;
                let server = sandbox::Server::start(settings)
                    .await
                    .map_err(|source| Error::Sandbox { port, source })?;
                Ok(Self {
                    api: server.url().clone(),
                    login: server.url().clone(),
                    sandbox: Some(server),
                })
            }
        }
    }
}

/// Where a user logs in: nobody has a token by then, so the API may not be known yet. None in the
/// sandbox of this process, which would end with the login.
///
/// # Errors
/// Where the platform does not tell its hosts.
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

/// Asks the issuer. Where nobody says which tenant it is, that costs a token.
async fn find(
    config: &Config,
    transport: &Arc<dyn Transport>,
    issuer: &Url,
    tenant: Option<String>,
) -> Result<Hosts, DiscoverError> {
    let login = discovery::token_endpoint(transport.as_ref(), issuer).await?;
    let tenant = match tenant {
        Some(tenant) => tenant,
        None => {
            let client = TokenClient {
                transport: Arc::clone(transport),
                rate_limit: Arc::new(RateLimit::new(config.quota_settings.clone())),
                key: QuotaKey {
                    credential: config.auth.credentials.name().into(),
                    bucket: "login".into(),
                },
                metrics: Arc::default(),
            };
            discovery::tenant(
                &TokenSource::new(login.clone(), &config.auth, client).renew().await?,
            )?
        }
    };
    let api = discovery::api(transport.as_ref(), issuer, &tenant).await?;
    tracing::info!(%api, %login, "the hosts, as the issuer tells them");
    Ok(Hosts { api, login, sandbox: None })
}
