//! How a token is asked for: with what is at hand, in the order of what it costs.
//!
//! A token that another process left in the cache, a refresh token, the grant itself. Nothing here
//! tries twice: a fault goes to whoever asked, and `retry` decides about it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    auth::{
        self, Credentials, Grant, GrantParams, TokenResponse, pkce,
        token::{
            RenewalPolicy,
            cache::{Cache, CacheEntry, CacheError, LockedCache},
        },
    },
    blocking::offload,
    http::{
        error::TokenError,
        rate_limit::{QuotaKey, RateLimit},
        transport::Transport,
    },
    telemetry::metrics::Metrics,
    time::clock,
};

/// How long another process that holds the cache's lock is left to finish.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who asks for tokens, and what is done with them: `[auth]`, checked.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Who asks for tokens, and how.
    pub credentials: Credentials,
    /// When a token is renewed.
    pub renewal: RenewalPolicy,
    /// Where tokens outlive the process; none: nowhere.
    pub cache: Option<PathBuf>,
}

/// Who asks for tokens, and with what.
pub struct TokenSource {
    /// The login host.
    pub host: Url,
    /// Who asks.
    pub credentials: Credentials,
    /// When a token is renewed.
    pub renewal: RenewalPolicy,
    cache: Option<Cache>,
    client: TokenClient,
    /// What earlier calls left. Never held over an await.
    memory: Mutex<SourceState>,
}

/// What a token request passes on its way out.
pub struct TokenClient {
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Token calls pay a key of their own.
    pub rate_limit: Arc<RateLimit>,
    /// That key.
    pub key: QuotaKey,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
}

/// What a process knows of its tokens beside the current one.
#[derive(Debug, Default)]
struct SourceState {
    /// The token that was handed out last: when a token is asked for, this one will not do.
    handed: Option<SecretString>,
    /// What gives the next one.
    refresh: Option<SecretString>,
    /// Whether `refresh` is newer than what the cache holds, since that could not be written.
    unstored: bool,
}

impl TokenSource {
    /// The account that `auth` describes, at the login host `host`.
    pub fn new(host: Url, auth: &AuthSettings, client: TokenClient) -> Self {
        let cache =
            auth.cache.clone().map(|path| Cache::new(path, &host, &auth.credentials.name()));
        let (credentials, renewal) = (auth.credentials.clone(), auth.renewal);
        Self { host, credentials, renewal, cache, client, memory: Mutex::default() }
    }

    /// One new token. It waits for nothing but its permits, and sends at most one request for each
    /// thing that it can offer: the refresh token, and when that is rejected the credentials.
    pub async fn renew(&self) -> Result<TokenResponse, TokenError> {
        let held = self.memory().refresh.clone();
        let response = match (&self.credentials.grant, &self.cache) {
            (Grant::Static(token), _) => self.given(token)?,
            (_, None) => self.ask(held.or_else(|| self.configured())).await?,
            (_, Some(cache)) => self.through(cache).await?,
        };
        let mut memory = self.memory();
        memory.handed = Some(response.secret.clone());
        memory.refresh.clone_from(&response.refresh);
        Ok(response)
    }

    /// Trades the code of a user's login in, and stores what came: without the cache nobody would
    /// ever have it.
    ///
    /// # Errors
    /// A [`TokenError`] where the code is refused, or what came of it cannot be kept.
    pub async fn exchange_code(
        &self,
        code: &pkce::AuthorizationCode,
    ) -> Result<TokenResponse, TokenError> {
        let fault = |error: CacheError| self.cache_fault(&error);
        let Some(cache) = self.cache.clone() else {
            return Err(auth::refused(
                &self.host,
                "there is no auth.cache to keep it in",
                CacheError::ADVICE,
            ));
        };
        let locked =
            offload(move || cache.lock()).await.map_err(fault)?.ok_or_else(|| self.busy())?;
        let response = self.request(&GrantParams::AuthorizationCode(code)).await?;
        let entry = CacheEntry::new(&response, clock::now(), None);
        offload(move || locked.write(&entry)).await.map_err(fault)?;
        Ok(response)
    }

    /// The token that the configuration gives: good until it is not.
    fn given(&self, token: &SecretString) -> Result<TokenResponse, TokenError> {
        if self.memory().handed.is_some() {
            return Err(auth::refused(
                &self.host,
                "the token that auth.token gives was rejected",
                self.advice(),
            ));
        }
        Ok(TokenResponse { secret: token.clone(), lifetime: None, refresh: None, id_token: None })
    }

    /// Asks under the lock of the cache, so that no two processes spend one refresh token, and
    /// stores what came before anybody uses it.
    async fn through(&self, cache: &Cache) -> Result<TokenResponse, TokenError> {
        let (shared, fault) = (cache.clone(), |error| self.cache_fault(&error));
        let locked = offload(move || shared.lock()).await.map_err(fault)?;
        let locked = locked.ok_or_else(|| self.busy())?;
        let (locked, entry) =
            offload(move || locked.read().map(|entry| (locked, entry))).await.map_err(fault)?;
        if let Some(response) = entry.as_ref().and_then(|entry| self.reusable(entry)) {
            tracing::debug!("the cache has a token that will do");
            return Ok(response);
        }
        let response = self.ask(self.choose(entry.as_ref())).await?;
        self.store(locked, &response).await;
        Ok(response)
    }

    /// Stores a token. A disk that is full now may not be later: the run goes on with what it has.
    async fn store(&self, locked: LockedCache, response: &TokenResponse) {
        let entry = CacheEntry::new(response, clock::now(), self.configured().as_ref());
        let stored = offload(move || locked.write(&entry)).await;
        self.memory().unstored = stored.is_err();
        if let Err(error) = stored {
            tracing::error!(%error, "the new token is not stored: a run after this one may have to log in again");
        }
    }

    /// A cached token that is not the one that will not do, and is not due for renewal.
    fn reusable(&self, entry: &CacheEntry) -> Option<TokenResponse> {
        let handed = self.memory().handed.as_ref().map(|token| token.expose_secret().to_owned());
        let fresh = entry
            .lifetime_left(clock::now(), self.renewal)
            .filter(|_| entry.comes_from(self.configured().as_ref()))?;
        (handed.as_deref() != Some(entry.token.expose_secret())).then(|| TokenResponse {
            secret: entry.token.clone(),
            lifetime: fresh,
            refresh: entry.refresh.clone(),
            id_token: None,
        })
    }

    /// The refresh token to offer. What the cache holds is the newest, since another process may
    /// have replaced ours; unless it could not be written, or the configuration gives a new one.
    fn choose(&self, entry: Option<&CacheEntry>) -> Option<SecretString> {
        let (memory, configured) = (self.memory(), self.configured());
        let cached =
            entry.filter(|entry| !memory.unstored && entry.comes_from(configured.as_ref()));
        cached
            .and_then(|entry| entry.refresh.clone())
            .or_else(|| memory.refresh.clone())
            .or(configured)
    }

    fn configured(&self) -> Option<SecretString> {
        match &self.credentials.grant {
            Grant::RefreshToken(token) => Some(token.clone()),
            _ => None,
        }
    }

    /// Asks with the refresh token; without one, or where it is rejected, with the credentials.
    async fn ask(&self, refresh: Option<SecretString>) -> Result<TokenResponse, TokenError> {
        let alone = self.credentials.grant.stands_alone();
        if let Some(token) = refresh {
            match self.request(&GrantParams::Refresh(&token)).await {
                Ok(response) => {
                    return Ok(TokenResponse {
                        refresh: response.refresh.or(Some(token)),
                        ..response
                    });
                }
                Err(fault) if alone && fault.permanent => {
                    tracing::info!(%fault, "the refresh token is of no use: asking with the credentials");
                    self.memory().refresh = None;
                }
                Err(fault) => return Err(fault),
            }
        } else if !alone {
            return Err(auth::refused(&self.host, "there is no refresh token", self.advice()));
        }
        self.request(&GrantParams::Credentials).await
    }

    /// One request.
    pub async fn request(
        &self,
        grant_params: &GrantParams<'_>,
    ) -> Result<TokenResponse, TokenError> {
        let endpoint = self.credentials.endpoint(&self.host, grant_params);
        let permit = self.client.rate_limit.admit(&self.client.key).await;
        self.client.metrics.token_requests.add(1);
        let request = self
            .credentials
            .request(&endpoint, grant_params)
            .map_err(|error| auth::refused(&endpoint, error.to_string(), self.advice()))?;
        let sent = self.client.transport.send(request).await;
        let reply = sent.map_err(|fault| auth::fault_at(&endpoint, &fault))?;
        permit.answered(reply.status(), reply.headers());
        auth::read_reply(&endpoint, &reply).map_err(|fault| TokenError {
            reason: self.credentials.redact(&fault.reason, grant_params),
            advice: self.advice(),
            ..fault
        })
    }

    fn busy(&self) -> TokenError {
        let reason = "another process is renewing the token in auth.cache".to_owned();
        TokenError {
            endpoint: self.host.to_string(),
            reason,
            permanent: false,
            wait: PATIENCE,
            advice: "",
        }
    }

    fn cache_fault(&self, error: &CacheError) -> TokenError {
        auth::refused(&self.host, error.to_string(), CacheError::ADVICE)
    }

    fn advice(&self) -> &'static str {
        self.credentials.grant.advice()
    }

    fn memory(&self) -> MutexGuard<'_, SourceState> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
