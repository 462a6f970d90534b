//! Texts that are in the environment, in `.env` or in a file, or that a command prints.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    config::{
        layers::{
            ConfigError, Layers, MOST_BYTES,
            secret_command::{TIME_LIMIT, read_secret},
        },
        values::TextSource,
    },
    system::files,
};

/// The largest file or output of a command with one secret, in bytes.
const MOST_SECRET_BYTES: u64 = 64 << 10;

/// The lines of `.env`, for variables that the environment does not have, and what was read from
/// where.
#[derive(Default)]
pub(crate) struct EnvironmentVariables {
    lines: HashMap<String, String>,
    /// The path of `.env`. `None` if there is none.
    path: Option<PathBuf>,
    /// Where secrets were read that other users of this machine can see.
    exposed: RefCell<BTreeSet<String>>,
}

impl EnvironmentVariables {
    /// Reads `.env` of the working directory or above it, if it exists.
    pub(crate) fn read() -> Result<Self, ConfigError> {
        let Some(path) = dotenv_path() else { return Ok(Self::default()) };
        let text = files::read_text(&path, MOST_BYTES)
            .map_err(|error| ConfigError::at(path.display().to_string(), error.to_string()))?;
        let lines = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>();
        let lines = lines.map_err(|error| invalid_line(&path, &text, &error))?;
        Ok(Self { lines, path: Some(path), ..Self::default() })
    }

    /// Returns the secret that `key` refers to, which is not empty.
    ///
    /// # Errors
    /// If the environment variable, the file or the text is missing, or if the command fails.
    pub(crate) fn secret(
        &self,
        text: &TextSource,
        key: &str,
        layers: &Layers,
    ) -> Result<SecretString, ConfigError> {
        let secret = self.text(text, key, layers)?;
        self.note_exposure(text, key, layers);
        Ok(secret)
    }

    /// Returns the text that `key` refers to, which is not empty and need not be secret.
    ///
    /// # Errors
    /// As [`secret`](Self::secret).
    pub(crate) fn text(
        &self,
        text: &TextSource,
        key: &str,
        layers: &Layers,
    ) -> Result<SecretString, ConfigError> {
        // an empty text in the file is a mistake of its author, a missing variable may be another's
        let is_missing_secret = !matches!(text, TextSource::Here(_));
        self.find(text, key, layers).map_err(|error| ConfigError { is_missing_secret, ..error })
    }

    /// A sentence for each place in which other users of this machine can see a secret that was
    /// read.
    pub(crate) fn into_exposed(self) -> BTreeSet<String> {
        self.exposed.into_inner()
    }

    fn find(
        &self,
        text: &TextSource,
        key: &str,
        layers: &Layers,
    ) -> Result<SecretString, ConfigError> {
        let value = match text {
            TextSource::Command { command } => {
                return self.printed(command, key, layers);
            }
            TextSource::Here(value) => value.expose_secret().to_owned(),
            TextSource::Env { env } => std::env::var(env)
                .ok()
                .or_else(|| self.lines.get(env).cloned())
                .ok_or_else(|| {
                    let message = format!(
                        "the environment variable {env} is not set: set it, or add it to .env"
                    );
                    layers.error(key, message)
                })?,
            TextSource::File { file } => {
                let path = layers.resolve(key, file)?;
                let text = files::read_text(&path, MOST_SECRET_BYTES)
                    .map_err(|error| layers.error(key, format!("{} {error}", path.display())))?;
                text.trim().to_owned()
            }
        };
        if value.is_empty() {
            Err(layers.error(key, "the text is empty"))
        } else {
            Ok(value.into())
        }
    }

    /// The line that a command prints. A program with a folder is relative as a file would be.
    fn printed(
        &self,
        command: &[String],
        key: &str,
        layers: &Layers,
    ) -> Result<SecretString, ConfigError> {
        let Some((name, arguments)) = command.split_first() else {
            let message = "the list is empty: name a program and its arguments";
            return Err(layers.error(key, message));
        };
        let program = match Path::new(name).components().count() {
            1 => PathBuf::from(name),
            _ => layers.resolve(key, Path::new(name))?,
        };
        // the arguments may hold secrets, too
        read_secret(&program, arguments, TIME_LIMIT, MOST_SECRET_BYTES)
            .map_err(|error| layers.error(key, format!("the command `{name}` {error}")))
    }

    /// Notes whether other users of this machine can see a secret.
    fn note_exposure(&self, text: &TextSource, key: &str, layers: &Layers) {
        let file = match text {
            TextSource::Here(_) if layers.is_argument(key) => {
                self.exposed.borrow_mut().insert(format!(
                    "{key} stands on the command line, which other users of this machine can \
                     read: refer to it, as in `--set {key}={{env=\"NAME\"}}`"
                ));
                None
            }
            TextSource::Here(_) => Some(layers.file().to_owned()),
            TextSource::Env { env } if std::env::var(env).is_err() => self.path.clone(),
            TextSource::Env { .. } | TextSource::Command { .. } => None,
            TextSource::File { file } => layers.resolve(key, file).ok(),
        };
        if let Some(file) = file.filter(|file| files::is_readable_by_everybody(file)) {
            let file = file.display();
            self.exposed.borrow_mut().insert(format!(
                "every user of this machine can read {file}, which holds a secret: run \
                 `chmod o-r {file}`"
            ));
        }
    }
}

/// The error about a line of `.env`, which it does not quote, since the line may have a secret.
fn invalid_line(path: &Path, text: &str, error: &dotenvy::Error) -> ConfigError {
    let number = match error {
        // the text of the error ends where the parser gave up, which a value of several lines
        // delays
        dotenvy::Error::LineParse(invalid, _) => {
            let first = invalid.lines().next().unwrap_or_default();
            text.lines().position(|line| line.trim() == first.trim())
        }
        _ => None,
    };
    let place = match number {
        Some(number) => format!("{}:{}", path.display(), number + 1),
        None => path.display().to_string(),
    };
    let message = "the line is not valid: write NAME=value, and quotes around a value with spaces \
                   or `#`";
    ConfigError::at(place, message)
}

/// The nearest `.env` that is a file, in the working directory or above it. Folders of this name
/// are common.
fn dotenv_path() -> Option<PathBuf> {
    let folder = std::env::current_dir().ok()?;
    folder.ancestors().map(|folder| folder.join(".env")).find(|path| Path::is_file(path))
}
