//! Texts that lie elsewhere: in the environment, in `.env`, in a file.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};

use crate::config::{
    layers::{ConfigError, Layers},
    values::TextSource,
};

/// The environment, and below it the lines of `.env`.
pub(crate) struct EnvironmentVariables(HashMap<String, String>);

impl EnvironmentVariables {
    /// Reads `.env`, where there is one.
    pub(crate) fn read() -> Result<Self, ConfigError> {
        match dotenvy::dotenv_iter() {
            Err(error) if error.not_found() => Ok(Self(HashMap::new())),
            lines => lines
                .and_then(Iterator::collect)
                .map(Self)
                // the error would quote the line, which may hold a secret
                .map_err(|_| ConfigError::at(".env", "a line cannot be read: write NAME=value")),
        }
    }

    /// The text that `key` means, which is not empty.
    pub(crate) fn text(
        &self,
        text: &TextSource,
        key: &str,
        at: &Layers,
    ) -> Result<SecretString, ConfigError> {
        let value = match text {
            TextSource::Here(value) => value.expose_secret().to_owned(),
            TextSource::Env { env } => {
                std::env::var(env).ok().or_else(|| self.0.get(env).cloned()).ok_or_else(|| {
                    at.wrong(
                        key,
                        format!("the environment has no {env}: set it, or write it to .env"),
                    )
                })?
            }
            TextSource::File { file } => std::fs::read_to_string(file)
                .map_err(|error| {
                    at.wrong(key, format!("{} cannot be read: {error}", file.display()))
                })?
                .trim()
                .to_owned(),
        };
        if value.is_empty() {
            Err(at.wrong(key, "it is empty: give the client's own"))
        } else {
            Ok(value.into())
        }
    }
}
