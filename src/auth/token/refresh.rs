//! Where tokens come from, the cheapest source first: a token that another process left in the
//! cache, a refresh token, the credentials.
//!
//! Nothing here retries: errors go to the caller, and `retry` decides about them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    auth::{
        Credentials, Grant, GrantParams, TokenResponse, pkce,
        settings::AuthSettings,
        token::{
            RenewalPolicy,
            cache::{Cache, CacheEntry, CacheError, LockedCache},
        },
        token_response,
    },
    http::{
        error::TokenError,
        rate_limit::{QuotaKey, RateLimit},
        transport::Transport,
    },
    system::blocking::offload_wait,
    telemetry::metrics::{Metrics, Wait},
    time::clock,
};

/// How long to wait for another process that holds the lock of the cache.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// The platform's limit bucket that token requests count against.
const BUCKET: &str = "login";

/// Requests tokens for one account.
pub struct TokenSource {
    /// The login host.
    pub host: Url,
    /// The account.
    pub credentials: Credentials,
    /// When a token is renewed.
    pub renewal: RenewalPolicy,
    cache: Option<Cache>,
    client: TokenClient,
    /// What earlier requests left. Never locked across an await.
    memory: Mutex<SourceState>,
}

/// Sends token requests.
pub struct TokenClient {
    transport: Arc<dyn Transport>,
    rate_limit: Arc<RateLimit>,
    key: QuotaKey,
    metrics: Arc<Metrics>,
}

/// What a process knows of its tokens beside the current one.
#[derive(Debug, Default)]
struct SourceState {
    /// The last token that was returned. A caller that requests another one cannot use this one.
    last: Option<SecretString>,
    /// The newest refresh token.
    refresh: Option<SecretString>,
    /// Whether `refresh` is newer than that of the cache, which could not be written.
    is_unstored: bool,
}

impl TokenClient {
    /// Token requests of `credentials` count against a quota key of their own.
    pub fn new(
        credentials: &Credentials,
        transport: Arc<dyn Transport>,
        rate_limit: Arc<RateLimit>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let key = QuotaKey { credential: credentials.name().into(), bucket: BUCKET.into() };
        Self { transport, rate_limit, key, metrics }
    }
}

impl TokenSource {
    /// The account that `settings` describe, at the login host `host`.
    pub fn new(host: Url, settings: &AuthSettings, client: TokenClient) -> Self {
        let AuthSettings { credentials, renewal, cache } = settings.clone();
        credentials.protect();
        let cache = cache.map(|path| Cache::new(path, &host, &credentials.name()));
        Self { host, credentials, renewal, cache, client, memory: Mutex::default() }
    }

    /// Returns a new token. Sends at most one request with the refresh token and, if that is
    /// rejected, one with the credentials.
    ///
    /// # Errors
    /// [`TokenError`] if there is no new token.
    pub async fn renew(&self) -> Result<TokenResponse, TokenError> {
        let refresh = self.memory().refresh.clone();
        let response = match (&self.credentials.grant, &self.cache) {
            (Grant::Static(token), _) => self.static_token(token)?,
            (_, None) => self.request_new(refresh.or_else(|| self.configured_refresh())).await?,
            (_, Some(cache)) => self.renew_with_cache(cache).await?,
        };
        response.protect();
        self.client.metrics.token_issued(response.lifetime);
        let mut memory = self.memory();
        memory.last = Some(response.secret.clone());
        memory.refresh.clone_from(&response.refresh);
        Ok(response)
    }

    /// Exchanges the code of a login for tokens and stores them in the cache.
    ///
    /// # Errors
    /// [`TokenError`] if the code is rejected or the tokens cannot be stored.
    pub async fn exchange_code(
        &self,
        code: &pkce::AuthorizationCode,
    ) -> Result<TokenResponse, TokenError> {
        let Some(cache) = self.cache.clone() else {
            return Err(token_response::permanent(
                &self.host,
                "there is no auth.cache to keep it in",
                CacheError::ADVICE,
            ));
        };
        let cache_error = |error: CacheError| self.cache_error(&error);
        let locked = offload_wait(move || cache.lock()).await.map_err(cache_error)?;
        let locked = locked.ok_or_else(|| self.cache_is_locked())?;
        let response = self.request(&GrantParams::AuthorizationCode(code)).await?;
        response.protect();
        let entry = CacheEntry::new(&response, clock::now(), None);
        offload_wait(move || locked.write(&entry)).await.map_err(cache_error)?;
        Ok(response)
    }

    /// Returns the configured token, unless it was returned before and so must have been rejected.
    fn static_token(&self, token: &SecretString) -> Result<TokenResponse, TokenError> {
        if self.memory().last.is_some() {
            return Err(token_response::permanent(
                &self.host,
                "the server rejected the token of auth.token",
                self.advice(),
            ));
        }
        Ok(TokenResponse { secret: token.clone(), lifetime: None, refresh: None, id_token: None })
    }

    /// Requests a token under the lock of the cache, so that no two processes use one refresh
    /// token, and stores it before it is used.
    async fn renew_with_cache(&self, cache: &Cache) -> Result<TokenResponse, TokenError> {
        let cache = cache.clone();
        let cache_error = |error: CacheError| self.cache_error(&error);
        let locked = offload_wait(move || cache.lock()).await.map_err(cache_error)?;
        let locked = locked.ok_or_else(|| self.cache_is_locked())?;
        let read = move || locked.read().map(|entry| (locked, entry));
        let (locked, entry) = offload_wait(read).await.map_err(cache_error)?;
        if let Some(response) = entry.as_ref().and_then(|entry| self.cached_token(entry)) {
            tracing::debug!("using a token of the cache");
            return Ok(response);
        }
        let response = self.request_new(self.newest_refresh(entry.as_ref())).await?;
        self.store(locked, &response).await;
        Ok(response)
    }

    /// Stores a token. If that fails the run goes on, since the file may be writable later.
    async fn store(&self, locked: LockedCache, response: &TokenResponse) {
        let entry = CacheEntry::new(response, clock::now(), self.configured_refresh().as_ref());
        let stored = offload_wait(move || locked.write(&entry)).await;
        self.memory().is_unstored = stored.is_err();
        if let Err(error) = stored {
            tracing::error!(
                %error,
                "the new token is not stored: a later run may have to log in again"
            );
        }
    }

    /// Returns the cached token unless it was just rejected or is due for renewal.
    fn cached_token(&self, entry: &CacheEntry) -> Option<TokenResponse> {
        if !entry.comes_from(self.configured_refresh().as_ref()) {
            return None;
        }
        let lifetime = entry.lifetime_left(clock::now(), self.renewal)?;
        let is_last = self
            .memory()
            .last
            .as_ref()
            .is_some_and(|last| last.expose_secret() == entry.token.expose_secret());
        (!is_last).then(|| TokenResponse {
            secret: entry.token.clone(),
            lifetime,
            refresh: entry.refresh.clone(),
            id_token: None,
        })
    }

    /// The refresh token to use. That of the cache is the newest, since another process may have
    /// replaced ours, unless the cache could not be written or the configuration has a new one.
    fn newest_refresh(&self, entry: Option<&CacheEntry>) -> Option<SecretString> {
        let (memory, configured) = (self.memory(), self.configured_refresh());
        let entry =
            entry.filter(|entry| !memory.is_unstored && entry.comes_from(configured.as_ref()));
        let cached = entry.and_then(|entry| entry.refresh.clone());
        cached.or_else(|| memory.refresh.clone()).or(configured)
    }

    fn configured_refresh(&self) -> Option<SecretString> {
        match &self.credentials.grant {
            Grant::RefreshToken(token) => Some(token.clone()),
            _ => None,
        }
    }

    /// Requests a token with the refresh token; if there is none or it is rejected, with the
    /// credentials.
    async fn request_new(
        &self,
        refresh: Option<SecretString>,
    ) -> Result<TokenResponse, TokenError> {
        let has_fallback = self.credentials.grant.needs_no_refresh_token();
        match refresh {
            None if has_fallback => {}
            None => {
                return Err(token_response::permanent(
                    &self.host,
                    "there is no refresh token",
                    self.advice(),
                ));
            }
            Some(token) => match self.request(&GrantParams::Refresh(&token)).await {
                Ok(response) => {
                    let refresh = response.refresh.or(Some(token));
                    return Ok(TokenResponse { refresh, ..response });
                }
                Err(error) if has_fallback && error.permanent => {
                    tracing::info!(%error, "the refresh token was rejected: using the credentials");
                    self.memory().refresh = None;
                }
                Err(error) => return Err(error),
            },
        }
        self.request(&GrantParams::Credentials).await
    }

    async fn request(&self, params: &GrantParams<'_>) -> Result<TokenResponse, TokenError> {
        params.protect();
        let endpoint = self.credentials.endpoint(&self.host, params);
        let _wait = self.client.metrics.wait(None, Wait::Token);
        let permit = self.client.rate_limit.admit(&self.client.key).await;
        self.client.metrics.token_requests.add(1);
        let request = self.credentials.request(&endpoint, params).map_err(|error| {
            token_response::permanent(&endpoint, error.to_string(), self.advice())
        })?;
        let response = self
            .client
            .transport
            .send(request)
            .await
            .map_err(|error| token_response::no_response(&endpoint, &error))?;
        permit.answered(response.status(), response.headers());
        let token = token_response::read(&endpoint, &response, self.credentials.dialect);
        token.map_err(|error| TokenError { advice: self.advice(), ..error })
    }

    fn cache_is_locked(&self) -> TokenError {
        TokenError {
            endpoint: self.host.to_string(),
            reason: "another process is renewing the token in auth.cache".into(),
            permanent: false,
            no_connection: false,
            wait: LOCK_WAIT,
            advice: "",
        }
    }

    fn cache_error(&self, error: &CacheError) -> TokenError {
        token_response::permanent(&self.host, error.to_string(), CacheError::ADVICE)
    }

    fn advice(&self) -> &'static str {
        self.credentials.grant.advice()
    }

    fn memory(&self) -> MutexGuard<'_, SourceState> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
