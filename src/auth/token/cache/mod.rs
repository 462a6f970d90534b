//! Tokens in a file, so that they outlive the process.
//!
//! The file is readable by its owner only. A lock ensures that no two processes use one refresh
//! token; a write replaces the whole file and returns when it is on disk.

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

use crate::{
    auth::{TokenResponse, token::RenewalPolicy},
    system::files::{self, FileError},
};

/// The version of the file format.
const VERSION: u32 = 1;
/// A larger file was not written by this program, in bytes.
const LARGEST: u64 = 1 << 20;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// Other users can read or write the file.
    #[error(
        "other users can read or write the token cache {path} (mode {mode:04o}): \
         run chmod 600 {path}"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// There is something else than a regular file at the path.
    #[error("cannot use the token cache: {path} {source}")]
    NotRegular {
        /// The path.
        path: String,
        /// What is there.
        source: FileError,
    },
    /// The file system failed.
    #[error("cannot use the token cache at {path}: {source}")]
    Io {
        /// The file or its folder.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl CacheError {
    /// What to do about any of these errors.
    pub(crate) const ADVICE: &str =
        "set auth.cache to a file that only you can read, in a folder that you can write to";
}

/// The tokens of one account, in a file that may hold those of several accounts.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    path: PathBuf,
    credentials: String,
}

/// A cache that no other process can change.
pub(crate) struct LockedCache {
    cache: Cache,
    /// Releases the lock when it is closed, however the process ends.
    _lock: File,
    /// Created before the token request, so that a read-only folder costs no token.
    new_file: NamedTempFile,
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
    /// The refresh token.
    #[serde(
        default,
        rename = "refresh_token",
        serialize_with = "expose_some",
        skip_serializing_if = "Option::is_none"
    )]
    pub refresh: Option<SecretString>,
    /// The hash of the configured refresh token that the first of these tokens came from. If the
    /// configuration has another one, the entry is not used.
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
    /// The cache in the file `path` of the account `client` at the login host `login`.
    pub(crate) fn new(path: PathBuf, login: &Url, client: &str) -> Self {
        let port = login.port().map(|port| format!(":{port}")).unwrap_or_default();
        Self {
            path,
            credentials: format!("{}{port} {client}", login.host_str().unwrap_or_default()),
        }
    }

    /// Locks the cache and makes sure that its file can be replaced. `None` if another process
    /// holds the lock.
    ///
    /// # Errors [`CacheError`] if the folder cannot be written to.
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
        let path = self.path_with(".lock");
        let lock = files::open_unlinked(&mut options, &path).map_err(|error| match error {
            FileError::Io(source) => at(source),
            error => refused(&path, error),
        })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        // only its owner can read a temporary file; the prefix says whose it is if the process dies
        let new_file = tempfile::Builder::new()
            .prefix(".cxbackfill-tokens-")
            .tempfile_in(folder)
            .map_err(at)?;
        Ok(Some(LockedCache { cache: self.clone(), _lock: lock, new_file }))
    }

    /// The path of this file with a suffix.
    fn path_with(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// Reads the file. A file that is incomplete or of another format is renamed and kept for
    /// inspection, since tokens can be requested again.
    fn content(&self) -> Result<CacheContent, CacheError> {
        let at = |source| error(&self.path, source);
        let file = match files::open_unlinked(OpenOptions::new().read(true), &self.path) {
            Err(error) if error.is_missing() => return Ok(CacheContent::default()),
            file => file.map_err(|error| refused(&self.path, error))?,
        };
        check_private(&self.path, &file)?;
        let mut text = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut text).map_err(at)?;
        let content = serde_json::from_slice(&text).ok().filter(|content: &CacheContent| {
            content.cxbackfill_tokens == VERSION && text.len() as u64 <= LARGEST
        });
        if content.is_none() {
            let renamed = self.path_with(".aside");
            std::fs::rename(&self.path, &renamed).map_err(at)?;
            tracing::warn!(
                renamed = %renamed.display(),
                "the token cache is not valid: renamed it and started a new one"
            );
        }
        Ok(content.unwrap_or_default())
    }
}

impl LockedCache {
    /// The account's tokens. `None` if there are none yet.
    ///
    /// # Errors
    /// [`CacheError`] if other users can access the file, or it cannot be read.
    pub(crate) fn read(&self) -> Result<Option<CacheEntry>, CacheError> {
        Ok(self.cache.content()?.accounts.remove(&self.cache.credentials))
    }

    /// Replaces the account's tokens and releases the lock. When this returns, the new tokens
    /// survive a power failure; until then the old ones do.
    ///
    /// # Errors [`CacheError`]; the file is unchanged.
    pub(crate) fn write(mut self, entry: &CacheEntry) -> Result<(), CacheError> {
        let mut content = self.cache.content()?;
        content.cxbackfill_tokens = VERSION;
        content
            .accounts
            .retain(|_, other| other.refresh.is_some() || other.expires > Some(entry.issued));
        content.accounts.insert(self.cache.credentials.clone(), entry.clone());
        let at = |source| error(&self.cache.path, source);
        let folder = self.new_file.path().parent().map(Path::to_owned).unwrap_or_default();
        serde_json::to_writer(&mut self.new_file, &content).map_err(|error| at(error.into()))?;
        self.new_file.flush().and_then(|()| self.new_file.as_file().sync_all()).map_err(at)?;
        self.new_file.persist(&self.cache.path).map_err(|error| at(error.error))?;
        if cfg!(unix) {
            // the new name is durable once the folder is synced
            File::open(&folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| error(&folder, source))?;
        }
        Ok(())
    }
}

impl CacheEntry {
    /// The entry of a token that was issued `now`; `configured` is the configured refresh token.
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

    /// Whether the entry descends from the configured refresh token.
    pub(crate) fn comes_from(&self, configured: Option<&SecretString>) -> bool {
        configured.is_none_or(|token| self.origin == Some(fingerprint(token)))
    }

    /// How long the token is still valid: `Some(None)` if that is not known, `None` if the token is
    /// due for renewal.
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

fn refused(path: &Path, source: FileError) -> CacheError {
    match source {
        FileError::Io(source) => error(path, source),
        source => CacheError::NotRegular { path: path.display().to_string(), source },
    }
}

fn error(path: &Path, source: io::Error) -> CacheError {
    CacheError::Io { path: path.display().to_string(), source }
}

/// Checks the permissions of the open file: its name may refer to another file by now.
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

/// On other systems the location of a file protects it.
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
