//! Texts that are in the environment, in `.env` or in a file.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};

use crate::config::{
    layers::{ConfigError, Layers},
    values::TextSource,
};

/// The lines of `.env`, for variables that the environment does not have.
pub(crate) struct EnvironmentVariables(HashMap<String, String>);

impl EnvironmentVariables {
    /// Reads `.env` of the working directory or above it, if it exists.
    pub(crate) fn read() -> Result<Self, ConfigError> {
        match dotenvy::dotenv_iter() {
            Err(error) if error.not_found() => Ok(Self(HashMap::new())),
            lines => lines
                .and_then(Iterator::collect)
                .map(Self)
                // the error would quote the line, which may have a secret
                .map_err(|_| ConfigError::at(".env", "it has an invalid line: write NAME=value")),
        }
    }

    /// Returns the secret that `key` refers to, which is not empty.
    ///
    /// # Errors
    /// If the environment variable, the file or the text is missing.
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

    fn find(
        &self,
        text: &TextSource,
        key: &str,
        layers: &Layers,
    ) -> Result<SecretString, ConfigError> {
        let value = match text {
            TextSource::Here(value) => value.expose_secret().to_owned(),
            TextSource::Env { env } => {
                std::env::var(env).ok().or_else(|| self.0.get(env).cloned()).ok_or_else(|| {
                    let message = format!(
                        "the environment variable {env} is not set: set it, or add it to .env"
                    );
                    layers.error(key, message)
                })?
            }
            TextSource::File { file } => {
                let path = layers.resolve(key, file)?;
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    layers.error(key, format!("{} cannot be read: {error}", path.display()))
                })?;
                text.trim().to_owned()
            }
        };
        if value.is_empty() {
            Err(layers.error(key, "the text is empty"))
        } else {
            Ok(value.into())
        }
    }
}
