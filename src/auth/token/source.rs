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
        self, Account, Grant, Minted, Offer, pkce,
        token::{
            Renewal,
            cache::{Cache, CacheError, Entry, Locked},
        },
    },
    blocking::offload,
    http::{
        error::LoginFault,
        rate_limit::{Budget, Key},
        transport::Transport,
    },
    metrics::Board,
    time::clock,
};

/// How long another process that holds the cache's lock is left to finish.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who asks for tokens, and what is done with them: `[auth]`, checked.
#[derive(Debug, Clone)]
pub struct Auth {
    /// Who asks for tokens, and how.
    pub account: Account,
    /// When a token is renewed.
    pub renewal: Renewal,
    /// Where tokens outlive the process; none: nowhere.
    pub cache: Option<PathBuf>,
}

/// Who asks for tokens, and with what.
pub struct Login {
    /// The login host.
    pub host: Url,
    /// Who asks.
    pub account: Account,
    /// When a token is renewed.
    pub renewal: Renewal,
    cache: Option<Cache>,
    door: Door,
    /// What earlier calls left. Never held over an await.
    memory: Mutex<Memory>,
}

/// What a token request passes on its way out.
pub struct Door {
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Token calls pay a key of their own.
    pub budget: Arc<Budget>,
    /// That key.
    pub key: Key,
    /// Where they are counted.
    pub board: Arc<Board>,
}

/// What a process knows of its tokens beside the current one.
#[derive(Debug, Default)]
struct Memory {
    /// The token that was handed out last: when a token is asked for, this one will not do.
    handed: Option<SecretString>,
    /// What gives the next one.
    refresh: Option<SecretString>,
    /// Whether `refresh` is newer than what the cache holds, since that could not be written.
    unstored: bool,
}

impl Login {
    /// The account that `auth` describes, at the login host `host`.
    pub fn new(host: Url, auth: &Auth, door: Door) -> Self {
        let cache = auth.cache.clone().map(|path| Cache::new(path, &host, &auth.account.name()));
        let (account, renewal) = (auth.account.clone(), auth.renewal);
        Self { host, account, renewal, cache, door, memory: Mutex::default() }
    }

    /// One new token. It waits for nothing but its permits, and sends at most one request for each
    /// thing that it can offer: the refresh token, and when that is rejected the credentials.
    pub async fn renew(&self) -> Result<Minted, LoginFault> {
        let held = self.memory().refresh.clone();
        let minted = match (&self.account.grant, &self.cache) {
            (Grant::Static(token), _) => self.given(token)?,
            (_, None) => self.ask(held.or_else(|| self.configured())).await?,
            (_, Some(cache)) => self.through(cache).await?,
        };
        let mut memory = self.memory();
        memory.handed = Some(minted.secret.clone());
        memory.refresh.clone_from(&minted.refresh);
        Ok(minted)
    }

    /// Trades the code of a user's login in, and stores what came: without the cache nobody would
    /// ever have it.
    ///
    /// # Errors
    /// A [`LoginFault`] where the code is refused, or what came of it cannot be kept.
    pub async fn trade(&self, code: &pkce::Code) -> Result<Minted, LoginFault> {
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
        let minted = self.request(&Offer::Code(code)).await?;
        let entry = Entry::new(&minted, clock::now(), None);
        offload(move || locked.write(&entry)).await.map_err(fault)?;
        Ok(minted)
    }

    /// The token that the configuration gives: good until it is not.
    fn given(&self, token: &SecretString) -> Result<Minted, LoginFault> {
        if self.memory().handed.is_some() {
            return Err(auth::refused(
                &self.host,
                "the token that auth.token gives was rejected",
                self.advice(),
            ));
        }
        Ok(Minted { secret: token.clone(), lifetime: None, refresh: None, id_token: None })
    }

    /// Asks under the lock of the cache, so that no two processes spend one refresh token, and
    /// stores what came before anybody uses it.
    async fn through(&self, cache: &Cache) -> Result<Minted, LoginFault> {
        let (shared, fault) = (cache.clone(), |error| self.cache_fault(&error));
        let locked = offload(move || shared.lock()).await.map_err(fault)?;
        let locked = locked.ok_or_else(|| self.busy())?;
        let (locked, entry) =
            offload(move || locked.read().map(|entry| (locked, entry))).await.map_err(fault)?;
        if let Some(minted) = entry.as_ref().and_then(|entry| self.reusable(entry)) {
            tracing::debug!("the cache has a token that will do");
            return Ok(minted);
        }
        let minted = self.ask(self.choose(entry.as_ref())).await?;
        self.store(locked, &minted).await;
        Ok(minted)
    }

    /// Stores a token. A disk that is full now may not be later: the run goes on with what it has.
    async fn store(&self, locked: Locked, minted: &Minted) {
        let entry = Entry::new(minted, clock::now(), self.configured().as_ref());
        let stored = offload(move || locked.write(&entry)).await;
        self.memory().unstored = stored.is_err();
        if let Err(error) = stored {
            tracing::error!(%error, "the new token is not stored: a run after this one may have to log in again");
        }
    }

    /// A cached token that is not the one that will not do, and is not due for renewal.
    fn reusable(&self, entry: &Entry) -> Option<Minted> {
        let handed = self.memory().handed.as_ref().map(|token| token.expose_secret().to_owned());
        let fresh = entry
            .lifetime_left(clock::now(), self.renewal)
            .filter(|_| entry.comes_from(self.configured().as_ref()))?;
        (handed.as_deref() != Some(entry.token.expose_secret())).then(|| Minted {
            secret: entry.token.clone(),
            lifetime: fresh,
            refresh: entry.refresh.clone(),
            id_token: None,
        })
    }

    /// The refresh token to offer. What the cache holds is the newest, since another process may
    /// have replaced ours; unless it could not be written, or the configuration gives a new one.
    fn choose(&self, entry: Option<&Entry>) -> Option<SecretString> {
        let (memory, configured) = (self.memory(), self.configured());
        let cached =
            entry.filter(|entry| !memory.unstored && entry.comes_from(configured.as_ref()));
        cached
            .and_then(|entry| entry.refresh.clone())
            .or_else(|| memory.refresh.clone())
            .or(configured)
    }

    fn configured(&self) -> Option<SecretString> {
        match &self.account.grant {
            Grant::RefreshToken(token) => Some(token.clone()),
            _ => None,
        }
    }

    /// Asks with the refresh token; without one, or where it is rejected, with the credentials.
    async fn ask(&self, refresh: Option<SecretString>) -> Result<Minted, LoginFault> {
        let alone = self.account.grant.stands_alone();
        if let Some(token) = refresh {
            match self.request(&Offer::Refresh(&token)).await {
                Ok(minted) => {
                    return Ok(Minted { refresh: minted.refresh.or(Some(token)), ..minted });
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
        self.request(&Offer::Credentials).await
    }

    /// One request.
    pub async fn request(&self, offer: &Offer<'_>) -> Result<Minted, LoginFault> {
        let endpoint = self.account.endpoint(&self.host, offer);
        let permit = self.door.budget.admit(&self.door.key).await;
        self.door.board.token_requests.add(1);
        let request = self
            .account
            .request(&endpoint, offer)
            .map_err(|error| auth::refused(&endpoint, error.to_string(), self.advice()))?;
        let sent = self.door.transport.send(request).await;
        let reply = sent.map_err(|fault| auth::fault_at(&endpoint, &fault))?;
        permit.answered(reply.status(), reply.headers());
        auth::read_reply(&endpoint, &reply).map_err(|fault| LoginFault {
            reason: self.account.redact(&fault.reason, offer),
            advice: self.advice(),
            ..fault
        })
    }

    fn busy(&self) -> LoginFault {
        let reason = "another process is renewing the token in auth.cache".to_owned();
        LoginFault {
            endpoint: self.host.to_string(),
            reason,
            permanent: false,
            wait: PATIENCE,
            advice: "",
        }
    }

    fn cache_fault(&self, error: &CacheError) -> LoginFault {
        auth::refused(&self.host, error.to_string(), CacheError::ADVICE)
    }

    fn advice(&self) -> &'static str {
        self.account.grant.advice()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
