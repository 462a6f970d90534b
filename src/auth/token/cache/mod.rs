//! Where tokens outlive the process: a file that nobody else can read.
//!
//! Accounts are kept apart by login host and client. Whoever changes the file holds the lock beside
//! it from before it reads until after it has written, so that no two processes spend one refresh
//! token; a write replaces the file whole, and is on the disk when it returns.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use url::Url;

use crate::auth::{TokenResponse, token::RenewalPolicy};

/// The form of the file.
const VERSION: u32 = 1;
/// A larger file is not ours.
const LARGEST: u64 = 1 << 20;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// Others could take the tokens.
    #[error(
        "the token cache {path} can be read or written by others (mode {mode:04o}): chmod 600 {path}"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// The file system failed.
    #[error("the token cache cannot be used at {path}: {source}")]
    Io {
        /// The file or its folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl CacheError {
    /// What to do about any of them.
    pub(crate) const ADVICE: &str =
        "auth.cache names a file of yours alone, in a folder that you can write to";
}

/// The tokens of one account in a file that may hold those of others too.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    path: PathBuf,
    credentials: String,
}

/// A cache that no other process changes meanwhile.
pub(crate) struct LockedCache {
    cache: Cache,
    /// Lets go of the lock when it is closed, however the process ends.
    _lock: File,
    /// Made before a token is asked for: a folder that cannot be written to costs no token.
    spare: NamedTempFile,
}

/// The tokens of one account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CacheEntry {
    /// The access token.
    #[serde(rename = "access_token", serialize_with = "expose")]
    pub token: SecretString,
    issued: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    /// What gives the next one.
    #[serde(
        default,
        rename = "refresh_token",
        serialize_with = "expose_some",
        skip_serializing_if = "Option::is_none"
    )]
    pub refresh: Option<SecretString>,
    /// The hash of the configured refresh token that the chain began with: another one begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheContent {
    cxbackfill_tokens: u32,
    accounts: BTreeMap<String, CacheEntry>,
}

impl Cache {
    /// The cache at `path` of the account `client` at the login host `login`.
    pub(crate) fn new(path: PathBuf, login: &Url, client: &str) -> Self {
        let port = login.port().map(|port| format!(":{port}")).unwrap_or_default();
        Self {
            path,
            credentials: format!("{}{port} {client}", login.host_str().unwrap_or_default()),
        }
    }

    /// Takes the lock, if no other process has it, and makes sure that the file can be replaced.
    ///
    /// # Errors
    /// [`CacheError`] where the file is not ours alone or its folder cannot be written to.
    pub(crate) fn lock(&self) -> Result<Option<LockedCache>, CacheError> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let at = |source| error(folder, source);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(self.beside(".lock")).map_err(at)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        // the name tells what a killed process left, and it is for its owner alone
        let spare = tempfile::Builder::new()
            .prefix(".cxbackfill-tokens-")
            .tempfile_in(folder)
            .map_err(at)?;
        Ok(Some(LockedCache { cache: self.clone(), _lock: lock, spare }))
    }

    /// The path of a file that goes with this one.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// What the file holds. A file that is torn or somebody else's is set aside: tokens can be
    /// asked for again, and what it was can still be looked at.
    fn content(&self) -> Result<CacheContent, CacheError> {
        let at = |source| error(&self.path, source);
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(CacheContent::default());
            }
            file => file.map_err(at)?,
        };
        check_private(&self.path, &file)?;
        let mut text = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut text).map_err(at)?;
        let content = serde_json::from_slice(&text).ok().filter(|content: &CacheContent| {
            content.cxbackfill_tokens == VERSION && text.len() as u64 <= LARGEST
        });
        if content.is_none() {
            let aside = self.beside(".aside");
            std::fs::rename(&self.path, &aside).map_err(at)?;
            tracing::warn!(aside = %aside.display(), "the token cache cannot be read as one: set aside");
        }
        Ok(content.unwrap_or_default())
    }
}

impl LockedCache {
    /// The account's tokens; none if there are none yet.
    ///
    /// # Errors
    /// [`CacheError`] where the file is not ours alone, or cannot be read.
    pub(crate) fn read(&self) -> Result<Option<CacheEntry>, CacheError> {
        Ok(self.cache.content()?.accounts.remove(&self.cache.credentials))
    }

    /// Replaces the account's tokens, and lets go of the lock. After it the new ones survive a loss
    /// of power; until then the old ones do.
    ///
    /// # Errors
    /// [`CacheError`]: the file is as it was.
    pub(crate) fn write(mut self, entry: &CacheEntry) -> Result<(), CacheError> {
        let mut content = self.cache.content()?;
        content.cxbackfill_tokens = VERSION;
        content
            .accounts
            .retain(|_, other| other.refresh.is_some() || other.expires > Some(entry.issued));
        content.accounts.insert(self.cache.credentials.clone(), entry.clone());
        let at = |source| error(&self.cache.path, source);
        let folder = self.spare.path().parent().map(Path::to_owned).unwrap_or_default();
        serde_json::to_writer(&mut self.spare, &content).map_err(|error| at(error.into()))?;
        self.spare.flush().and_then(|()| self.spare.as_file().sync_all()).map_err(at)?;
        self.spare.persist(&self.cache.path).map_err(|error| at(error.error))?;
        if cfg!(unix) {
            // the name is durable once its folder is
            File::open(&folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| error(&folder, source))?;
        }
        Ok(())
    }
}

impl CacheEntry {
    /// What is worth keeping of a token that came `now`, by way of the `configured` refresh token.
    pub(crate) fn new(
        response: &TokenResponse,
        now: Timestamp,
        configured: Option<&SecretString>,
    ) -> Self {
        Self {
            token: response.secret.clone(),
            issued: now,
            expires: response.lifetime.and_then(|lifetime| now.checked_add(lifetime).ok()),
            refresh: response.refresh.clone(),
            origin: configured.map(fingerprint),
        }
    }

    /// Whether it belongs to the chain that the configured refresh token began.
    pub(crate) fn comes_from(&self, configured: Option<&SecretString>) -> bool {
        configured.is_none_or(|token| self.origin == Some(fingerprint(token)))
    }

    /// How long the token still lives, which may not be known; none once it is due for renewal.
    pub(crate) fn lifetime_left(
        &self,
        now: Timestamp,
        renewal: RenewalPolicy,
    ) -> Option<Option<Duration>> {
        let Some(expires) = self.expires else { return Some(None) };
        let lifetime = Duration::try_from(expires.duration_since(self.issued)).ok()?;
        let age = Duration::try_from(now.duration_since(self.issued)).ok()?;
        (age < renewal.after(lifetime)).then(|| Some(lifetime.saturating_sub(age)))
    }
}

fn error(path: &Path, source: io::Error) -> CacheError {
    CacheError::Io { path: path.display().to_string(), source }
}

/// Looks at the open file, not at its name, which may be another's by then.
#[cfg(unix)]
fn check_private(path: &Path, file: &File) -> Result<(), CacheError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(|source| error(path, source))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(CacheError::Exposed { path: path.display().to_string(), mode })
    }
}

/// Other systems keep a user's files to the user by where they lie.
#[cfg(not(unix))]
fn check_private(_: &Path, _: &File) -> Result<(), CacheError> {
    Ok(())
}

fn fingerprint(token: &SecretString) -> String {
    format!("{:x}", Sha256::digest(token.expose_secret()))
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn expose_some<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|secret| secret.expose_secret()).serialize(serializer)
}

#[cfg(test)]
mod tests;
